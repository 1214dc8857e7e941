//! Whether the right option is the most probable one per byte: all or nothing.
//!
//! # What it measures
//! As `acc-norm`, but by bytes of UTF-8, which do not depend on how a script is written in characters.
//!
//! # When it misleads
//! It can favour long options whose end follows from their beginning. On plain English it is `acc-norm`.
//!
//! # Formula
//! 1 if argmax over k of ln p(option k | question) / bytes of option k is the right option, else 0.
//!
//! # Reference
//! `acc_bytes` of lm-evaluation-harness (EleutherAI), which this agrees with; ties go to the first option, as there.
//!
//! # Example
//! ln p of "an" is -3 and of "\u{fc}ber" -7: -1.5 a byte and, five bytes, -1.4: the second is chosen.

use super::names_the_right_one;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct AccBytes;

impl Scorer for AccBytes {
    fn name(&self) -> &'static str {
        "acc-bytes"
    }

    fn source(&self) -> &'static str {
        include_str!("acc_bytes.rs")
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
        names_the_right_one(judged, |option, logprobs| logprobs.sum / option.len().max(1) as f64)
    }
}
