//! The tests behind a verdict: each is one part of the definition and can be read by itself.

use crate::stats::{contrast, lower_tail, minimal_effect, permutation_trend, upper_tail};

use super::level::{Level, decades, groups, pool};

/// Level of every test.
pub(super) const ALPHA: f64 = 0.05;
/// Fewest models on a plateau.
pub(super) const PLATEAU_MODELS: usize = 3;
/// Fewest decades of a plateau; a little less than one for the rounding of logarithms.
const PLATEAU_DECADES: f64 = 1.0 - 1e-9;
/// The smallest chance that is tested against. A strategy that never hits does not exist: with a chance of exactly zero
/// one lucky answer in a thousand would be proof.
const CHANCE_FLOOR: f64 = 0.005;
/// The largest part of the gain that a plateau above chance may rise by.
const PLATEAU_RISE: f64 = 0.25;

/// The margin within which a score counts as at chance: `max(.02, .1 (ymax - c))`.
pub(super) fn margin(levels: &[Level], chance: f64) -> f64 {
    (0.1 * (highest(levels) - chance)).max(0.02)
}

/// The highest mean.
pub(super) fn highest(levels: &[Level]) -> f64 {
    levels.iter().map(Level::mean).fold(f64::NEG_INFINITY, f64::max)
}

/// The lowest mean.
pub(super) fn lowest(levels: &[Level]) -> f64 {
    levels.iter().map(Level::mean).fold(f64::INFINITY, f64::min)
}

/// Per model, the exact one-sided binomial p-value against being no better than chance.
pub(super) fn above(levels: &[Level], chance: f64) -> Vec<f64> {
    levels.iter().map(|level| upper_tail(level.at_least(), level.n, chance.max(CHANCE_FLOOR))).collect()
}

/// The index of the first model from which on all are significant, found from the largest down.
///
/// Testing in a fixed order and stopping at the first failure needs no correction for the number of tests
/// (Tamhane, Hochberg and Dunnett 1996, Biometrics 52:21; Hsu and Berger 1999, JASA 94:468).
pub(super) fn step_down(p_values: &[f64]) -> usize {
    p_values.iter().rposition(|p| *p > ALPHA).map_or(0, |last| last + 1)
}

/// The smaller models as a plateau at chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plateau {
    /// Models on it.
    pub(super) models: usize,
    /// Decades it spans.
    pub(super) decades: f64,
    /// Their pooled mean.
    pub(super) mean: f64,
    /// One-sided p-value against a pooled mean of chance plus the margin or more; one when it is too short.
    pub(super) p: f64,
}

impl Plateau {
    /// Whether it is long enough and at chance.
    pub(super) fn holds(&self) -> bool {
        self.p <= ALPHA
    }

    /// Whether enough models and decades lie on it.
    pub(super) fn is_long(&self) -> bool {
        self.models >= PLATEAU_MODELS && self.decades >= PLATEAU_DECADES
    }
}

/// Tests the levels as a plateau at chance: pooled, exact binomial, at least three models and a decade.
pub(super) fn plateau(levels: &[Level], chance: f64, margin: f64) -> Plateau {
    let all = pool(levels);
    let mut found = Plateau { models: levels.len(), decades: decades(levels), mean: all.mean(), p: 1.0 };
    if found.is_long() {
        found.p = lower_tail(all.at_most(), all.n, (chance + margin).min(1.0));
    }
    found
}

/// The two directions of a trend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trend {
    /// P-value against "does not rise".
    pub(super) rise: f64,
    /// P-value against "does not fall".
    pub(super) fall: f64,
}

/// The trend over log scale: the larger p-value of the contrast of items and the permutation of models, so that neither
/// few items nor scatter between models passes for a trend.
pub(super) fn trend(levels: &[Level], seed: u64) -> Trend {
    let x: Vec<f64> = levels.iter().map(|level| level.x).collect();
    let rising: Vec<f64> = levels.iter().map(Level::mean).collect();
    let falling: Vec<f64> = rising.iter().map(|mean| -mean).collect();
    let items = items_trend(levels);
    Trend {
        rise: items.rise.max(permutation_trend(&x, &rising, seed)),
        fall: items.fall.max(permutation_trend(&x, &falling, seed)),
    }
}

/// The trend by the contrast of items alone: the only test that two or three models allow.
pub(super) fn items_trend(levels: &[Level]) -> Trend {
    contrast(&groups(levels))
        .map_or(Trend { rise: 1.0, fall: 1.0 }, |found| Trend { rise: found.p_rise, fall: found.p_fall })
}

/// A dip: where, how deep, and the p-value of falling into it and rising out of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dip {
    /// Index of the lowest level.
    pub(super) at: usize,
    /// The larger p-value of the fall and the rise, times the number of places where the minimum could have been.
    pub(super) p: f64,
}

/// An interior minimum with a fall before and a rise after it, both of more than `depth` and both significant.
pub(super) fn dip(levels: &[Level], depth: f64) -> Option<Dip> {
    let (at, lowest) = levels.iter().enumerate().min_by(|a, b| a.1.mean().total_cmp(&b.1.mean()))?;
    let (before, after) = (levels.get(..=at)?, levels.get(at..)?);
    if before.len() < 2 || after.len() < 2 {
        return None;
    }
    let deep = |side: &[Level]| highest(side) - lowest.mean() > depth;
    let p = items_trend(before).fall.max(items_trend(after).rise) * levels.len().saturating_sub(2) as f64;
    (deep(before) && deep(after) && p <= ALPHA).then_some(Dip { at, p })
}

/// A plateau above chance and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breakthrough {
    /// Models on the plateau.
    pub(super) models: usize,
    /// Their pooled mean.
    pub(super) mean: f64,
    /// The largest p-value of its parts.
    pub(super) p: f64,
}

/// The longest plateau above chance that two or more models break out of, growing.
///
/// The plateau lies above chance plus the margin (exact binomial, pooled), its own rise is shown to be less than a quarter
/// of the gain that follows (a one-sided equivalence test of the slope), and every later model lies above it plus a margin.
pub(super) fn breakthrough(levels: &[Level], chance: f64) -> Option<Breakthrough> {
    (PLATEAU_MODELS..levels.len().saturating_sub(1)).rev().find_map(|models| {
        let (before, after) = levels.split_at_checked(models)?;
        let all = pool(before);
        let gain = highest(levels) - all.mean();
        let higher = upper_tail(all.at_least(), all.n, (chance + margin(levels, chance)).min(1.0));
        let slope = contrast(&groups(before))?;
        let span = decades(before);
        let level = slope.slope.mul_add(span, 1.645 * slope.error * span) <= PLATEAU_RISE * gain;
        let ceiling = (all.mean() + (0.1 * gain).max(0.02)).min(1.0);
        let out = above(after, ceiling).into_iter().fold(0.0, f64::max);
        let p = higher.max(out);
        let holds = span >= PLATEAU_DECADES && level && p <= ALPHA && items_trend(after).fall > ALPHA;
        holds.then_some(Breakthrough { models, mean: all.mean(), p })
    })
}

/// The smallest excess over chance that the model with the fewest items would have shown.
pub(super) fn resolution(levels: &[Level], chance: f64) -> f64 {
    minimal_effect(chance, levels.iter().map(|level| level.n).min().unwrap_or_default())
}
