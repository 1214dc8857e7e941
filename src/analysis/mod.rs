//! The analyzer: from the records of a run to curves, verdicts and the order of prompts.
//!
//! Pure: the same manifest and records give the same analysis, in whatever order the records come. Every definition is
//! stated where it is computed: points in `points`, tests in `evidence`, verdicts in `verdict`, pairs in `paired`.

mod artefact;
mod backtest;
mod chance;
mod definition;
mod evidence;
mod forecast;
mod gates;
mod level;
mod likelihood;
mod paired;
mod points;
mod posterior;
mod published;
mod shape;
mod simulate;
mod verdict;
mod words;

use rayon::prelude::*;

use crate::schema::{ANALYSIS_VERSION, Analysis, Curve, Evidence, Order, Record, RunManifest, ScoreRange, Task, Verdict};
use crate::stats::benjamini_hochberg;

pub use backtest::{Accuracy, Backtest, Method, Prediction, Projection, Said, backtest};
pub use forecast::{Foretold, Refusal};
pub use points::Axis;
pub use published::{Options, analyse_published};
pub use simulate::{Cell, ForecastCell, Setting, Truth, simulate, simulate_forecasts};

use level::Level;
use points::{Cells, Measured};
use verdict::{Finding, Question};

/// Metrics that mean "right or wrong" as the discontinuous scorer does, so that its chance is theirs too.
const SAME_MEANING: [&str; 3] = ["exact-match", "numeric-equality", "choice"];

/// Everything the records show: per task, prompt, metric and family one curve over the models by scale.
#[must_use]
pub fn analyse(manifest: &RunManifest, records: &[Record]) -> Analysis {
    analyse_with(manifest, records, &|metric| crate::scorers::find(metric).map(|scorer| scorer.range()))
}

/// `analyse` with the ranges of metrics given: none for a metric nobody knows.
fn analyse_with(
    manifest: &RunManifest,
    records: &[Record],
    range: &(dyn Fn(&str) -> Option<ScoreRange> + Sync),
) -> Analysis {
    let cells = Cells::new(manifest, records);
    let mut families: Vec<&str> = Vec::new();
    for model in &manifest.models {
        if !families.contains(&model.family.as_str()) {
            families.push(&model.family);
        }
    }
    let mut groups = Vec::new();
    for task in &manifest.tasks {
        for prompt in manifest.prompts.iter().map(|prompt| prompt.name.as_str()) {
            if manifest.refused.iter().any(|refusal| refusal.task == task.name && refusal.prompt == prompt) {
                continue;
            }
            for metric in task.scorers() {
                for family in &families {
                    groups.push((task, prompt, metric, *family));
                }
            }
        }
    }
    let mut curves = in_parallel(&groups, |&(task, prompt, metric, family)| {
        let axis = Axis::of(manifest, family);
        let measured = cells.measure(task, prompt, family, metric, axis, range(metric));
        (!measured.is_empty()).then(|| {
            let chance = chance(task, metric);
            curve(task, family, prompt, metric, axis, measured, chance, manifest.seed)
        })
    });
    adjust(&mut curves);
    curves.par_iter_mut().filter(|curve| curve.discontinuous).for_each(|curve| {
        let Some(task) = manifest.tasks.iter().find(|task| task.name == curve.task) else { return };
        let (prompt, family) = (curve.prompt.clone(), curve.family.clone());
        let of_sizes = cells.of(&task.name, &prompt, &family, Axis::of(manifest, &family));
        artefact::examine(curve, &task.continuous, &of_sizes, manifest.seed);
        chance::contradicted_by_items(curve, &of_sizes);
    });
    let order = order(manifest, &families, &curves);
    let comparisons = paired::compare(manifest, records, &families);
    let refused = manifest.refused.clone();
    Analysis { version: ANALYSIS_VERSION, run: manifest.run.clone(), curves, order, refused, comparisons }
}

/// The chance of a metric: the task's for the discontinuous scorer and metrics of the same meaning.
fn chance(task: &Task, metric: &str) -> Option<f64> {
    let same = SAME_MEANING.contains(&metric) && SAME_MEANING.contains(&task.discontinuous.as_str());
    (metric == task.discontinuous || same).then_some(task.chance)
}

/// The curves of groups, in their order whatever the number of threads; each curve is the work of one.
fn in_parallel<G: Sync>(groups: &[G], curve: impl Fn(&G) -> Option<Curve> + Sync + Send) -> Vec<Curve> {
    groups.par_iter().with_max_len(1).filter_map(curve).collect()
}

/// One curve and its verdict.
#[expect(clippy::too_many_arguments, reason = "what a curve is known by, and what was measured")]
fn curve(
    task: &Task,
    family: &str,
    prompt: &str,
    metric: &str,
    axis: Axis,
    measured: Vec<Measured>,
    chance: Option<f64>,
    seed: u64,
) -> Curve {
    let question = Question { chance, unit: axis.unit(), seed, is_pooled: family == published::POOLED };
    let finding = robust(&question, &measured);
    let mut curve = Curve {
        task: task.name.clone(),
        family: family.to_owned(),
        prompt: prompt.to_owned(),
        metric: metric.to_owned(),
        axis: axis.name().to_owned(),
        discontinuous: metric == task.discontinuous,
        chance,
        points: measured.into_iter().map(|one| one.point).collect(),
        verdict: finding.verdict,
        emergence: finding.emergence,
        p_value: finding.p_value,
        q_value: None,
        onset: finding.onset,
        sharpness: finding.sharpness,
        evidence: finding.evidence,
    };
    if curve.discontinuous {
        chance::contradicted_by_models(&mut curve);
        artefact::published_scores(&mut curve);
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
    let bound = |value: fn(&ScoreRange) -> f64| -> Option<Vec<Level>> {
        measured.iter().map(|one| one.range.as_ref().map(|range| one.level.with(one.unscored, value(range)))).collect()
    };
    let (Some(low), Some(high)) = (bound(|range| range.low), bound(|range| range.high)) else {
        finding.evidence.push(Evidence {
            part: "bounds".to_owned(),
            value: Some(unscored as f64),
            p_value: None,
            words: format!("{unscored} records have no score, and this metric has no bounds to put in their place"),
        });
        return finding;
    };
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
            let mut prompts: Vec<(String, Option<f64>)> = curves
                .iter()
                .filter(|curve| curve.discontinuous && curve.task == task.name && curve.family == *family)
                .map(|curve| (curve.prompt.clone(), curve.onset.above))
                .collect();
            prompts.sort_by(|a, b| a.1.unwrap_or(f64::INFINITY).total_cmp(&b.1.unwrap_or(f64::INFINITY)));
            if !prompts.is_empty() {
                orders.push(Order { task: task.name.clone(), family: (*family).to_owned(), prompts });
            }
        }
    }
    orders
}

#[cfg(test)]
mod tests;
