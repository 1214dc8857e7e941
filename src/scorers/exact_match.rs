//! Whether the answer is the reference answer: all or nothing.
//!
//! # What it measures
//! One when the answer equals the reference, zero otherwise. White space around both does not matter, nor does the way
//! Unicode composes accents. A number is compared as its digits, without a leading plus sign and digit grouping
//! (`1,234` is `1234`); leading and trailing zeros count. A choice is compared without regard to case.
//!
//! # When it misleads
//! A sharp rise under it can be made by the metric alone: an answer of L tokens, each right with probability p, is
//! right with probability near p^L, which stays at nothing while p grows smoothly. Look at the same curve under a
//! scorer with partial credit before calling the rise an emergence. It also has no mercy for form: `7.0` is not `7`.
//!
//! # Formula
//! 1 if canonical(answer) = canonical(reference), else 0.
//!
//! # Reference
//! The p^L argument: Schaeffer, Miranda and Koyejo 2023, Are Emergent Abilities of Large Language Models a Mirage?
//!
//! # Example
//! `+1,234` for `1234`: 1. `1235` for `1234`: 0.

use super::canonical;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct ExactMatch;

impl Scorer for ExactMatch {
    fn name(&self) -> &'static str {
        "exact-match"
    }

    fn source(&self) -> &'static str {
        include_str!("exact_match.rs")
    }

    fn need(&self) -> Need {
        Need::Reply
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, _kind: AnswerKind) -> bool {
        true
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let Some(answer) = judged.answer else { return Some(0.0) };
        let is_equal = canonical(answer, judged.kind) == canonical(&judged.sample.answer, judged.kind);
        Some(f64::from(u8::from(is_equal)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::score;
    use super::*;

    #[test]
    fn known_values() {
        for (kind, answer, target, expected) in [
            (AnswerKind::Number, " +1,234\n", "1234", 1.0),
            (AnswerKind::Number, "1235", "1234", 0.0),
            (AnswerKind::Number, "01234", "1234", 0.0),
            (AnswerKind::Number, "7.0", "7", 0.0),
            (AnswerKind::Number, "\u{2212}7", "-7", 1.0),
            (AnswerKind::Number, "seven", "7", 0.0),
            (AnswerKind::Text, "Yes", "yes", 0.0),
            (AnswerKind::Text, "1,234", "1234", 0.0),
            (AnswerKind::Text, " cafe\u{301} ", "caf\u{e9}", 1.0),
            (AnswerKind::Choice, "YES", "yes", 1.0),
            (AnswerKind::Choice, "no", "yes", 0.0),
        ] {
            assert_eq!(score(&ExactMatch, kind, Some(answer), target), Some(expected), "{answer} for {target}");
        }
    }
}
