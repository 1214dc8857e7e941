//! Curves of scores that were published without their records.

use crate::schema::{
    ANALYSIS_VERSION, Analysis, AnswerKind, DataSource, Evidence, ModelEntry, Point, Prompt, PublishedScore, RunManifest,
    Task,
};
use crate::stats::wilson;

use super::level::Level;
use super::points::{Axis, Measured};
use super::{adjust, curve, in_parallel, order};

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

/// Analyses scores of a file: per task, prompt, metric and family one curve; with `pool` one of all families beside them.
#[must_use]
pub fn analyse_published(name: &str, scores: &[PublishedScore], options: Options) -> (RunManifest, Analysis) {
    let manifest = manifest(name, scores);
    let families = distinct(scores.iter().map(|one| one.family.as_str()));
    let mut groups: Vec<(&Task, &str, &str, &str, Vec<&PublishedScore>)> = Vec::new();
    for task in &manifest.tasks {
        for prompt in manifest.prompts.iter().map(|prompt| prompt.name.as_str()) {
            for metric in task.scorers() {
                let own: Vec<&PublishedScore> = scores
                    .iter()
                    .filter(|one| one.task == task.name && one.prompt == prompt && one.metric == metric)
                    .collect();
                for family in &families {
                    let of_family: Vec<_> = own.iter().copied().filter(|one| one.family == *family).collect();
                    groups.push((task, prompt, metric, family, of_family));
                }
                if options.pool && distinct(own.iter().map(|one| one.family.as_str())).len() > 1 {
                    groups.push((task, prompt, metric, POOLED, own));
                }
            }
        }
    }
    groups.retain(|(.., scores)| !scores.is_empty());
    let mut curves = in_parallel(&groups, |(task, prompt, metric, family, scores)| {
        let axis = options.axis.unwrap_or_else(|| axis(scores));
        let chance = median(scores.iter().filter_map(|one| one.chance).collect());
        let measured: Vec<Measured> = measured(scores, axis);
        let without = scores.iter().filter(|one| one.n.is_none()).count();
        (!measured.is_empty()).then(|| {
            let mut curve = curve(task, family, prompt, metric, axis, measured, chance, 1);
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
    let mut families = families;
    if options.pool {
        families.push(POOLED);
    }
    let order = order(&manifest, &families, &curves);
    // Published scores come without their items, so nothing can be paired.
    let (refused, comparisons) = (Vec::new(), Vec::new());
    let analysis = Analysis { version: ANALYSIS_VERSION, run: name.to_owned(), curves, order, refused, comparisons };
    (manifest, analysis)
}

/// The first measure that seven in ten of the models have.
fn axis(scores: &[&PublishedScore]) -> Axis {
    let share = |axis: &Axis| scores.iter().filter(|one| axis.place(&one.scale).is_some()).count() * 10 >= scores.len() * 7;
    Axis::ALL.into_iter().find(share).unwrap_or(Axis::Params)
}

fn measured(scores: &[&PublishedScore], axis: Axis) -> Vec<Measured> {
    let mut measured: Vec<Measured> = scores
        .iter()
        .filter_map(|one| {
            let x = axis.place(&one.scale)?;
            let n = one.n.unwrap_or(ASSUMED_ITEMS).round().max(1.0);
            #[expect(clippy::cast_possible_truncation, reason = "a number of items")]
            let items = n as usize;
            let right = one.score * n;
            let level = Level { x, n: items, sum: right, squares: right };
            let interval = wilson(right, n);
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
                answered: items,
                unparsed: 0,
                truncated: 0,
                refused: 0,
                failed: 0,
                missing: 0,
            };
            Some(Measured { point, level, unscored: 0, range: None })
        })
        .collect();
    measured.sort_by(|a, b| a.point.x.total_cmp(&b.point.x).then_with(|| a.point.model.cmp(&b.point.model)));
    measured
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
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
            data: DataSource::Rows(Vec::new()),
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
        if !models.iter().any(|model| model.name == one.model && model.family == one.family) {
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
        epoch: String::new(),
        tasks: tasks.collect(),
        prompts: prompts.collect(),
        models,
        refused: Vec::new(),
        planned: 0,
    }
}
