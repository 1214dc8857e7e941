//! The share of digits that are right, place by place: partial credit for numbers.
//!
//! # What it measures
//! Answer and reference are written below one another, units under units, and the places that agree are counted, of the
//! places of the longer one. A minus sign is a place of its own before the first digit. Where there are fractions, the
//! shorter is filled up with zeros, so that the points stand below one another.
//!
//! # When it misleads
//! A random digit is right once in ten, and first digits of sums follow no uniform law, so the level of a blind guess
//! lies above zero. One missing carry turns `2000` into `1990` and costs two places of four. A digit too many at the
//! end shifts every place and can cost all of them; `edit-distance` forgives that.
//!
//! # Formula
//! (places that agree, counted from the right) / max(places of answer, places of reference); zero when the answer is no
//! number, no score when the reference is none.
//!
//! # Reference
//! Per-digit scores as the smooth companion of exact match on arithmetic: Schaeffer, Miranda and Koyejo 2023, Are
//! Emergent Abilities of Large Language Models a Mirage?
//!
//! # Example
//! `1244` for `1234`: 0.75. `34` for `1234`: 0.5. `-12` for `12`: 0.667.

use super::{Decimal, agreement};
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct DigitAccuracy;

/// The places of a number from the last to the first, its fraction filled up to a number of digits.
fn places(number: &Decimal, fraction: usize) -> Vec<u8> {
    let sign = if number.is_negative { "-" } else { "" };
    format!("{sign}{}{:0<fraction$}", number.whole, number.fraction).into_bytes()
}

impl Scorer for DigitAccuracy {
    fn name(&self) -> &'static str {
        "digit-accuracy"
    }

    fn source(&self) -> &'static str {
        include_str!("digit_accuracy.rs")
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
        let Some(answer) = judged.answer.and_then(Decimal::parse) else { return Some(0.0) };
        let fraction = answer.fraction.len().max(target.fraction.len());
        let (answer, target) = (places(&answer, fraction), places(&target, fraction));
        Some(agreement(answer.iter().rev(), target.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::score;
    use super::*;

    #[test]
    fn known_values() {
        for (answer, target, expected) in [
            ("1244", "1234", Some(0.75)),
            ("34", "1234", Some(0.5)),
            ("12340", "1234", Some(0.0)),
            ("1990", "2000", Some(0.25)),
            ("-12", "12", Some(2.0 / 3.0)),
            ("1,234", "+1234", Some(1.0)),
            ("1.5", "1.50", Some(1.0)),
            ("1.25", "1.5", Some(1.0 / 3.0)),
            ("five", "5", Some(0.0)),
            ("5", "five", None),
        ] {
            let found = score(&DigitAccuracy, AnswerKind::Number, Some(answer), target);
            assert_eq!(found, expected, "{answer} for {target}");
        }
    }
}
