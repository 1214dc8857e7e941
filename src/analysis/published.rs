//! Curves of scores that were published without their records.

use crate::schema::{
    ANALYSIS_VERSION, Analysis, AnswerKind, Axis, DataSource, Evidence, ModelEntry, Point, Prompt, PublishedScore,
    RunManifest, Samples, Task,
};
use crate::stats::wilson;

use super::collapse::collapse;
use super::level::Level;
use super::models::{Group, along_training, distinct, family, shared};
use super::points::Measured;
use super::verdict::MODELS;
use super::{adjust, curve, in_parallel, order, refusal, words};

/// Items of a score that comes without their number.
const ASSUMED_ITEMS: f64 = 200.0;
/// Name of all families together.
pub(super) const POOLED: &str = "*";

/// How a file of scores is analysed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// What models are ordered by; by default the first measure that all of a curve's models have.
    pub axis: Option<Axis>,
    /// Whether the models of all families are analysed as one curve too.
    pub pool: bool,
}

/// Scores of one task, prompt and metric that make one curve, or say why they make none.
struct Wanted<'a> {
    task: &'a Task,
    prompt: &'a str,
    metric: &'a str,
    group: Result<Group<'a, PublishedScore>, String>,
}

/// Analyses scores of a file: per task, prompt, metric and family one curve of its final models, and one along every training
/// run with three or more checkpoints; with `pool` one of the final models of all families beside them.
#[must_use]
pub fn analyse_published(name: &str, scores: &[PublishedScore], options: Options) -> (RunManifest, Analysis) {
    let manifest = manifest(name, scores);
    let families = distinct(scores.iter().map(|one| one.family.as_str()));
    let (mut wanted, mut pools) = (Vec::new(), Vec::new());
    for task in &manifest.tasks {
        for prompt in manifest.prompts.iter().map(|prompt| prompt.name.as_str()) {
            for metric in task.scorers() {
                let own: Vec<&PublishedScore> = scores
                    .iter()
                    .filter(|one| one.task == task.name && one.prompt == prompt && one.metric == metric)
                    .collect();
                let mut want = |group| wanted.push(Wanted { task, prompt, metric, group });
                let (mut all, mut small) = (Vec::new(), Vec::new());
                let pools_them = options.pool && distinct(own.iter().map(|one| one.family.as_str())).len() > 1;
                for name in &families {
                    let of_family = family(own.iter().copied().filter(|one| one.family == *name));
                    all.extend(of_family.finals.iter().copied());
                    // A family that can show nothing by itself is not shown beside the curve that it is part of.
                    if pools_them && (1..MODELS).contains(&of_family.finals.len()) {
                        small.push(*name);
                    } else if !of_family.finals.is_empty() {
                        want(group(name, of_family.finals, options.axis).map(|group| group.without(&of_family.loose)));
                    }
                    for training in of_family.trainings {
                        let axis = along_training(options.axis);
                        let group = Group::new(&training.label, training.models, axis, options.axis.is_some());
                        want(group.map(|group| Group { is_training: true, ..group }));
                    }
                }
                if pools_them {
                    pools.push((task, prompt, metric, all.clone()));
                    want(
                        group(POOLED, all, options.axis)
                            .map(|group| Group { is_pooled: true, ..group }.with_small_families(&small, MODELS)),
                    );
                }
            }
        }
    }
    let mut curves = in_parallel(&wanted, |Wanted { task, prompt, metric, group }| {
        let group = group.as_ref().ok()?;
        let scores = &group.models;
        let chance = median(scores.iter().filter_map(|one| one.chance).collect());
        let measured: Vec<Measured> = measured(group);
        let without = scores.iter().filter(|one| one.n.is_none()).count();
        (!measured.is_empty()).then(|| {
            let mut curve = curve(task, prompt, metric, group, measured, chance, 1);
            if let Some([low, high]) = spread(scores) {
                let words = format!("the file gives chance levels from {} to {}; their median is taken for all", words::score(low), words::score(high));
                curve.evidence.insert(0, Evidence { part: "chance".to_owned(), value: chance, p_value: None, words });
            }
            if without > 0 {
                let words = format!(
                    "{without} of {} scores come without their number of items; {ASSUMED_ITEMS} are assumed, and every interval and \
                     p-value rests on that",
                    scores.len()
                );
                let value = Some(without as f64);
                curve.evidence.insert(0, Evidence { part: "items".to_owned(), value, p_value: None, words });
            }
            curve
        })
    });
    adjust(&mut curves);
    let labels = distinct(curves.iter().map(|curve| curve.family.as_str()));
    let order = order(&manifest, &labels, &curves);
    let mut refused = Vec::new();
    for Wanted { task, prompt, group, .. } in &wanted {
        let reason = group.as_ref().err().map(|reason| refusal(task, prompt, reason));
        refused.extend(reason.filter(|reason| !refused.contains(reason)));
    }
    let collapse = in_parallel(&pools, |(task, prompt, metric, scores)| {
        let chance = median(scores.iter().filter_map(|one| one.chance).collect())?;
        collapse([&task.name, prompt, metric], scores, chance, level)
    });
    // Published scores come without their items, so nothing can be paired.
    let comparisons = Vec::new();
    let analysis = Analysis {
        version: ANALYSIS_VERSION,
        run: name.to_owned(),
        curves,
        order,
        refused,
        comparisons,
        collapse,
        warnings: Vec::new(),
    };
    (manifest, analysis)
}

