//! What a drawn curve shows: the definition of each verdict applied to a curve that is known exactly.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tables and grids of known length; figures that were rounded or bounded before"
)]

use crate::schema::{Proposal, Sizes};

/// Points at which a curve is looked at.
const POINTS: usize = 81;
/// The smallest rise that is called one.
const GAIN: f64 = 0.03;
/// A plateau at chance: no more than a tenth of the gain above it, at least .02 and at most this.
const MARGIN: f64 = 0.04;
/// The same for a plateau that drifts while the rise after it is three times as steep: a fifth of the gain, at most this.
const DRIFT_MARGIN: f64 = 0.06;
/// The steepest plateau, as a part of the slope up to half of the gain.
const DRIFT_SLOPE: f64 = 1.0 / 3.0;

/// What a curve is, in the words of the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Emergent,
    Breakthrough,
    Smooth,
    /// At chance at the two smallest sizes and risen before a plateau could be seen: smaller models would show one, or not.
    TooShort,
    AboveChance,
    Flat,
    Inverse,
    UShaped,
}

impl Shape {
    pub(super) const COUNT: usize = 8;
    /// What each is called in words.
    pub(super) const NAMES: [&str; Self::COUNT] =
        ["emergent", "breakthrough", "smooth", "a plateau too short to tell", "above chance", "flat", "inverse", "U-shaped"];
}

/// A curve's shape and where it rises, in decimal logarithms of scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) shape: Shape,
    /// Where a rise, apart from the drift of a plateau, has a tenth of its gain.
    pub(super) knee: f64,
    /// Where it has half of it.
    pub(super) midpoint: f64,
    /// The score at the largest scale.
    pub(super) end: f64,
}

/// The margin of a plateau at chance for a gain over chance.
pub(super) fn margin(gain: f64) -> f64 {
    (0.1 * gain).clamp(0.02, MARGIN)
}

/// Looks at a curve.
pub(super) fn see(proposal: &Proposal, sizes: &Sizes) -> Seen {
    let step = sizes.range() / (POINTS - 1) as f64;
    let place = |index: usize| (index as f64).mul_add(step, sizes.first);
    let scores: [f64; POINTS] = std::array::from_fn(|index| proposal.score(place(index), sizes));
    let chance = sizes.chance;
    let (first, end) = (scores[0], scores[POINTS - 1]);
    let (gain, rise) = (end - chance, end - first);
    let plateau = (((sizes.plateau_end - sizes.first) / step).ceil() as usize).clamp(1, POINTS - 1);
    let highest_there = scores[..=plateau].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let reaches = |value: f64| scores.iter().position(|score| *score >= value - 1e-12).unwrap_or(POINTS - 1);
    // Growth on the plateau as a part of the growth right after it.
    let steepness = |half: usize| {
        let on = (scores[plateau] - first) / (place(plateau) - sizes.first);
        let after = (scores[half] - scores[plateau]) / (place(half) - place(plateau)).max(step);
        on / after.max(1e-9)
    };
    let half_of_gain = reaches(0.5f64.mul_add(gain, chance));
    let half_of_rise = reaches(0.5f64.mul_add(rise, first));
    let close = margin(gain);
    let drifting = (0.2 * gain).clamp(0.02, DRIFT_MARGIN);
    // A plateau below chance that climbs is growth too, though it has not reached chance.
    let climb = highest_there - first;
    let is_emergent = gain >= GAIN
        && rise >= GAIN
        && ((highest_there <= chance + close && climb <= margin(rise))
            || (first <= chance + close
                && highest_there <= chance + drifting
                && climb <= (0.2 * rise).clamp(0.02, DRIFT_MARGIN)
                && steepness(half_of_rise) <= DRIFT_SLOPE));
    let is_breakthrough = !is_emergent
        && rise >= GAIN
        && first > chance + close
        && highest_there <= first + (0.2 * rise).max(0.02)
        && steepness(half_of_rise) <= DRIFT_SLOPE;
    let mean = scores.iter().sum::<f64>() / POINTS as f64;
    let shape = if first - lowest >= GAIN && end - lowest >= GAIN {
        Shape::UShaped
    } else if is_emergent {
        Shape::Emergent
    } else if is_breakthrough {
        Shape::Breakthrough
    } else if highest - lowest < GAIN {
        if mean <= chance + 0.02 { Shape::Flat } else { Shape::AboveChance }
    } else if rise > 0.0 {
        // Growth that ends at chance is no ability.
        let second = ((sizes.second - sizes.first) / step).floor() as usize;
        if end <= chance + 0.02 {
            Shape::Flat
        } else if scores[..=second.min(POINTS - 1)].iter().all(|score| *score <= chance + close) {
            Shape::TooShort
        } else {
            Shape::Smooth
        }
    } else {
        Shape::Inverse
    };
    let (knee, midpoint) = if matches!(shape, Shape::Emergent | Shape::Breakthrough) {
        let steady: [f64; POINTS] = std::array::from_fn(|index| proposal.without_drift(place(index), sizes));
        let own = steady[POINTS - 1] - steady[0];
        let base = if is_emergent { steady[0].max(chance).min(chance + close) } else { steady[0] };
        let lift = (0.1 * own).max((0.5 * own).min(0.02));
        let target = base + lift - 1e-12;
        let grid = steady.iter().position(|score| *score >= target).unwrap_or(POINTS - 1);
        let knee = between(place(grid) - step, place(grid), |x| proposal.without_drift(x, sizes) >= target);
        let (half, target) = if is_emergent {
            (half_of_gain, 0.5f64.mul_add(gain, chance))
        } else {
            (half_of_rise, 0.5f64.mul_add(rise, first))
        };
        let midpoint = between(place(half) - step, place(half), |x| proposal.score(x, sizes) >= target - 1e-12);
        (knee, midpoint.max(knee))
    } else {
        (sizes.last, sizes.last)
    };
    Seen { shape, knee, midpoint, end }
}

/// Where, between a place before and one after, a rise is reached: by halving, because a grid is coarser than a good interval.
fn between(mut before: f64, mut after: f64, is_reached: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..6 {
        let middle = f64::midpoint(before, after);
        if is_reached(middle) {
            after = middle;
        } else {
            before = middle;
        }
    }
    after
}
