//! Chains of look-ups in a table that stands in the question.
//!
//! # What it measures
//! Reading a mapping in context and following it several times. The table maps six letters in one cycle, shown in random
//! order; the question names a letter and the number of steps. One step needs a single retrieval; three need retrievals
//! that depend on one another, which a direct answer has no room for and a scratchpad has.
//!
//! # When it misleads
//! A model that names any other letter of the table is right once in five, which is the chance level of several steps. For
//! one step there is a better blind strategy: the first letter of the table other than the one asked about is right once in
//! three, because the pair that holds the answer may come first. A plateau up to there says nothing about look-up.
//!
//! # Example
//! `qd dk ka am mz zq;2q`, steps `q>d>k`, answer `k`.
//!
//! # Reference
//! The in-context retrieval of Olsson et al. 2022, In-context Learning and Induction Heads; the multi-step form after
//! Press et al. 2023, Measuring and Narrowing the Compositionality Gap.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::schema::{Generator, Parameter, Parameters, Problem};

const LETTERS: usize = 6;

pub(super) struct Lookup;

impl Generator for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn source(&self) -> &'static str {
        include_str!("lookup.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "hops", about: "look-ups to chain", low: 1, high: 5, default: 1 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let hops = usize::try_from(parameters.get("hops")).unwrap_or(1);
        let mut alphabet: Vec<u8> = (b'a'..=b'z').collect();
        alphabet.shuffle(rng);
        let cycle: Vec<char> = alphabet.iter().take(LETTERS).map(|&byte| char::from(byte)).collect();
        let letter = |index: usize| cycle.get(index % LETTERS).copied().unwrap_or('a');
        let mut pairs: Vec<String> = (0..LETTERS).map(|index| format!("{}{}", letter(index), letter(index + 1))).collect();
        pairs.shuffle(rng);
        let start = rng.random_range(0..LETTERS);
        let path: Vec<String> = (0..=hops).map(|hop| letter(start + hop).to_string()).collect();
        let question = format!("{};{hops}{}", pairs.join(" "), letter(start));
        let mut table = pairs;
        table.sort();
        Problem {
            identity: format!("lookup {};{}", table.join(" "), letter(start)),
            expression: Some(format!("follow {question}")),
            question,
            answer: letter(start + hops).to_string(),
            steps: Some(path.join(">")),
            choices: Vec::new(),
        }
    }
}
