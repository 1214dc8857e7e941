//! Sums to which a hidden constant is added: the sign `#` must be learned from the examples.
//!
//! # What it measures
//! Arithmetic under a rule that only the worked examples show: `a#b` is `a+b+k`, with `k` fixed by the task file. The
//! ladder meets `k` of 1 to 3 in training, so that the examples decide which is meant; zero-shot it can only guess `k`, and
//! is right where it guesses the one of the task file.
//!
//! # When it misleads
//! A model that adds well and ignores the examples may still favour the right `k`: read few-shot against zero-shot, paired.
//! The scratchpad spells the constant out, so it is easier than the direct answer for two reasons at once.
//!
//! # Example
//! With `k = 1`: `12#34`, steps `2+4=6 1+3=4 46+1=47`, answer `47`.
//!
//! # Reference
//! The modified arithmetic task of BIG-bench (Srivastava et al. 2022), figure 2A of Wei et al. 2022.

use rand::Rng;

use super::{addition_steps, number_of_digits};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct ModifiedArithmetic;

impl Generator for ModifiedArithmetic {
    fn name(&self) -> &'static str {
        "modified-arithmetic"
    }

    fn source(&self) -> &'static str {
        include_str!("modified_arithmetic.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter { name: "digits", about: "digits of each operand", low: 1, high: 9, default: 2 },
            Parameter { name: "constant", about: "what the sign # adds to the sum", low: 1, high: 3, default: 1 },
        ]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let (digits, constant) = (parameters.get("digits"), parameters.get("constant"));
        let (a, b) = (number_of_digits(digits, rng), number_of_digits(digits, rng));
        let answer = a + b + constant;
        Problem {
            question: format!("{a}#{b}"),
            answer: answer.to_string(),
            steps: Some(format!("{} {}+{constant}={answer}", addition_steps(a, b), a + b)),
            expression: Some(format!("{a}+{b}+{constant}")),
            choices: Vec::new(),
            // Whoever has seen the sum of two numbers has seen most of this.
            identity: format!("addition {}+{}", a.min(b), a.max(b)),
        }
    }
}
