//! Strings of letters to be written again.
//!
//! # What it measures
//! The simplest thing that attention can do: to find the place in the question and go on from there. It begins early, and where it
//! has not, nothing that rests on it can.
//!
//! # When it misleads
//! Copying is what it asks, so that the blind strategy of copying is no measure of chance here: chance is to guess the letters.
//!
//! # Example
//! `copy abcdefgh`, steps `a b c d e f g h`, answer `abcdefgh`.
//!
//! # Reference
//! Olsson et al. 2022, In-context Learning and Induction Heads.

use rand::Rng;

use super::{letters, spaced};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Copy;

impl Generator for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn source(&self) -> &'static str {
        include_str!("copy.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "letters", about: "letters in the string", low: 3, high: 20, default: 8 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let string = letters(parameters.get("letters"), rng);
        let question = format!("copy {string}");
        Problem {
            steps: Some(spaced(&string)),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            identity: format!("copy {string}"),
            answer: string,
        }
    }
}
