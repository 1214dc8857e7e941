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

use rand::{Rng, RngExt};

use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Reverse;

impl Generator for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn source(&self) -> &'static str {
        include_str!("reverse.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "letters", about: "letters in the string", low: 3, high: 12, default: 5 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let string: String = (0..parameters.get("letters")).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
        let reversed: String = string.chars().rev().collect();
        let steps: Vec<&str> = (1..=reversed.len()).filter_map(|end| reversed.get(..end)).collect();
        Problem {
            question: format!("rev {string}"),
            steps: Some(steps.join(" ")),
            expression: None,
            choices: Vec::new(),
            identity: string.as_str().min(reversed.as_str()).to_owned(),
            answer: reversed,
        }
    }
}
