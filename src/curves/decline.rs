//! A score that falls with scale.
//!
//! # What it measures
//! Inverse scaling (McKenzie et al. 2023): the mirror image of `smooth`.
//!
//! # When it misleads
//! Failed or truncated answers of larger models, scored as wrong elsewhere, look like this.

use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Proposal, Sizes};

pub(super) struct Decline;

impl CurveFamily for Decline {
    fn name(&self) -> &'static str {
        "decline"
    }

    fn source(&self) -> &'static str {
        include_str!("decline.rs")
    }

    fn prior(&self) -> f64 {
        0.06
    }

    fn parameters(&self) -> usize {
        4
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        Proposal { is_falling: true, ..super::smooth::Smooth.propose(cube, sizes) }
    }
}
