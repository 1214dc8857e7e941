//! A plateau at chance, then a rise: the definition of emergence.
//!
//! # What it measures
//! Four ways of rising after a plateau over at least three sizes and a decade: a jump that is then followed by growth (the
//! form of Wei et al. 2022), a sharp and a gradual logistic function, and a hinge; with twelve sizes or more a smoothly broken power
//! law too (Caballero et al. 2022). The plateau may drift a little.
//!
//! # When it misleads
//! With only the largest model above chance it cannot be told from one lucky model.
//!
//! # Formula
//! score = level + gain ((1 - d) g(x) + d ramp(x)); the onset is where g has a tenth of its gain; d = 0 or up to .2.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct Threshold;

impl CurveFamily for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn source(&self) -> &'static str {
        include_str!("threshold.rs")
    }

    fn prior(&self) -> f64 {
        0.22
    }

    fn parameters(&self) -> usize {
        5
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        let level = prior::level_at_chance(cube[0], cube[1], sizes.chance);
        prior::rise_after_plateau(cube, level, sizes)
    }
}