/// The models of a curve on the axis that was asked for, or else on the first one that seven in ten of them have.
fn group<'a>(label: &str, scores: Vec<&'a PublishedScore>, axis: Option<Axis>) -> Result<Group<'a, PublishedScore>, String> {
    let first = axis.or_else(|| shared(&scores, 7)).unwrap_or(Axis::Params);
    let named = |reason| if label.is_empty() || label == POOLED { reason } else { format!("{label}: {reason}") };
    Group::new(label, scores, first, axis.is_some()).map_err(named)
}

/// A score as so many items right at a scale.
fn level(one: &PublishedScore, scale: f64) -> Level {
    let n = one.n.unwrap_or(ASSUMED_ITEMS).round().max(1.0);
    #[expect(clippy::cast_possible_truncation, reason = "a number of items")]
    let items = n as usize;
    let right = one.score * n;
    Level { x: scale, n: items, sum: right, squares: right, family: 0 }
}

fn measured(group: &Group<'_, PublishedScore>) -> Vec<Measured> {
    let families = distinct(group.models.iter().map(|one| one.family.as_str()));
    let mut measured: Vec<Measured> = group
        .models
        .iter()
        .filter_map(|one| {
            let x = group.ruler.axis.measure(&one.scale)?;
            let family = families.iter().position(|family| *family == one.family).unwrap_or_default();
            let level = Level { family, ..level(one, group.ruler.scale(x)) };
            let items = level.n;
            let interval = wilson(level.sum, items as f64);
            let point = Point {
                model: one.model.clone(),
                seed: one.scale.seed,
                checkpoint: one.scale.checkpoint,
                x,
                score: Some(one.score),
                n: items,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                bound_low: Some(one.score),
                bound_high: Some(one.score),
                whole_low: None,
                whole_high: None,
                answered: items,
                unparsed: 0,
                truncated: 0,
                refused: 0,
                failed: 0,
                missing: 0,
            };
            Some(Measured { point, level, unscored: 0, bounds: None })
        })
        .collect();
    measured.sort_by(|a, b| {
        a.level.x.total_cmp(&b.level.x).then_with(|| (&a.point.model, a.point.seed).cmp(&(&b.point.model, b.point.seed)))
    });
    measured
}

/// The lowest and the highest chance of scores, where they differ.
fn spread(scores: &[&PublishedScore]) -> Option<[f64; 2]> {
    let known = || scores.iter().filter_map(|one| one.chance);
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    (high - low > 1e-9).then_some([low, high])
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A manifest of what the file holds, so that the report can be written as for a run.
fn manifest(name: &str, scores: &[PublishedScore]) -> RunManifest {
    let tasks = distinct(scores.iter().map(|one| one.task.as_str())).into_iter().map(|task| {
        let own = || scores.iter().filter(|one| one.task == task);
        let mut metrics = distinct(own().map(|one| one.metric.as_str())).into_iter().map(str::to_owned);
        Task {
            name: task.to_owned(),
            version: 1,
            about: String::new(),
            data: DataSource::Rows(Samples::default()),
            answer: AnswerKind::Text,
            discontinuous: metrics.next().unwrap_or_default(),
            continuous: metrics.collect(),
            chance: median(own().filter_map(|one| one.chance).collect()).unwrap_or_default(),
        }
    });
    let prompts = distinct(scores.iter().map(|one| one.prompt.as_str())).into_iter().map(|prompt| Prompt {
        name: prompt.to_owned(),
        version: 1,
        ..Prompt::default()
    });
    let mut models: Vec<ModelEntry> = Vec::new();
    for one in scores {
        let is_same = |model: &ModelEntry| {
            let (own, other) = (&one.scale, &model.scale);
            (&model.name, &model.family) == (&one.model, &one.family)
                && (own.seed, own.checkpoint) == (other.seed, other.checkpoint)
        };
        if !models.iter().any(is_same) {
            models.push(ModelEntry {
                name: one.model.clone(),
                family: one.family.clone(),
                endpoint: String::new(),
                scale: one.scale.clone(),
                weights: None,
            });
        }
    }
    RunManifest {
        version: 1,
        run: name.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started: String::new(),
        seed: 1,
        samples: 0,
        until_resolved: false,
        repetitions: 1,
        epoch: String::new(),
        tasks: tasks.collect(),
        prompts: prompts.collect(),
        endpoints: Vec::new(),
        models,
        refused: Vec::new(),
        planned: 0,
    }
}
