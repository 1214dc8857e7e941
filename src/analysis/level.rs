//! What the tests see of a point: how many items, and the first two moments of their scores.

use crate::stats::Group;

use super::likelihood::Items;

/// The most items that count: at the smallest correlation that is considered, more are worth no more than 5,000.
const MOST_ITEMS: f64 = 1e5;
/// The most items right or wrong that one item of partial credit is worth.
const MOST_WORTH: f64 = 20.0;

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
    /// Which family the model is of, where several are pooled.
    pub(super) family: usize,
}

impl Level {
    /// The scores at `x`.
    pub(super) fn new(x: f64, scores: &[f64]) -> Self {
        Self {
            x,
            n: scores.len(),
            sum: scores.iter().sum(),
            squares: scores.iter().map(|score| score * score).sum(),
            family: 0,
        }
    }

    /// So many items right of `n` at `x`.
    pub(super) fn right(x: f64, right: usize, n: usize) -> Self {
        Self { x, n, sum: right as f64, squares: right as f64, family: 0 }
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

    /// The level as items right and wrong. Partial credit varies less than right or wrong, so it is worth more items: as many
    /// as would give the variance of its mean. Scales are relative to `unit`, rounded to a billionth of a decade, so that
    /// the unit of scale changes nothing.
    pub(super) fn items(&self, unit: f64) -> Items {
        let (n, mean) = (self.n as f64, self.mean().clamp(0.0, 1.0));
        let binary = mean * (1.0 - mean);
        let own = mean.mul_add(-mean, self.squares / n).max(binary / MOST_WORTH);
        let worth = if own < binary && binary > 0.0 { n * binary / own } else { n };
        // Correlated items beyond this add nothing, and sums over them would take for ever.
        let worth = worth.min(MOST_ITEMS);
        Items { x: ((self.x / unit).log10() * 1e9).round() / 1e9, right: mean * worth, n: worth, family: self.family }
    }
}

/// The levels as one.
pub(super) fn pool(levels: &[Level]) -> Level {
    levels.iter().fold(Level { x: 0.0, n: 0, sum: 0.0, squares: 0.0, family: 0 }, |all, level| Level {
        x: level.x,
        n: all.n + level.n,
        sum: all.sum + level.sum,
        squares: all.squares + level.squares,
        family: level.family,
    })
}

/// The levels as groups for a trend over log scale, all with the pooled variance of an item.
///
/// Pooled as under the hypothesis of no trend, because a level whose scores are all equal has no variance of its own.
pub(super) fn groups(levels: &[Level]) -> Vec<Group> {
    let all = pool(levels);
    let variance = if all.n == 0 { 0.0 } else { all.mean().mul_add(-all.mean(), all.squares / all.n as f64).max(0.0) };
    levels.iter().map(|level| Group { x: level.x.log10(), mean: level.mean(), n: level.n as f64, variance }).collect()
}
