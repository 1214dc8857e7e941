//! Two requests: first the reasoning, then the answer that follows from it. A chat is asked once: its reply has both.
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
use super::transcript::{ask, extended};
use crate::schema::{Case, FinishReason, Input, Step, Technique, Turn};

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
            [Turn::Response(steps)] if steps.finish == FinishReason::Refusal || matches!(case.start, Input::Chat(_)) => {
                conclude(case, case.start, &steps.text, steps.finish)
            }
            [Turn::Response(steps)] => ask(case, extended(case.start, &format!("{}{mark}", steps.text)), &[]),
            [Turn::Response(steps), Turn::Response(reply), ..] => {
                conclude(case, case.start, &format!("{}{mark}{}", steps.text, reply.text), reply.finish)
            }
            _ => ask(case, case.start.clone(), &[]),
        }
    }
}
