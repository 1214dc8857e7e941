//! What the tests see of a point: how many items, and the first two moments of their scores.

use crate::stats::Group;

/// The scores of one model, summed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    /// Its place on the axis.
    pub(super) x: f64,
    /// Number of scores.
    pub(super) n: usize,
    /// Their sum.
    pub(super) sum: f64,
    /// The sum of their squares.
    pub(super) squares: f64,
}

impl Level {
    /// The scores at `x`.
    pub(super) fn new(x: f64, scores: &[f64]) -> Self {
        Self { x, n: scores.len(), sum: scores.iter().sum(), squares: scores.iter().map(|score| score * score).sum() }
    }

    /// The same with more scores, all of one value.
    pub(super) fn with(self, count: usize, value: f64) -> Self {
        let more = count as f64;
        Self {
            n: self.n + count,
            sum: more.mul_add(value, self.sum),
            squares: more.mul_add(value * value, self.squares),
            ..self
        }
    }

    /// The mean score; zero without scores.
    pub(super) fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum / self.n as f64 }
    }

    /// Whole successes, rounded down: partial credit never helps a claim to be above chance. The small addition undoes
    /// rounding in sums.
    #[expect(clippy::cast_possible_truncation, reason = "a number of items")]
    pub(super) fn at_least(&self) -> usize {
        (self.sum + 1e-9).max(0.0) as usize
    }

    /// Whole successes, rounded up: partial credit never helps a claim to be at chance.
    #[expect(clippy::cast_possible_truncation, reason = "a number of items")]
    pub(super) fn at_most(&self) -> usize {
        ((self.sum - 1e-9).max(0.0).ceil() as usize).min(self.n)
    }
}

/// The levels as one.
pub(super) fn pool(levels: &[Level]) -> Level {
    levels.iter().fold(Level { x: 0.0, n: 0, sum: 0.0, squares: 0.0 }, |all, level| Level {
        x: level.x,
        n: all.n + level.n,
        sum: all.sum + level.sum,
        squares: all.squares + level.squares,
    })
}

/// Decades from the first level to the last.
pub(super) fn decades(levels: &[Level]) -> f64 {
    match (levels.first(), levels.last()) {
        (Some(first), Some(last)) => (last.x / first.x).log10(),
        _ => 0.0,
    }
}

/// The levels as groups for a trend over log scale, all with the pooled variance of an item.
///
/// Pooled as under the hypothesis of no trend, because a level whose scores are all equal has no variance of its own.
pub(super) fn groups(levels: &[Level]) -> Vec<Group> {
    let all = pool(levels);
    let variance = if all.n == 0 { 0.0 } else { all.mean().mul_add(-all.mean(), all.squares / all.n as f64).max(0.0) };
    levels.iter().map(|level| Group { x: level.x.log10(), mean: level.mean(), n: level.n as f64, variance }).collect()
}
