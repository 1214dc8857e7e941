//! Sums of whole numbers of a given number of digits.
//!
//! # What it measures
//! Whether a model carries out addition, the first of the ten arithmetic tasks of Brown et al. 2020. The steps are the
//! schoolbook ones, lowest digit first, with the carry written out; of more than two numbers, the sum so far. There are only 45
//! sums of two single digits, too few to hold some out, so that single digits are added several at a time.
//!
//! # When it misleads
//! Exact match is all or nothing over several digits: a model that improves digit by digit looks as if it had jumped.
//! Read `digit-accuracy` and `answer-logprob` beside it.
//!
//! # Example
//! `457+386`, steps `7+6=13 5+8+1=14 4+3+1=8`, answer `843`. With six terms of one digit: `3+5+8+2+4+1`, steps
//! `3+5=8 8+8=16 16+2=18 18+4=22 22+1=23`, answer `23`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.1.

use rand::Rng;

use super::{addition_steps, join, number_of_digits, running};
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
        &[
            Parameter { name: "digits", about: "digits of each number", low: 1, high: 9, default: 3 },
            Parameter { name: "terms", about: "numbers to add", low: 2, high: 9, default: 2 },
        ]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let digits = parameters.get("digits");
        let mut terms: Vec<i64> = (0..parameters.get("terms")).map(|_| number_of_digits(digits, rng)).collect();
        let question = join(&terms, "+");
        let steps = match terms.as_slice() {
            [a, b] => addition_steps(*a, *b),
            _ => running(&terms, "+", |sum, term| sum + term),
        };
        let answer = terms.iter().sum::<i64>().to_string();
        terms.sort_unstable();
        Problem {
            answer,
            steps: Some(steps),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            identity: format!("addition {}", join(&terms, "+")),
        }
    }
}
