//! Letters to be put into the order of the alphabet.
//!
//! # What it measures
//! Comparison: each letter of the answer is the smallest of those that are left. The steps write the sorted string, growing.
//!
//! # When it misleads
//! The first letters are easier than the last, so that partial credit rises long before exact match.
//!
//! # Example
//! `sort dbeca`, steps `a ab abc abcd abcde`, answer `abcde`.
//!
//! # Reference
//! Srivastava et al. 2022, Beyond the Imitation Game: the task `word_sorting`, with letters for words.

use rand::Rng;

use super::{different_letters, growing};
use crate::lexicon::sorted;
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Sort;

impl Generator for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn source(&self) -> &'static str {
        include_str!("sort.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "letters", about: "letters to sort, all different", low: 3, high: 20, default: 5 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let string: String = different_letters(parameters.get("letters"), rng).into_iter().collect();
        let question = format!("sort {string}");
        let answer = sorted(&string);
        Problem {
            steps: Some(growing(&answer)),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            identity: format!("sort {answer}"),
            answer,
        }
    }
}
