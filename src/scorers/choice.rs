//! Whether the option that the reply names is the right one: all or nothing.
//!
//! # What it measures
//! One when the answer is the right option, in any case and with any punctuation around it: `(Yes).` is `yes`. The
//! reply is judged, not the probabilities of the options: a model has to know the answer and how to give it.
//!
//! # When it misleads
//! A small model that cannot yet follow the form names no option and scores below chance, so that learning the form
//! looks like learning the task; `brier` judges the probabilities and does not ask for the form. Guessing scores one
//! over the number of options, or more where one option is right more often.
//!
//! # Formula
//! 1 if strip(answer) = strip(reference), else 0; strip = lower case without what is neither letter nor digit at both
//! ends, where something is left.
//!
//! # Reference
//! The generative form of the multiple choice grade of Srivastava et al. 2022, Beyond the Imitation Game.
//!
//! # Example
//! `(Yes).` for `yes`: 1. `yes or no` for `yes`: 0.

use super::canonical;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct Choice;

/// An option that consists of punctuation, such as `<`, is left as it is.
fn strip(text: &str) -> String {
    let text = canonical(text, AnswerKind::Choice);
    let stripped = text.trim_matches(|c: char| !c.is_alphanumeric());
    if stripped.is_empty() { text } else { stripped.to_owned() }
}

impl Scorer for Choice {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn source(&self) -> &'static str {
        include_str!("choice.rs")
    }

    fn need(&self) -> Need {
        Need::Reply
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let Some(answer) = judged.answer else { return Some(0.0) };
        let (answer, target) = (canonical(answer, AnswerKind::Choice), canonical(&judged.sample.answer, AnswerKind::Choice));
        // Options may differ in nothing but punctuation, as `-1` and `1` do: an answer that is an option to the letter
        // is that option and is not stripped.
        let is_option = judged.sample.choices.iter().any(|choice| canonical(choice, AnswerKind::Choice) == answer);
        let is_right = answer == target || (!is_option && strip(&answer) == strip(&target));
        Some(f64::from(u8::from(is_right)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sample, score};
    use super::*;

    #[test]
    fn known_values() {
        for (answer, target, expected) in [
            ("(Yes).", "yes", 1.0),
            ("yes or no", "yes", 0.0),
            ("no", "yes", 0.0),
            ("<", "<", 1.0),
            (">", "<", 0.0),
            ("", "<", 0.0),
        ] {
            let found = score(&Choice, AnswerKind::Choice, Some(answer), target);
            assert_eq!(found, Some(expected), "{answer} for {target}");
        }
    }

    #[test]
    fn options_that_differ_in_punctuation_stay_apart() {
        let sample = sample("1", &["1", "-1"]);
        let judge = |answer| {
            Choice.score(&Judged {
                sample: &sample,
                kind: AnswerKind::Choice,
                answer: Some(answer),
                target: None,
                choices: &[],
                domain: &[],
            })
        };
        assert_eq!(judge("-1"), Some(0.0));
        assert_eq!(judge("1."), Some(1.0));
    }
}
