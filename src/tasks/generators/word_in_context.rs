//! Whether a word with two senses is used in the same sense in two contexts.
//!
//! # What it measures
//! A word-in-context judgement: twelve words with two senses each, every sense known by twelve context words. The question
//! gives a word and two context words; the answer is `yes` when both belong to the same sense. A direct answer has to
//! recall two facts and compare them in one step; the scratchpad names the two senses first.
//!
//! # When it misleads
//! It is a two-way choice, so chance is one half and small samples say little: a hundred questions cannot tell 0.5 from 0.6.
//!
//! # Example
//! `bank:river loan`, steps `1 2`, answer `no`.
//!
//! # Reference
//! An analogue of Pilehvar and Camacho-Collados 2019, WiC: the Word-in-Context Dataset; figure 2H of Wei et al. 2022.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::lexicon::AMBIGUOUS;
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct WordInContext;

impl Generator for WordInContext {
    fn name(&self) -> &'static str {
        "word-in-context"
    }

    fn source(&self) -> &'static str {
        include_str!("word_in_context.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn problem(&self, _parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let (word, senses) = AMBIGUOUS.choose(rng).copied().unwrap_or(("", [[""; 12]; 2]));
        let same = rng.random_bool(0.5);
        let first = rng.random_range(0..2_usize);
        let second = if same { first } else { 1 - first };
        let mut contexts: Vec<(usize, &str)> = Vec::new();
        if same {
            let mut words = senses.get(first).copied().unwrap_or_default();
            words.shuffle(rng);
            contexts.extend(words.iter().take(2).map(|&context| (first, context)));
        } else {
            for sense in [first, second] {
                contexts.extend(senses.get(sense).and_then(|words| words.choose(rng)).map(|&context| (sense, context)));
            }
        }
        let names: Vec<&str> = contexts.iter().map(|&(_, context)| context).collect();
        let steps: Vec<String> = contexts.iter().map(|&(sense, _)| (sense + 1).to_string()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        Problem {
            question: format!("{word}:{}", names.join(" ")),
            answer: if same { "yes" } else { "no" }.to_owned(),
            steps: Some(steps.join(" ")),
            expression: Some(format!("same {word} {}", names.join(" "))),
            choices: vec!["yes".to_owned(), "no".to_owned()],
            identity: format!("word-in-context {word}:{}", sorted.join(" ")),
        }
    }
}
