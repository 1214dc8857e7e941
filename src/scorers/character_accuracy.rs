//! The share of characters that are right, place by place from the left: partial credit for text.
//!
//! # What it measures
//! Answer and reference are written below one another from their beginnings, and the places that hold the same
//! character (Unicode code point) are counted, of the places of the longer one. White space around both does not
//! matter.
//!
//! # When it misleads
//! One character left out or put in shifts all that follow and can cost the rest; `edit-distance` forgives that. Texts
//! over few letters agree by chance. It counts characters and not tokens: models with different vocabularies stay
//! comparable, and the p^L argument holds for characters only roughly.
//!
//! # Formula
//! (places that agree, counted from the left) / max(length(answer), length(reference)).
//!
//! # Reference
//! The per-token scores of Schaeffer, Miranda and Koyejo 2023, Are Emergent Abilities of Large Language Models a
//! Mirage?, taken over characters.
//!
//! # Example
//! `hallo` for `hello`: 0.8. `ello` for `hello`: 0.2, where only the third character agrees.

use super::{agreement, canonical};
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct CharacterAccuracy;

impl Scorer for CharacterAccuracy {
    fn name(&self) -> &'static str {
        "character-accuracy"
    }

    fn source(&self) -> &'static str {
        include_str!("character_accuracy.rs")
    }

    fn need(&self) -> Need {
        Need::Reply
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Text
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let Some(answer) = judged.answer else { return Some(0.0) };
        let characters = |text: &str| canonical(text, judged.kind).chars().collect::<Vec<char>>();
        Some(agreement(characters(answer).iter(), characters(&judged.sample.answer).iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::score;
    use super::*;

    #[test]
    fn known_values() {
        for (answer, target, expected) in [
            ("hallo", "hello", 0.8),
            ("ello", "hello", 0.2),
            ("hello world", "hello", 5.0 / 11.0),
            ("", "", 1.0),
            ("x", "", 0.0),
            ("\u{fc}b", "ub", 0.5),
        ] {
            let found = score(&CharacterAccuracy, AnswerKind::Text, Some(answer), target);
            assert_eq!(found, Some(expected), "{answer} for {target}");
        }
    }
}
