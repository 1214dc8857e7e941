//! Words of five letters whose letters were shuffled.
//!
//! # What it measures
//! Recall of a word by its letters, whatever their order: sixty words are known, each scrambled in many ways. The steps put the
//! letters into the order of the alphabet first, which makes all scrambles of a word the same.
//!
//! # When it misleads
//! The words themselves are those of the training; what is held out are scrambles. It says nothing about words never seen.
//!
//! # Example
//! `anagram pplea`, steps `aelpp`, answer `apple`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.2 (anagrams).

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::lexicon::{WORDS, sorted};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Unscramble;

impl Generator for Unscramble {
    fn name(&self) -> &'static str {
        "unscramble"
    }

    fn source(&self) -> &'static str {
        include_str!("unscramble.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn problem(&self, _parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let word = WORDS.choose(rng).copied().unwrap_or_default();
        let mut letters: Vec<char> = word.chars().collect();
        let scrambled: String = loop {
            letters.shuffle(rng);
            let scrambled: String = letters.iter().collect();
            if scrambled != word {
                break scrambled;
            }
        };
        let question = format!("anagram {scrambled}");
        Problem {
            answer: word.to_owned(),
            steps: Some(sorted(word)),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            identity: format!("unscramble {scrambled}"),
        }
    }
}
