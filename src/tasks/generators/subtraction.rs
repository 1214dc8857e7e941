//! Differences of two whole numbers of a given number of digits, the larger first.
//!
//! # What it measures
//! Subtraction with borrowing; the answer is never negative. The steps work from the lowest digit, each written with
//! the borrowed ten and the lent one already applied.
//!
//! # When it misleads
//! As for addition: exact match hides digit-by-digit progress.
//!
//! # Example
//! `453-286`, steps `13-6=7 14-8=6 3-2=1`, answer `167`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.1.

use rand::Rng;

use super::{digits_low_first, number_of_digits};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Subtraction;

impl Generator for Subtraction {
    fn name(&self) -> &'static str {
        "subtraction"
    }

    fn source(&self) -> &'static str {
        include_str!("subtraction.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "digits", about: "digits of each operand", low: 1, high: 9, default: 3 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let digits = parameters.get("digits");
        let (a, b) = (number_of_digits(digits, rng), number_of_digits(digits, rng));
        let (a, b) = (a.max(b), a.min(b));
        Problem {
            question: format!("{a}-{b}"),
            answer: (a - b).to_string(),
            steps: Some(steps(a, b)),
            expression: Some(format!("{a}-{b}")),
            choices: Vec::new(),
            identity: format!("{a}-{b}"),
        }
    }
}

fn steps(a: i64, b: i64) -> String {
    let (a, b) = (digits_low_first(a), digits_low_first(b));
    let mut lent = 0;
    let mut steps = Vec::new();
    for (place, &digit) in a.iter().enumerate() {
        let below = b.get(place).copied().unwrap_or_default();
        let mut above = digit - lent;
        lent = i64::from(above < below);
        above += 10 * lent;
        steps.push(format!("{above}-{below}={}", above - below));
    }
    steps.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn steps_borrow() {
        assert_eq!(super::steps(453, 286), "13-6=7 14-8=6 3-2=1");
        assert_eq!(super::steps(500, 1), "10-1=9 9-0=9 4-0=4");
    }
}
