//! Families of curves: what a score could look like as a function of scale, each with a prior over its parameters.
//!
//! The analyzer draws curves from every family, weighs them by the data, and reads its verdict off the shapes of the drawn
//! curves. A family only proposes; it decides nothing.

mod above_chance;
mod at_chance;
mod breakthrough;
mod decline;
mod dip;
mod early;
mod prior;
mod smooth;
mod threshold;

use crate::schema::CurveFamily;

/// Every family, in the order of `onset list curves`.
pub static CURVES: &[&dyn CurveFamily] = &[
    &at_chance::AtChance,
    &above_chance::AboveChance,
    &smooth::Smooth,
    &early::Early,
    &threshold::Threshold,
    &breakthrough::Breakthrough,
    &decline::Decline,
    &dip::Dip,
];
