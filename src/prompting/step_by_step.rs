//! Two requests: first the reasoning, then the answer that follows from it.
//!
//! # What it measures
//! Whether a model that is only told to think step by step can use its own steps.
//!
//! # When it misleads
//! The log-probability of the target is conditioned on the model's own steps, right or wrong.
//!
//! # Reference
//! Kojima et al. 2022, Large Language Models are Zero-Shot Reasoners.

use super::answer::conclude;
use super::ask;
use crate::schema::{Answer, Case, FinishReason, Outcome, Step, Technique, Turn};

pub(super) struct StepByStep;

impl Technique for StepByStep {
    fn name(&self) -> &'static str {
        "step-by-step"
    }

    fn source(&self) -> &'static str {
        include_str!("step_by_step.rs")
    }

    fn required(&self) -> &'static [&'static str] {
        &["answer_after"]
    }

    fn next(&self, case: &Case<'_>, turns: &[Turn]) -> Step {
        let mark = case.prompt.answer_after.as_deref().unwrap_or_default();
        match turns {
            [Turn::Response { response, .. }] if response.finish == FinishReason::Refusal => {
                let context = case.text.to_owned();
                Step::Answer(Answer { outcome: Outcome::Refused, text: None, context })
            }
            [Turn::Response { response, .. }] => Step::Ask(ask(case, format!("{}{}{mark}", case.text, response.text), &[])),
            [Turn::Response { response: steps, .. }, Turn::Response { response, .. }, ..] => {
                let written = format!("{}{mark}{}", steps.text, response.text);
                Step::Answer(conclude(case, &written, response.finish))
            }
            _ => Step::Ask(ask(case, case.text.to_owned(), &[])),
        }
    }
}
