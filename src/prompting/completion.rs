//! One request: the examples and the question, continued by the model.
//!
//! # What it measures
//! What a model does with a prompt in one go: zero-shot without examples, few-shot with them, a scratchpad when the examples
//! show worked steps.
//!
//! # When it misleads
//! A model that does not pick up the form of the examples gives replies without an answer: read `unparsed` beside the score.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners; Nye et al. 2021, Show Your Work.

use super::answer::conclude;
use super::transcript::ask;
use crate::schema::{Case, Step, Technique, Turn};

pub(super) struct Completion;

impl Technique for Completion {
    fn name(&self) -> &'static str {
        "completion"
    }

    fn source(&self) -> &'static str {
        include_str!("completion.rs")
    }

    fn next(&self, case: &Case<'_>, turns: &[Turn]) -> Step {
        match turns {
            [Turn::Response(response), ..] => conclude(case, case.start, &response.text, response.finish),
            _ => ask(case, case.start.clone(), &[]),
        }
    }
}
