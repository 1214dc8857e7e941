//! Products of a whole number of a given number of digits and a single digit.
//!
//! # What it measures
//! Multiplication with carrying; the second factor runs from 2 to 9. The steps multiply digit by digit from the lowest,
//! adding the carry.
//!
//! # When it misleads
//! As for addition: exact match hides digit-by-digit progress.
//!
//! # Example
//! `347*6`, steps `7*6=42 4*6+4=28 3*6+2=20`, answer `2082`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.1.

use rand::{Rng, RngExt};

use super::{digits_low_first, number_of_digits};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Multiplication;

impl Generator for Multiplication {
    fn name(&self) -> &'static str {
        "multiplication"
    }

    fn source(&self) -> &'static str {
        include_str!("multiplication.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "digits", about: "digits of the first factor", low: 1, high: 9, default: 3 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let a = number_of_digits(parameters.get("digits"), rng);
        let b = rng.random_range(2..=9);
        Problem {
            question: format!("{a}*{b}"),
            answer: (a * b).to_string(),
            steps: Some(steps(a, b)),
            expression: Some(format!("{a}*{b}")),
            choices: Vec::new(),
            identity: format!("multiplication {}*{}", a.min(b), a.max(b)),
        }
    }
}

fn steps(a: i64, b: i64) -> String {
    let mut carry = 0;
    let mut steps = Vec::new();
    for digit in digits_low_first(a) {
        let product = digit * b + carry;
        let plus = if carry > 0 { format!("+{carry}") } else { String::new() };
        steps.push(format!("{digit}*{b}{plus}={product}"));
        carry = product / 10;
    }
    steps.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn steps_carry() {
        assert_eq!(super::steps(347, 6), "7*6=42 4*6+4=28 3*6+2=20");
    }
}
