//! A string in the order of the alphabet, among three in which two letters have changed places.
//!
//! # What it measures
//! Whether the order of the alphabet is known when it is seen: it is enough to find the right string more probable than the others, so that
//! what a model knows counts before it could write any of them. As with minimal pairs of grammar the question need not be read.
//!
//! # When it misleads
//! It says less about sorting than the exact match of `sort`, which has to read the question and to compare every letter. Who knows only
//! which of six letters comes first scores .36.
//!
//! # Example
//! `sort dbeca`, choices `abcde`, `ebcda`, `acbde` and `abedc`, answer `abcde`.
//!
//! # Reference
//! Warstadt et al. 2020, BLiMP: The Benchmark of Linguistic Minimal Pairs for English, for strings that differ in one place.

use rand::Rng;
use rand::seq::SliceRandom;

use super::{different_letters, growing};
use crate::schema::{Generator, Parameter, Parameters, Problem};

/// Orders to choose from.
const CHOICES: usize = 4;

pub(super) struct Order;

impl Generator for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn source(&self) -> &'static str {
        include_str!("order.rs")
    }

    fn tool(&self) -> &'static str {
        "text"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter { name: "letters", about: "letters to sort, all different", low: 3, high: 20, default: 6 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let mut letters = different_letters(parameters.get("letters"), rng);
        let question = format!("sort {}", letters.iter().collect::<String>());
        letters.sort_unstable();
        let answer: String = letters.iter().collect();
        let mut places: Vec<(usize, usize)> =
            (1..letters.len()).flat_map(|right| (0..right).map(move |left| (left, right))).collect();
        places.shuffle(rng);
        let swapped = |&(left, right): &(usize, usize)| {
            let mut other = letters.clone();
            other.swap(left, right);
            other.into_iter().collect()
        };
        let mut choices: Vec<String> = places.iter().take(CHOICES - 1).map(swapped).collect();
        choices.push(answer.clone());
        choices.shuffle(rng);
        Problem {
            steps: Some(growing(&answer)),
            expression: Some(question.clone()),
            question,
            choices,
            // Of the same problems as `sort`, so that none of them was trained on.
            identity: format!("sort {answer}"),
            answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::lexicon::sorted;

    #[test]
    fn one_of_four_strings_is_in_order_and_the_others_but_for_two_letters() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut places = [0; CHOICES];
        for _ in 0..400 {
            let Problem { choices, answer, .. } = Order.problem(&Parameters([("letters".to_owned(), 3)].into()), &mut rng);
            let mut different = choices.clone();
            different.sort();
            different.dedup();
            assert_eq!(different.len(), CHOICES);
            for choice in &choices {
                let moved = choice.chars().zip(answer.chars()).filter(|(own, right)| own != right).count();
                assert_eq!((sorted(choice), moved), (answer.clone(), 2 * usize::from(*choice != answer)), "{choices:?}");
            }
            places[choices.iter().position(|choice| *choice == answer).unwrap()] += 1;
        }
        assert!(places.iter().all(|&count| (60..140).contains(&count)), "{places:?}");
    }
}
