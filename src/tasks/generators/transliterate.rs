//! Letters to be written in another alphabet: which one, only the examples show.
//!
//! # What it measures
//! In-context mapping, in the manner of transliteration into the phonetic alphabet: there are four alphabets, the question
//! does not name one, and every answered example is written in the same. The steps map letter by letter; the tool is told the number
//! of the alphabet.
//!
//! # When it misleads
//! Zero-shot the alphabet can only be guessed: read few-shot against zero-shot, paired.
//!
//! # Example
//! In the first alphabet `write cab`, steps `ci am bo`, answer `imo`.
//!
//! # Reference
//! The task `international_phonetic_alphabet_transliterate` of BIG-bench (Srivastava et al. 2022), figure 2B of Wei et al. 2022.

use rand::Rng;

use super::letters;
use crate::lexicon::transliterate;
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Transliterate;

impl Generator for Transliterate {
    fn name(&self) -> &'static str {
        "transliterate"
    }

    fn source(&self) -> &'static str {
        include_str!("transliterate.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter { name: "letters", about: "letters in the word", low: 3, high: 12, default: 4 },
            Parameter { name: "alphabet", about: "in which alphabet the answer is written", low: 1, high: 4, default: 1 },
        ]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let alphabet = parameters.get("alphabet");
        let word = letters(parameters.get("letters"), rng);
        let answer = transliterate(&word, usize::try_from(alphabet).unwrap_or(1)).unwrap_or_default();
        let steps: Vec<String> = word.chars().zip(answer.chars()).map(|(from, to)| format!("{from}{to}")).collect();
        Problem {
            question: format!("write {word}"),
            answer,
            steps: Some(steps.join(" ")),
            expression: Some(format!("write {alphabet} {word}")),
            choices: Vec::new(),
            identity: format!("transliterate {word}"),
        }
    }
}
