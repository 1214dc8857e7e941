//! Whether the right option is the most probable one: all or nothing.
//!
//! # What it measures
//! One when no option has a higher log-probability than the right one. Nothing that the model writes is read: a model that knows the
//! answer and does not keep to the form is right.
//!
//! # When it misleads
//! Long options have more tokens to lose probability on, so short ones win; `acc-norm` and `acc-bytes` correct for that. Where an
//! endpoint gives the first token only (`first-token`), options that begin alike cannot be told apart.
//!
//! # Formula
//! 1 if argmax over k of ln p(option k | question) is the right option, else 0.
//!
//! # Reference
//! `acc` of lm-evaluation-harness (EleutherAI), which this agrees with; ties go to the first option, as there.
//!
//! # Example
//! ln p of "yes" is -1, of "no" -2, and "yes" is right: 1.

use super::names_the_right_one;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct Acc;

impl Scorer for Acc {
    fn name(&self) -> &'static str {
        "acc"
    }

    fn source(&self) -> &'static str {
        include_str!("acc.rs")
    }

    fn need(&self) -> Need {
        Need::ChoiceLogprobs
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        names_the_right_one(judged, |_, logprobs| logprobs.sum)
    }
}
