//! The analyzer: from the records of a run to curves, verdicts and the order of prompts.
//!
//! Pure: the same manifest and records give the same analysis, in whatever order the records come. Every definition is
//! stated where it is computed: points in `points`, tests in `evidence`, verdicts in `verdict`, pairs in `paired`.

mod accounts;
mod artefact;
mod backtest;
mod cells;
mod chance;
mod collapse;
mod definition;
mod difficulty;
mod evidence;
mod forecast;
mod gates;
mod level;
mod likelihood;
mod models;
mod paired;
mod points;
mod posterior;
mod published;
mod ruler;
mod settle;
mod shape;
mod simulate;
mod verdict;
mod words;

use rayon::prelude::*;

use crate::schema::{
    ANALYSIS_VERSION, Analysis, Curve, Evidence, ModelEntry, Order, Refusal, RunManifest, ScoreRange, Task, Verdict,
};
use crate::stats::benjamini_hochberg;

pub use crate::schema::Axis;
pub use backtest::{Accuracy, Backtest, Method, Prediction, Projection, Said, backtest};
pub use cells::Cells;
pub use forecast::{Foretold, Refused};
pub use published::{Options, analyse_published};
pub use settle::{FIRST, More, Settling, expected_share, round, settle};
pub use simulate::{Cell, ForecastCell, Setting, Truth, simulate, simulate_forecasts};

use level::Level;
use models::{Group, Trained, along_training, distinct, family, shared};
use points::{Measured, measure};
use verdict::{Finding, Question};

/// Metrics that mean "right or wrong" as the discontinuous scorer does, so that its chance is theirs too.
const SAME_MEANING: [&str; 7] =
    ["exact-match", "numeric-equality", "choice", "acc", "acc-norm", "acc-bytes", "acc-mutual-info"];

/// Everything the records show: per task, prompt, metric and family one curve over the final models by scale, and one along every
/// training run with three or more checkpoints. Models are ordered by `axis`, or by the first measure that all of a family have.
#[must_use]
pub fn analyse(manifest: &RunManifest, cells: &Cells, axis: Option<Axis>) -> Analysis {
    analyse_over(manifest, cells, axis, &|metric| crate::scorers::find(metric).map(|scorer| scorer.range()))
}

#[cfg(test)]
fn analyse_with(
    manifest: &RunManifest,
    records: &[crate::schema::Record],
    range: &(dyn Fn(&str) -> Option<ScoreRange> + Sync),
) -> Analysis {
    analyse_over(manifest, &Cells::of_records(manifest, records), None, range)
}

/// `analyse` with the ranges of metrics given: none for a metric nobody knows.
fn analyse_over(
    manifest: &RunManifest,
    cells: &Cells,
    axis: Option<Axis>,
    range: &(dyn Fn(&str) -> Option<ScoreRange> + Sync),
) -> Analysis {
    let (of_models, lacking) = groups(manifest, axis);
    let is_refused =
        |task: &str, prompt: &str| manifest.refused.iter().any(|refusal| refusal.task == task && refusal.prompt == prompt);
    let mut asked = Vec::new();
    for task in &manifest.tasks {
        for prompt in manifest.prompts.iter().map(|prompt| prompt.name.as_str()) {
            if !is_refused(&task.name, prompt) {
                asked.push((task, prompt));
            }
        }
    }
    let mut wanted = Vec::new();
    for (task, prompt) in &asked {
        for metric in task.scorers() {
            wanted.extend(of_models.iter().map(|group| (*task, *prompt, metric, group)));
        }
    }
    let mut curves = in_parallel(&wanted, |&(task, prompt, metric, group)| {
        let measured = measure(cells, task, prompt, group, metric, range(metric));
        (!measured.is_empty()).then(|| {
            let mut curve = curve(task, prompt, metric, group, measured, chance(task, metric), manifest.seed);
            if curve.discontinuous {
                let of_sizes = cells.of(&task.name, prompt, group);
                artefact::examine(&mut curve, &group.ruler, &task.continuous, &of_sizes, manifest.seed);
                difficulty::examine(&mut curve, &group.ruler, &bounded(task, range), &of_sizes);
                chance::contradicted_by_items(&mut curve, &of_sizes);
            }
            curve
        })
    });
    adjust(&mut curves);
    let labels: Vec<&str> = of_models.iter().map(|group| group.label.as_str()).collect();
    let order = order(manifest, &labels, &curves);
    let comparisons = paired::compare(manifest, cells, &of_models);
    let mut refused = manifest.refused.clone();
    for reason in lacking {
        refused.extend(asked.iter().map(|(task, prompt)| refusal(task, prompt, &reason)));
    }
    let mut warnings = Vec::new();
    for (task, prompt) in &asked {
        for model in &manifest.models {
            let view = cells.of_model(&task.name, prompt, &model.family, &model.name);
            warnings.extend(view.into_iter().flat_map(|view| accounts::warnings(&task.name, prompt, view)));
        }
    }
    Analysis {
        version: ANALYSIS_VERSION,
        run: manifest.run.clone(),
        curves,
        order,
        refused,
        comparisons,
        collapse: Vec::new(),
        warnings,
    }
}

