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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CURVE_DIMENSIONS, Sizes};

    #[test]
    fn priors_sum_to_one_and_every_proposal_is_a_score() {
        let sum: f64 = CURVES.iter().map(|family| family.prior()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        for chance in [0.0, 0.5, 0.95] {
            let sizes = Sizes::new(&[18.0, 19.0, 19.5, 21.0, 22.0], chance).unwrap();
            for family in CURVES {
                for corner in 0..1 << CURVE_DIMENSIONS {
                    let cube = std::array::from_fn(|axis| if corner >> axis & 1 == 0 { 0.0 } else { 1.0 - 1e-9 });
                    let proposal = family.propose(&cube, &sizes);
                    for x in [16.0, 18.0, 19.3, 22.0, 24.0] {
                        let score = proposal.score(x, &sizes);
                        assert!((0.0..=1.0).contains(&score), "{}: {score} at {x}", family.name());
                    }
                }
            }
        }
    }
}
