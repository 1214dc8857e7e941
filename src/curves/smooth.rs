//! Growth over the whole range.
//!
//! # What it measures
//! The null hypothesis of emergence: linear in the logarithm of scale, linear in the logit of the score, a power law, or a wide
//! logistic function, from chance or from above it.
//!
//! # When it misleads
//! A logistic function whose middle lies beyond the largest model looks like a plateau; its draws are then counted as what
//! they show, not as what they were drawn for.
//!
//! # Formula
//! score = level + gain g(x), g linear in x, in the logit, 1 - C^-a with a from .1 to 1, or 1 / (1 + exp(-(x - at) / w)) with w from .4 to
//! 1.5 decades.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct Smooth;

impl CurveFamily for Smooth {
    fn name(&self) -> &'static str {
        "smooth"
    }

    fn source(&self) -> &'static str {
        include_str!("smooth.rs")
    }

    fn prior(&self) -> f64 {
        0.24
    }

    fn parameters(&self) -> usize {
        4
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        let level = prior::level_anywhere(cube[6], cube[0], cube[1], sizes.chance);
        let gain = prior::gain(cube[2], level);
        let at = (1.25 * sizes.range()).mul_add(cube[3], 0.25f64.mul_add(-sizes.range(), sizes.first));
        Proposal { level, gain, form: prior::smooth_form(cube[4], cube[5], level, gain), at, drift: 0.0, is_falling: false }
    }
}