fn refusal(task: &Task, prompt: &str, reason: &str) -> Refusal {
    Refusal { task: task.name.clone(), prompt: prompt.to_owned(), reason: reason.to_owned() }
}

/// The models of a run by curve, and why others have no place on the axis that was asked for.
fn groups(manifest: &RunManifest, axis: Option<Axis>) -> (Vec<Group<'_, ModelEntry>>, Vec<String>) {
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for name in distinct(manifest.models.iter().map(|model| model.family.as_str())) {
        let own = family(manifest.models.iter().filter(|model| model.family == name));
        if !own.finals.is_empty() {
            let axis_of = axis.or_else(|| shared(&own.finals, 10)).or_else(|| shared(&own.finals, 0));
            match Group::new(name, own.finals, axis_of.unwrap_or(Axis::Flops), axis.is_some()) {
                Ok(group) => found.push(group.without(&own.loose)),
                Err(words) => lacking.push(format!("{name}: {words}")),
            }
        }
        for training in own.trainings {
            match Group::new(&training.label, training.models, along_training(axis), axis.is_some()) {
                Ok(group) => found.push(Group { is_training: true, ..group }),
                Err(words) => lacking.push(format!("{}: {words}", training.label)),
            }
        }
    }
    (found, lacking)
}

/// The chance of a metric: the task's for the discontinuous scorer and metrics of the same meaning.
fn chance(task: &Task, metric: &str) -> Option<f64> {
    let same = SAME_MEANING.contains(&metric) && SAME_MEANING.contains(&task.discontinuous.as_str());
    (metric == task.discontinuous || same).then_some(task.chance)
}

/// The continuous metrics of a task whose scores have a least and a greatest value.
fn bounded<'a>(task: &'a Task, range: &dyn Fn(&str) -> Option<ScoreRange>) -> Vec<&'a str> {
    let is_bounded = |metric: &&str| range(metric).is_some_and(|range| range.low.is_finite() && range.high.is_finite());
    task.continuous.iter().map(String::as_str).filter(is_bounded).collect()
}

/// The curves of groups, in their order whatever the number of threads; each curve is the work of one.
fn in_parallel<G: Sync, C: Send>(groups: &[G], curve: impl Fn(&G) -> Option<C> + Sync + Send) -> Vec<C> {
    groups.par_iter().with_max_len(1).filter_map(curve).collect()
}

/// One curve and its verdict, in units of its axis.
fn curve<M: Trained>(
    task: &Task,
    prompt: &str,
    metric: &str,
    group: &Group<'_, M>,
    measured: Vec<Measured>,
    chance: Option<f64>,
    seed: u64,
) -> Curve {
    let ruler = &group.ruler;
    let question = Question { chance, ruler, seed, is_pooled: group.is_pooled };
    let mut finding = robust(&question, &measured);
    finding.evidence.splice(0..0, group.left_out.iter().cloned());
    let points: Vec<_> = measured.into_iter().map(|one| one.point).collect();
    let known: Vec<f64> = points.iter().map(|point| point.x).collect();
    let mut curve = Curve {
        task: task.name.clone(),
        family: group.label.clone(),
        prompt: prompt.to_owned(),
        metric: metric.to_owned(),
        axis: ruler.axis.name().to_owned(),
        is_training: group.is_training,
        discontinuous: metric == task.discontinuous,
        chance,
        points,
        slices: Vec::new(),
        verdict: finding.verdict,
        emergence: finding.emergence,
        p_value: finding.p_value,
        q_value: None,
        onset: ruler.onset(&finding.onset, &known),
        sharpness: finding.sharpness.map(|decades| ruler.length(decades)),
        evidence: finding.evidence,
    };
    if curve.discontinuous {
        chance::contradicted_by_models(&mut curve);
        artefact::published_scores(&mut curve, ruler);
    }
    curve
}

