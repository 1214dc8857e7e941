//! From records to points: who was asked, what was scored, and what the unscored records could have been.

use std::collections::BTreeMap;

use crate::schema::{DataSource, ModelEntry, Outcome, Point, Record, RunManifest, ScoreRange, Task};
use crate::stats::{Interval, bootstrap_mean, imbens_manski, wilson, wilson_at};

use super::level::Level;
use super::models::Group;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 1_000;

/// A point and what the tests need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// The point.
    pub(super) point: Point,
    /// Its scored records.
    pub(super) level: Level,
    /// Records planned and without a score.
    pub(super) unscored: usize,
    /// The worst and best score, where both are finite.
    pub(super) range: Option<ScoreRange>,
}

/// The records of a run by task, prompt, family and model.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    records: BTreeMap<[&'a str; 4], Vec<&'a Record>>,
    planned: BTreeMap<&'a str, usize>,
}

impl<'a> Cells<'a> {
    /// Sorts the records, and works out how many were planned for each cell of a task.
    ///
    /// Planned is the largest count seen in any cell of the task. While the run is not complete and samples are drawn, it
    /// is at least the manifest's number: a file may hold fewer rows, and the manifest does not say how many.
    pub(super) fn new(manifest: &'a RunManifest, records: &'a [Record]) -> Self {
        let mut cells: BTreeMap<[&str; 4], Vec<&Record>> = BTreeMap::new();
        for record in records {
            cells.entry([&record.task, &record.prompt, &record.family, &record.model]).or_default().push(record);
        }
        let complete = records.len() >= manifest.planned;
        let mut planned: BTreeMap<&str, usize> = BTreeMap::new();
        for task in &manifest.tasks {
            let drawn = matches!(task.data, DataSource::Generator { .. });
            let least = if drawn && !complete { manifest.samples } else { 0 };
            planned.insert(&task.name, least);
        }
        for (key, cell) in &cells {
            if let Some(most) = planned.get_mut(key[0]) {
                *most = (*most).max(cell.len());
            }
        }
        // A complete run has no missing records: what was not asked was not planned.
        if complete {
            planned.clear();
        }
        Self { records: cells, planned }
    }

    /// The records of one model.
    pub(super) fn of_model<'b>(&'b self, task: &'b str, prompt: &'b str, model: &'b ModelEntry) -> &'b [&'b Record] {
        let records: &'b BTreeMap<[&'b str; 4], Vec<&'b Record>> = &self.records;
        records.get(&[task, prompt, model.family.as_str(), model.name.as_str()]).map(Vec::as_slice).unwrap_or_default()
    }

    /// The records of every size of a curve, by rising scale.
    pub(super) fn of<'b>(
        &'b self,
        task: &'b str,
        prompt: &'b str,
        group: &'b Group<'_, ModelEntry>,
    ) -> Vec<(f64, &'b [&'b Record])> {
        let records: &'b BTreeMap<[&'b str; 4], Vec<&'b Record>> = &self.records;
        let mut cells: Vec<(f64, &[&Record])> = group
            .models
            .iter()
            .filter_map(|model| {
                let records = records.get(&[task, prompt, model.family.as_str(), model.name.as_str()])?;
                Some((group.ruler.scale(group.ruler.axis.measure(&model.scale)?), records.as_slice()))
            })
            .collect();
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        cells
    }

    /// The points of one curve by rising scale; models that were neither asked nor planned are left out.
    pub(super) fn measure(
        &self,
        task: &Task,
        prompt: &str,
        group: &Group<'_, ModelEntry>,
        metric: &str,
        range: Option<ScoreRange>,
    ) -> Vec<Measured> {
        let planned = self.planned.get(task.name.as_str()).copied().unwrap_or_default();
        let mut measured: Vec<Measured> = group
            .models
            .iter()
            .filter_map(|model| {
                let x = group.ruler.axis.measure(&model.scale)?;
                let key = [task.name.as_str(), prompt, model.family.as_str(), model.name.as_str()];
                let records = self.records.get(&key).map(Vec::as_slice).unwrap_or_default();
                (!records.is_empty() || planned > 0)
                    .then(|| measure(model, x, group.ruler.scale(x), records, planned, metric, range))
            })
            .collect();
        measured.sort_by(|a, b| {
            let place = |one: &Measured| (one.point.checkpoint.unwrap_or(u64::MAX), one.point.seed);
            a.level.x.total_cmp(&b.level.x).then_with(|| place(a).cmp(&place(b)))
        });
        measured
    }
}

