//! A score that stays at chance.
//!
//! # What it measures
//! No ability at any scale: the level is chance, or somewhat below it (a model that answers badly formed, or one that is
//! misled), or up to .02 above.
//!
//! # When it misleads
//! An effect smaller than what the items could show looks like this.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct AtChance;

impl CurveFamily for AtChance {
    fn name(&self) -> &'static str {
        "at-chance"
    }

    fn source(&self) -> &'static str {
        include_str!("at_chance.rs")
    }

    fn prior(&self) -> f64 {
        0.19
    }

    fn parameters(&self) -> usize {
        1
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        Proposal::flat(prior::level_at_chance(cube[0], cube[1], sizes.chance))
    }
}
