//! Whether the answer is the same number as the reference: all or nothing.
//!
//! # What it measures
//! One when answer and reference have the same value, however they are written: signs, digit grouping by commas,
//! leading zeros and trailing zeros of the fraction do not matter. The comparison is exact at any length.
//!
//! # When it misleads
//! It forgives form that a task may be about, such as a fixed number of digits. It has no tolerance: `0.333` is not a
//! third, and a rounded result is wrong. Exponents, fractions and units are not read and score zero. Like every
//! all-or-nothing scorer it can turn smooth progress into a jump.
//!
//! # Formula
//! 1 if value(answer) = value(reference), else 0; no score when the reference is no number.
//!
//! # Reference
//! The comparison by value that MATH and GSM8K evaluations use, Hendrycks et al. 2021, Measuring Mathematical Problem
//! Solving With the MATH Dataset; here for decimal numbers only.
//!
//! # Example
//! `007.50` for `7.5`: 1. `7.51` for `7.5`: 0.

use super::Decimal;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct NumericEquality;

impl Scorer for NumericEquality {
    fn name(&self) -> &'static str {
        "numeric-equality"
    }

    fn source(&self) -> &'static str {
        include_str!("numeric_equality.rs")
    }

    fn need(&self) -> Need {
        Need::Reply
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Number
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let target = Decimal::parse(&judged.sample.answer)?;
        let answer = judged.answer.and_then(Decimal::parse);
        let is_equal = answer.is_some_and(|answer| answer.value() == target.value());
        Some(f64::from(u8::from(is_equal)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::score;
    use super::*;

    #[test]
    fn known_values() {
        for (answer, target, expected) in [
            ("007.50", "7.5", Some(1.0)),
            ("7.51", "7.5", Some(0.0)),
            ("+1,234.", "1234", Some(1.0)),
            ("-0", "0.00", Some(1.0)),
            (".5", "0.5", Some(1.0)),
            ("-5", "5", Some(0.0)),
            // Equal as 64-bit floats, and still not equal.
            ("100000000000000000001", "100000000000000000000", Some(0.0)),
            ("five", "5", Some(0.0)),
            ("5", "five", None),
        ] {
            let found = score(&NumericEquality, AnswerKind::Number, Some(answer), target);
            assert_eq!(found, expected, "{answer} for {target}");
        }
    }
}
