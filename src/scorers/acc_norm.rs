//! Whether the right option is the most probable one per character: all or nothing.
//!
//! # What it measures
//! As `acc`, but the log-probability of every option is divided by the number of its characters first, so that long options do not lose
//! for being long.
//!
//! # When it misleads
//! It can favour long options whose end follows from their beginning. On options of one length it is `acc`.
//!
//! # Formula
//! 1 if argmax over k of ln p(option k | question) / characters of option k is the right option, else 0.
//!
//! # Reference
//! `acc_norm` of lm-evaluation-harness (EleutherAI), which this agrees with; ties go to the first option, as there.
//!
//! # Example
//! ln p of "a cat" is -4 and of "an ant eater" -6: -.8 and -.5 a character, so that the second is chosen.

use super::names_the_right_one;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct AccNorm;

impl Scorer for AccNorm {
    fn name(&self) -> &'static str {
        "acc-norm"
    }

    fn source(&self) -> &'static str {
        include_str!("acc_norm.rs")
    }

    fn need(&self) -> Need {
        Need::WholeChoiceLogprobs
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        names_the_right_one(judged, |option, logprobs| logprobs.sum / option.chars().count().max(1) as f64)
    }
}
