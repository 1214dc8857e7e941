//! How few edits turn the answer into the reference: partial credit for text and numbers.
//!
//! # What it measures
//! One minus the edit distance over the length of the longer one, so that higher is better: one for the same text,
//! zero where nothing agrees. Insertions, deletions and substitutions of characters (Unicode code points) cost one
//! each. Both are first brought to the form in which `exact-match` compares them, so that a score of one is an exact
//! match.
//!
//! # When it misleads
//! Unrelated answers do not score zero: two random strings over few letters share many, so that a plateau well above
//! zero says nothing. It has no chance level of its own. For numbers it counts `1999` as far from `2000`, which is
//! near; that is a measure of the writing, not of the arithmetic.
//!
//! # Formula
//! 1 - Levenshtein(answer, reference) / max(length(answer), length(reference)).
//!
//! # Reference
//! Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals; as a smooth companion of
//! exact match in Schaeffer, Miranda and Koyejo 2023, Are Emergent Abilities of Large Language Models a Mirage?
//!
//! # Example
//! `sitting` for `kitten`: distance 3, longer length 7, score 0.571.

use super::{canonical, share};
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct EditDistance;

/// Wagner and Fischer 1974, in the memory of one row. Time: O(length(a) length(b)).
pub(super) fn levenshtein(a: &[char], b: &[char]) -> usize {
    let (mut first, mut rest): (usize, Vec<usize>) = (0, (1..=b.len()).collect());
    for from in a {
        let mut diagonal = first;
        first += 1;
        let mut left = first;
        for (place, to) in rest.iter_mut().zip(b) {
            let above = *place;
            left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = above;
            *place = left;
        }
    }
    rest.last().copied().unwrap_or(first)
}

impl Scorer for EditDistance {
    fn name(&self) -> &'static str {
        "edit-distance"
    }

    fn source(&self) -> &'static str {
        include_str!("edit_distance.rs")
    }

    fn need(&self) -> Need {
        Need::Reply
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind != AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let Some(answer) = judged.answer else { return Some(0.0) };
        let characters = |text: &str| canonical(text, judged.kind).chars().collect::<Vec<char>>();
        let (answer, target) = (characters(answer), characters(&judged.sample.answer));
        let longer = answer.len().max(target.len());
        Some(share(longer - levenshtein(&answer, &target), longer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::score;
    use super::*;

    #[test]
    fn known_distances() {
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("saturday", "sunday", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("", "", 0),
            ("flaw", "lawn", 2),
            ("ab", "ba", 2),
        ] {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(levenshtein(&a, &b), expected);
            assert_eq!(levenshtein(&b, &a), expected);
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(score(&EditDistance, AnswerKind::Text, Some("sitting"), "kitten"), Some(4.0 / 7.0));
        assert_eq!(score(&EditDistance, AnswerKind::Text, Some("abc"), "xyz"), Some(0.0));
        assert_eq!(score(&EditDistance, AnswerKind::Text, Some(" "), ""), Some(1.0));
        assert_eq!(score(&EditDistance, AnswerKind::Number, Some("1,235"), "1234"), Some(0.75));
        assert_eq!(score(&EditDistance, AnswerKind::Text, Some("\u{fc}ber"), "uber"), Some(0.75));
    }
}
