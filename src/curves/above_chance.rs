//! A score that stays on one level above chance.
//!
//! # What it measures
//! An ability that all models have alike, or a bias of the answers that beats the stated chance.
//!
//! # When it misleads
//! A stated chance that is too low makes the absence of an ability look like this.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct AboveChance;

impl CurveFamily for AboveChance {
    fn name(&self) -> &'static str {
        "above-chance"
    }

    fn source(&self) -> &'static str {
        include_str!("above_chance.rs")
    }

    fn prior(&self) -> f64 {
        0.10
    }

    fn parameters(&self) -> usize {
        1
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        Proposal::flat(prior::level_above_chance(cube[1], sizes.chance))
    }
}
