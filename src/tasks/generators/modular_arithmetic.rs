//! The remainder of a sum.
//!
//! # What it measures
//! Addition followed by division: two computations of which only the last result is asked for. The steps add digit by digit, then
//! subtract the largest multiple of the modulus.
//!
//! # When it misleads
//! There are only as many answers as the modulus: a model that always says the same is right once in that many.
//!
//! # Example
//! With modulus 7: `(34+58) mod 7`, steps `4+8=12 3+5+1=9 13*7=91 92-91=1`, answer `1`.
//!
//! # Reference
//! Power et al. 2022, Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets.

use rand::Rng;

use super::{addition_steps, number_of_digits};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct ModularArithmetic;

impl Generator for ModularArithmetic {
    fn name(&self) -> &'static str {
        "modular-arithmetic"
    }

    fn source(&self) -> &'static str {
        include_str!("modular_arithmetic.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter { name: "digits", about: "digits of each number", low: 1, high: 9, default: 2 },
            Parameter { name: "modulus", about: "what the sum is divided by", low: 2, high: 99, default: 7 },
        ]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let (digits, modulus) = (parameters.get("digits"), parameters.get("modulus").max(1));
        let (a, b) = (number_of_digits(digits, rng), number_of_digits(digits, rng));
        let sum = a + b;
        let (quotient, answer) = (sum / modulus, sum % modulus);
        let question = format!("({a}+{b}) mod {modulus}");
        let multiple = quotient * modulus;
        Problem {
            answer: answer.to_string(),
            steps: Some(format!("{} {quotient}*{modulus}={multiple} {sum}-{multiple}={answer}", addition_steps(a, b))),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            // Whoever has seen the sum of two numbers has seen half of this.
            identity: format!("addition {}+{}", a.min(b), a.max(b)),
        }
    }
}
