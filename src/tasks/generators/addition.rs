//! Sums of two whole numbers of a given number of digits.
//!
//! # What it measures
//! Whether a model carries out addition, the first of the ten arithmetic tasks of Brown et al. 2020. The steps are the
//! schoolbook ones, lowest digit first, with the carry written out.
//!
//! # When it misleads
//! Exact match is all or nothing over several digits: a model that improves digit by digit looks as if it had jumped.
//! Read `digit-accuracy` and `answer-logprob` beside it.
//!
//! # Example
//! `457+386`, steps `7+6=13 5+8+1=14 4+3+1=8`, answer `843`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.1.

use rand::Rng;

use super::{addition_steps, number_of_digits};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Addition;

impl Generator for Addition {
    fn name(&self) -> &'static str {
        "addition"
    }

    fn source(&self) -> &'static str {
        include_str!("addition.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "digits", about: "digits of each operand", low: 1, high: 9, default: 3 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let digits = parameters.get("digits");
        let (a, b) = (number_of_digits(digits, rng), number_of_digits(digits, rng));
        Problem {
            question: format!("{a}+{b}"),
            answer: (a + b).to_string(),
            steps: Some(addition_steps(a, b)),
            expression: Some(format!("{a}+{b}")),
            choices: Vec::new(),
            identity: format!("{}+{}", a.min(b), a.max(b)),
        }
    }
}
