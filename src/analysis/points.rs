//! From records to points: who was asked, what was scored, and what the unscored records could have been.

use crate::schema::{ModelEntry, Outcome, Point, ScoreRange, Task};
use crate::stats::{Interval, bootstrap_mean, imbens_manski, normal_mean, wilson, wilson_at};

use super::cells::{Cells, Scores, View};
use super::level::Level;
use super::models::Group;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 1_000;
/// Items from which on the bootstrap would take long to say what the normal distribution says.
const MANY: usize = 10_000;

/// A point and what the tests need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// The point.
    pub(super) point: Point,
    /// Its scored items.
    pub(super) level: Level,
    /// Records planned and without a score.
    pub(super) unscored: usize,
    /// The level with all of these at the worst score and at the best, where both are finite.
    pub(super) bounds: Option<[Level; 2]>,
}

/// The points of one curve by rising scale; models that were neither asked nor planned are left out.
pub(super) fn measure(
    cells: &Cells,
    task: &Task,
    prompt: &str,
    group: &Group<'_, ModelEntry>,
    metric: &str,
    range: Option<ScoreRange>,
) -> Vec<Measured> {
    let planned = cells.planned(&task.name);
    let mut measured: Vec<Measured> = group
        .models
        .iter()
        .filter_map(|model| {
            let x = group.ruler.axis.measure(&model.scale)?;
            let view = cells.of_model(&task.name, prompt, &model.family, &model.name);
            let planned = Planned { records: planned, repetitions: cells.repetitions() };
            (view.is_some() || planned.records > 0)
                .then(|| point(model, x, group.ruler.scale(x), view, &planned, metric, range))
        })
        .collect();
    measured.sort_by(|a, b| {
        let place = |one: &Measured| (one.point.checkpoint.unwrap_or(u64::MAX), one.point.seed);
        a.level.x.total_cmp(&b.level.x).then_with(|| place(a).cmp(&place(b)))
    });
    measured
}

/// What was planned of a cell, where its run is not complete.
struct Planned {
    records: usize,
    repetitions: u32,
}

/// One model's point, whose measure is `x` and whose scale is `scale`.
fn point(
    model: &ModelEntry,
    x: f64,
    scale: f64,
    view: Option<View<'_>>,
    planned: &Planned,
    metric: &str,
    range: Option<ScoreRange>,
) -> Measured {
    let scores = view.map(|view| view.scores(metric));
    let (level, interval) = match scores.map(|scores| (scores.right(), scores)) {
        None => (Level::new(scale, &[]), None),
        // What is right or wrong has the same sums in any order.
        Some((Some((right, n)), _)) => (Level::right(scale, right, n), wilson(right as f64, n as f64)),
        Some((None, scores)) => {
            let scores = scores.sorted();
            let level = Level::new(scale, &scores);
            (level, interval(&level, &scores))
        }
    };
    let count = |outcome: Outcome| view.map_or(0, |view| view.count(outcome));
    let records = view.map_or(0, |view| view.records());
    let missing = planned.records.saturating_sub(records);
    let unscored = records - scores.map_or(0, Scores::records) + missing;
    let range = range.filter(|range| range.low.is_finite() && range.high.is_finite());
    let bound = |value: f64| if unscored == 0 { level } else { filled(scale, view, planned, metric, value) };
    let bounds = range.map(|range| [bound(range.low), bound(range.high)]);
    let whole = bounds.zip(range).filter(|_| unscored > 0).and_then(|(bounds, range)| whole(&bounds, &range));
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
    Measured { point, level, unscored, bounds }
}

/// The level that would be if every record without a score, there or planned, had one of `value`.
fn filled(scale: f64, view: Option<View<'_>>, planned: &Planned, metric: &str, value: f64) -> Level {
    let repetitions = if planned.records > 0 { planned.repetitions } else { 1 };
    let items = view.map_or(0, |view| view.len());
    let mut without = planned.records.div_ceil(repetitions.max(1) as usize).saturating_sub(items);
    let mut means = Vec::with_capacity(items);
    for (view, row) in view.into_iter().flat_map(|view| (0..items).map(move |row| (view, row))) {
        match view.scores(metric).parts(row) {
            None => without += 1,
            Some((sum, scored)) => {
                let all = view.asked(row).max(repetitions);
                let lacking = f64::from(all.saturating_sub(scored));
                means.push(lacking.mul_add(value, sum) / f64::from(all));
            }
        }
    }
    means.sort_unstable_by(f64::total_cmp);
    Level::new(scale, &means).with(without, value)
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

/// The 95 % interval of the mean: Wilson's for right or wrong, the bootstrap of items for anything between, which for very many items
/// is the normal one.
pub(super) fn interval(level: &Level, scores: &[f64]) -> Option<Interval> {
    let count = |value: f64| scores.iter().filter(|score| (**score - value).abs() < f64::EPSILON).count();
    let (right, wrong) = (count(1.0), count(0.0));
    if right + wrong == scores.len() {
        return wilson(right as f64, level.n as f64);
    }
    if scores.len() >= MANY {
        return normal_mean(scores);
    }
    // One seed for all: the interval of a model must not depend on which other models there are.
    bootstrap_mean(scores, RESAMPLES, 0)
}