/// One model's point, whose measure is `x` and whose scale is `scale`.
fn measure(
    model: &ModelEntry,
    x: f64,
    scale: f64,
    records: &[&Record],
    planned: usize,
    metric: &str,
    range: Option<ScoreRange>,
) -> Measured {
    let mut scores: Vec<f64> = records.iter().filter_map(|record| score(record, metric)).collect();
    // Sums must not depend on the order in which records arrived.
    scores.sort_by(f64::total_cmp);
    let level = Level::new(scale, &scores);
    let count = |outcome: Outcome| records.iter().filter(|record| record.outcome == outcome).count();
    let missing = planned.saturating_sub(records.len());
    let unscored = records.len() - scores.len() + missing;
    let range = range.filter(|range| range.low.is_finite() && range.high.is_finite());
    let bounds = range.map(|range| [level.with(unscored, range.low), level.with(unscored, range.high)]);
    let whole = bounds.zip(range).filter(|_| unscored > 0).and_then(|(bounds, range)| whole(&bounds, &range));
    let interval = interval(&level, &scores);
    let point = Point {
        model: model.name.clone(),
        seed: model.scale.seed,
        checkpoint: model.scale.checkpoint,
        x,
        score: (level.n > 0).then(|| level.mean()),
        n: level.n,
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        bound_low: bounds.map(|[low, _]| low.mean()),
        bound_high: bounds.map(|[_, high]| high.mean()),
        whole_low: whole.map(|whole| whole.low),
        whole_high: whole.map(|whole| whole.high),
        answered: count(Outcome::Answered),
        unparsed: count(Outcome::Unparsed),
        truncated: count(Outcome::Truncated),
        refused: count(Outcome::Refused),
        failed: count(Outcome::Failed),
        missing,
    };
    Measured { point, level, unscored, range }
}

/// The score of a record, when it is scored and finite.
pub(super) fn score(record: &Record, metric: &str) -> Option<f64> {
    let scored = record.outcome.is_scored();
    let value = record.scores.iter().find(|score| score.scorer == metric)?.value?;
    (scored && value.is_finite()).then_some(value)
}

/// The 95 % interval of a mean between two bounds: Wilson's ends for right or wrong, normal ones for anything between.
fn whole([low, high]: &[Level; 2], range: &ScoreRange) -> Option<Interval> {
    let n = low.n as f64;
    let error = |level: &Level| (level.mean().mul_add(-level.mean(), level.squares / n).max(0.0) / n).sqrt();
    let z = imbens_manski(high.mean() - low.mean(), error(low).max(error(high)));
    let is_right_or_wrong = |level: &Level| (level.sum - level.squares).abs() < 1e-9;
    if is_right_or_wrong(low) && is_right_or_wrong(high) {
        return Some(Interval { low: wilson_at(low.sum, n, z)?.low, high: wilson_at(high.sum, n, z)?.high });
    }
    let (least, most) = (z.mul_add(-error(low), low.mean()), z.mul_add(error(high), high.mean()));
    Some(Interval { low: least.max(range.low), high: most.min(range.high) })
}

/// The 95 % interval of the mean: Wilson's for right or wrong, the bootstrap of items for anything between.
pub(super) fn interval(level: &Level, scores: &[f64]) -> Option<Interval> {
    let count = |value: f64| scores.iter().filter(|score| (**score - value).abs() < f64::EPSILON).count();
    let (right, wrong) = (count(1.0), count(0.0));
    if right + wrong == scores.len() {
        return wilson(right as f64, level.n as f64);
    }
    // One seed for all: the interval of a model must not depend on which other models there are.
    bootstrap_mean(scores, RESAMPLES, 0)
}