/// The verdict over the scored records, or `inconclusive` when the unscored ones could change it.
///
/// The curve is judged three times: over the scored records, with every unscored record at the worst score and with every
/// one at the best (the worst-case bounds of Manski 1989). Metrics without bounds are judged once.
fn robust(question: &Question<'_>, measured: &[Measured]) -> Finding {
    let scored: Vec<Level> = measured.iter().filter(|one| one.level.n > 0).map(|one| one.level).collect();
    let mut finding = verdict::judge(question, &scored);
    let unscored: usize = measured.iter().map(|one| one.unscored).sum();
    if unscored == 0 {
        return finding;
    }
    let bounds: Option<Vec<[Level; 2]>> = measured.iter().map(|one| one.bounds).collect();
    let Some(bounds) = bounds else {
        finding.evidence.push(Evidence {
            part: "bounds".to_owned(),
            value: Some(unscored as f64),
            p_value: None,
            words: format!("{unscored} records have no score, and this metric has no bounds to put in their place"),
        });
        return finding;
    };
    let (low, high): (Vec<Level>, Vec<Level>) = bounds.into_iter().map(|[low, high]| (low, high)).unzip();
    let (low, high) = (verdict::judge(question, &low), verdict::judge(question, &high));
    let stable = low.verdict == finding.verdict && high.verdict == finding.verdict;
    let words = if stable {
        format!("{unscored} records have no score; counted all as wrong or all as right, the verdict stays")
    } else {
        format!(
            "{unscored} records have no score: without them the verdict is {}, counted all as wrong {}, all as right {}",
            finding.verdict.name(),
            low.verdict.name(),
            high.verdict.name()
        )
    };
    let bounds = Evidence { part: "bounds".to_owned(), value: Some(unscored as f64), p_value: None, words };
    if stable {
        finding.evidence.push(bounds);
    } else {
        finding.verdict = Verdict::Inconclusive;
        finding.emergence = finding.emergence.min(low.emergence).min(high.emergence);
        finding.evidence.insert(0, bounds);
    }
    finding
}

/// Fills in the q-values: Benjamini-Hochberg over the tasks of one family and prompt, the discontinuous metric apart from
/// the others, because two metrics of one task are not two abilities.
fn adjust(curves: &mut [Curve]) {
    let mut groups: Vec<(String, String, Option<String>)> = Vec::new();
    let key =
        |curve: &Curve| (curve.family.clone(), curve.prompt.clone(), (!curve.discontinuous).then(|| curve.metric.clone()));
    for curve in curves.iter() {
        if !groups.contains(&key(curve)) {
            groups.push(key(curve));
        }
    }
    for group in groups {
        let mut members: Vec<&mut Curve> =
            curves.iter_mut().filter(|curve| curve.p_value.is_some() && key(curve) == group).collect();
        let p_values: Vec<f64> = members.iter().filter_map(|curve| curve.p_value).collect();
        for (curve, q) in members.iter_mut().zip(benjamini_hochberg(&p_values)) {
            curve.q_value = Some(q);
        }
    }
}

/// Per task and family, the prompts by the scale of their first model above chance on the discontinuous metric; those that
/// never work last, equals in the order of the run.
fn order(manifest: &RunManifest, families: &[&str], curves: &[Curve]) -> Vec<Order> {
    let mut orders = Vec::new();
    for task in &manifest.tasks {
        for family in families {
            let own =
                || curves.iter().filter(|curve| curve.discontinuous && curve.task == task.name && curve.family == *family);
            let mut prompts: Vec<(String, Option<f64>)> =
                own().map(|curve| (curve.prompt.clone(), curve.onset.above)).collect();
            // The curves of a task and family share their axis.
            let axis = own().next().and_then(|curve| Axis::named(&curve.axis)).unwrap_or(Axis::Flops);
            let place = |above: Option<f64>| above.map_or(f64::INFINITY, |above| axis.coordinate(above));
            prompts.sort_by(|a, b| place(a.1).total_cmp(&place(b.1)));
            if !prompts.is_empty() {
                orders.push(Order { task: task.name.clone(), family: (*family).to_owned(), prompts });
            }
        }
    }
    orders
}

#[cfg(test)]
mod tests;
