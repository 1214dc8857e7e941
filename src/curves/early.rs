//! A rise that begins before a plateau could be seen.
//!
//! # What it measures
//! The same rises as `threshold`, too early: smaller models would show whether there is a plateau.
//!
//! # When it misleads
//! It cannot be told from growth over the whole range where models are few.

use super::prior;
use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Form, Proposal, Sizes};

pub(super) struct Early;

impl CurveFamily for Early {
    fn name(&self) -> &'static str {
        "early-rise"
    }

    fn source(&self) -> &'static str {
        include_str!("early.rs")
    }

    fn prior(&self) -> f64 {
        0.08
    }

    fn parameters(&self) -> usize {
        4
    }

    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal {
        let level = prior::level_anywhere(cube[6], cube[0], cube[1], sizes.chance);
        let gain = prior::gain(cube[2], level);
        let low = sizes.first - 0.5 * sizes.range() / (sizes.count - 1).max(1) as f64;
        let at = (sizes.plateau_end - low).mul_add(cube[3], low);
        let form = if cube[5] < 0.5 {
            Form::Jump { first: prior::first_part(cube[4]) }
        } else {
            Form::Logistic { width: prior::sharp_width(cube[4]) }
        };
        Proposal { level, gain, form, at, drift: 0.0, is_falling: false }
    }
}
