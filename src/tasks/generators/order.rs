//! Four orders of the same letters, one of which is that of the alphabet.
//!
//! # What it measures
//! The same as `sort`, by choosing: it is enough to find the right order more probable than three others, so that what a model knows of the
//! first letters counts before it could write them all.
//!
//! # When it misleads
//! A model that finds early letters more probable at the beginning is often right without having compared any: it says less about sorting
//! than the exact match of `sort`, and more about how an ability comes about.
//!
//! # Example
//! `sort dbeca`, choices `abcde`, `bdeca`, `ecdab` and `dabce`, answer `abcde`.
//!
//! # Reference
//! Schaeffer, Miranda and Koyejo 2023, Are Emergent Abilities of Large Language Models a Mirage?, on metrics that give credit for a part.

use rand::Rng;
use rand::seq::SliceRandom;

use super::growing;
use crate::lexicon::sorted;
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
        &[Parameter { name: "letters", about: "letters to sort, all different", low: 3, high: 20, default: 5 }]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let mut letters: Vec<char> = ('a'..='z').collect();
        letters.shuffle(rng);
        letters.truncate(usize::try_from(parameters.get("letters")).unwrap_or(5));
        let string: String = letters.iter().collect();
        let (question, answer) = (format!("sort {string}"), sorted(&string));
        let mut choices = vec![answer.clone()];
        while choices.len() < CHOICES {
            letters.shuffle(rng);
            let other: String = letters.iter().collect();
            if !choices.contains(&other) {
                choices.push(other);
            }
        }
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

    #[test]
    fn four_orders_of_the_same_letters_stand_to_choose_and_one_is_right() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut places = [0; CHOICES];
        for _ in 0..400 {
            let problem = Order.problem(&Parameters([("letters".to_owned(), 3)].into()), &mut rng);
            let mut different = problem.choices.clone();
            different.sort();
            different.dedup();
            assert_eq!(different.len(), CHOICES);
            assert!(different.iter().all(|choice| sorted(choice) == problem.answer));
            places[problem.choices.iter().position(|choice| *choice == problem.answer).unwrap()] += 1;
        }
        assert!(places.iter().all(|&count| (60..140).contains(&count)), "{places:?}");
    }
}
