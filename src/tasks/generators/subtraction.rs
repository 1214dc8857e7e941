//! Differences of whole numbers of a given number of digits, the largest first.
//!
//! # What it measures
//! Subtraction with borrowing; the answer is never negative. The steps work from the lowest digit, each written with
//! the borrowed ten and the lent one already applied. Single digits are taken away several at a time, from a number of two digits:
//! there are too few differences of two of them to hold some out. Differences of two numbers below nine are not asked: they stand in the
//! worked steps of modular arithmetic, which the ladder is trained on.
//!
//! # When it misleads
//! As for addition: exact match hides digit-by-digit progress.
//!
//! # Example
//! `453-286`, steps `13-6=7 14-8=6 3-2=1`, answer `167`. With four terms of one digit: `43-5-8-2`, steps
//! `43-5=38 38-8=30 30-2=28`, answer `28`.
//!
//! # Reference
//! Brown et al. 2020, Language Models are Few-Shot Learners, section 3.9.1.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{digits_low_first, join, number_of_digits, running};
use crate::schema::{Generator, Parameter, Parameters, Problem};

pub(super) struct Subtraction;

/// The largest modulus that the ladder is trained on.
const LARGEST_MODULUS: i64 = 9;

impl Generator for Subtraction {
    fn name(&self) -> &'static str {
        "subtraction"
    }

    fn source(&self) -> &'static str {
        include_str!("subtraction.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter { name: "digits", about: "digits of each number", low: 1, high: 9, default: 3 },
            Parameter {
                name: "terms",
                about: "numbers in all; of more than two, the first has a digit more",
                low: 2,
                high: 9,
                default: 2,
            },
        ]
    }

    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let (digits, count) = (parameters.get("digits"), parameters.get("terms"));
        let mut terms: Vec<i64> = (0..count).map(|_| number_of_digits(digits, rng)).collect();
        terms.sort_unstable_by(|a, b| b.cmp(a));
        let steps = if let [a, b] = *terms.as_slice() {
            steps(a, b)
        } else {
            let taken: i64 = terms.iter().skip(1).sum();
            let low = 10_i64.pow(u32::try_from(digits).unwrap_or(1));
            if let Some((first, rest)) = terms.split_first_mut() {
                *first = rng.random_range(low.max(taken)..10 * low);
                rest.shuffle(rng);
            }
            running(&terms, "-", |left, term| left - term)
        };
        let question = join(&terms, "-");
        let answer = terms.iter().copied().reduce(|left, term| left - term).unwrap_or_default();
        if let Some((_, rest)) = terms.split_first_mut() {
            rest.sort_unstable();
        }
        Problem {
            answer: answer.to_string(),
            steps: Some(steps),
            expression: Some(question.clone()),
            question,
            choices: Vec::new(),
            identity: format!("subtraction {}", join(&terms, "-")),
        }
    }

    fn is_asked(&self, problem: &Problem) -> bool {
        // A sum less the largest multiple of its modulus is the last step of modular arithmetic.
        let is_remainder = problem.answer.parse::<i64>().is_ok_and(|answer| answer < LARGEST_MODULUS);
        !is_remainder || problem.question.matches('-').count() > 1
    }
}

fn steps(a: i64, b: i64) -> String {
    let (a, b) = (digits_low_first(a), digits_low_first(b));
    let mut lent = 0;
    let mut steps = Vec::new();
    for (place, &digit) in a.iter().enumerate() {
        let below = b.get(place).copied().unwrap_or_default();
        let mut above = digit - lent;
        lent = i64::from(above < below);
        above += 10 * lent;
        steps.push(format!("{above}-{below}={}", above - below));
    }
    steps.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn steps_borrow() {
        assert_eq!(super::steps(453, 286), "13-6=7 14-8=6 3-2=1");
        assert_eq!(super::steps(500, 1), "10-1=9 9-0=9 4-0=4");
    }
}
