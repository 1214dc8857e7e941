//! Strings of letters to be written backwards.
//!
//! # What it measures
//! Symbol manipulation that needs positions rather than knowledge, in the manner of the reversed-words task of Brown et
//! al. 2020. The steps write the reversed string letter by letter, growing.
//!
//! # When it misleads
//! One learned attention pattern solves the whole task at once, so that even the log-probability jumps: here a sharp
//! curve is not an artefact of the metric.
//!
//! # Example
//! `rev abcde`, steps `e ed edc edcb edcba`, answer `edcba`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.2.

use rand::Rng;

use super::{growing, letters};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Reverse;

impl Generator for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn source(&self) -> &'static str {
        include_str!("reverse.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "letters", about: "letters in the string", low: 3, high: 12, default: 5 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let string = letters(parameters.get("letters"), rng);
        let reversed: String = string.chars().rev().collect();
        let question = format!("rev {string}");
        Problem {
            steps: Some(growing(&reversed)),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            // A string read backwards is the same problem.
            identity: format!("reverse {}", string.as_str().min(reversed.as_str())),
            answer: reversed,
        }
    }
}
