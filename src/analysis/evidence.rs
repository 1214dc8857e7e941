//! The tests behind a verdict: each is one part of the definition and can be read by itself.

use crate::stats::{contrast, permutation_trend, upper_tail};

use super::definition::ALPHA;
use super::level::{Level, groups};

/// The smallest chance that is tested against. A strategy that never hits does not exist: with a chance of exactly zero
/// one lucky answer in a thousand would be proof.
const CHANCE_FLOOR: f64 = 0.005;
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

/// The index of the first level of the smallest size from which on all models are above chance: of several models of one size,
/// such as seeds, all have to be.
pub(super) fn first_above(levels: &[Level], p_values: &[f64]) -> usize {
    let first = step_down(p_values);
    let Some(failed) = first.checked_sub(1).and_then(|last| levels.get(last)) else { return first };
    first + levels.iter().skip(first).take_while(|level| level.x <= failed.x).count()
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

/// The p-value of a fall from the highest level on, times the number of levels that could have been the highest: a first model that
/// fails altogether hides no fall.
pub(super) fn fall(levels: &[Level]) -> f64 {
    let highest = levels.iter().enumerate().rev().max_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
    let from = highest.and_then(|(at, _)| levels.get(at..)).unwrap_or_default();
    (items_trend(from).fall * levels.len() as f64).min(1.0)
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
