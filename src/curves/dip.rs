//! A score that falls and rises again.
//!
//! # What it measures
//! U-shaped scaling (Wei et al. 2022, Inverse scaling can become U-shaped): a distractor that middle-sized models fall for.
//!
//! # When it misleads
//! Two groups of items, easy and hard, that peak at different scales add up to it (Wu and Lo 2024).

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Form, Proposal, Sizes};

pub(super) struct Dip;

impl CurveFamily for Dip {
    fn name(&self) -> &'static str {
        "dip"
    }

    fn source(&self) -> &'static str {
        include_str!("dip.rs")
    }

    fn prior(&self) -> f64 {
        0.03
    }

    fn parameters(&self) -> usize {
        4
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        let level = prior::level_anywhere(cube[6], cube[0], cube[1], sizes.chance);
        let gain = prior::gain(cube[2], level);
        let at = (0.7 * sizes.range()).mul_add(cube[3], 0.15f64.mul_add(sizes.range(), sizes.first));
        Proposal { level, gain, form: Form::Dip { left: 0.8f64.mul_add(cube[4], 0.2) }, at, drift: 0.0, is_falling: false }
    }
}
