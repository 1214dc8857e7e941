//! A plateau above chance, then a rise.
//!
//! # What it measures
//! The rises of `threshold` from a level that is not chance: something is known before, and more breaks through.
//!
//! # When it misleads
//! A chance level that is stated too low makes emergence look like this.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct Breakthrough;

impl CurveFamily for Breakthrough {
    fn name(&self) -> &'static str {
        "breakthrough"
    }

    fn source(&self) -> &'static str {
        include_str!("breakthrough.rs")
    }

    fn prior(&self) -> f64 {
        0.08
    }

    fn parameters(&self) -> usize {
        5
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        let level = prior::level_above_chance(cube[1], sizes.chance);
        prior::rise_after_plateau(cube, level, sizes)
    }
}
