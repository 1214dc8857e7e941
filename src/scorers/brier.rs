//! How well the probabilities of the options match the right one: a proper score for choices.
//!
//! # What it measures
//! The complement of half the Brier score of 1950, so that higher is better and the range is zero to one: one when the
//! right option has all the probability, zero when a wrong one has it. The probabilities are those of the options
//! alone, their log-probabilities renormalised to sum to one.
//!
//! # When it misleads
//! Knowing nothing does not score zero: equal probabilities over K options give 1 - (K - 1) / (2 K), which is .75 for
//! two and .625 for four; a confident wrong model scores below that. The whole log-probability of an option counts, so
//! that long options lose to short ones. It cannot see that a model puts almost all probability on no option at all.
//!
//! # Formula
//! 1 - sum over k of (p_k - y_k)^2 / 2, with p = softmax of the log-probabilities of the options, y_k = 1 for the right
//! option and 0 for the others.
//!
//! # Reference
//! Brier 1950, Verification of forecasts expressed in terms of probability, which sums the squares, does not halve,
//! and is better when lower. As a smooth companion of the multiple choice grade: Schaeffer, Miranda and Koyejo 2023,
//! Are Emergent Abilities of Large Language Models a Mirage?
//!
//! # Example
//! Probabilities .8 and .2, the first is right: 1 - (.2^2 + .2^2) / 2 = .96.

use super::canonical;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct Brier;

impl Scorer for Brier {
    fn name(&self) -> &'static str {
        "brier"
    }

    fn source(&self) -> &'static str {
        include_str!("brier.rs")
    }

    fn need(&self) -> Need {
        Need::ChoiceLogprobs
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let options = &judged.sample.choices;
        let sums: Vec<f64> = judged.choices.iter().map(|logprobs| logprobs.sum).collect();
        let right = canonical(&judged.sample.answer, AnswerKind::Choice);
        let right = options.iter().position(|option| canonical(option, AnswerKind::Choice) == right)?;
        let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Where no option has any probability there is nothing to renormalise.
        if sums.len() != options.len() || sums.len() < 2 || !largest.is_finite() || sums.iter().any(|sum| sum.is_nan()) {
            return None;
        }
        // Relative to the largest, so that the exponentials cannot all vanish.
        let weights: Vec<f64> = sums.iter().map(|sum| (sum - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let squares: f64 = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| weight / total - f64::from(u8::from(index == right)))
            .map(|difference| difference * difference)
            .sum();
        Some((1.0 - squares / 2.0).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::schema::Logprobs;

    fn score(sums: &[f64], right: &str) -> Option<f64> {
        let sample = sample(right, &["a", "b", "c", "d"][..sums.len().min(4)]);
        let choices: Vec<Logprobs> = sums.iter().map(|&sum| Logprobs { sum, tokens: 1 }).collect();
        let kind = AnswerKind::Choice;
        Brier.score(&Judged { sample: &sample, kind, answer: None, target: None, choices: &choices, domain: &[] })
    }

    #[test]
    fn known_values() {
        let close = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}");
        close(score(&[0.8_f64.ln(), 0.2_f64.ln()], "A"), 0.96);
        // The same odds, however small the probabilities.
        close(score(&[0.8_f64.ln() - 900.0, 0.2_f64.ln() - 900.0], "a"), 0.96);
        close(score(&[0.8_f64.ln(), 0.2_f64.ln()], "b"), 0.36);
        close(score(&[-5.0, -5.0], "a"), 0.75);
        close(score(&[-1.0; 4], "c"), 0.625);
        close(score(&[0.0, f64::NEG_INFINITY], "a"), 1.0);
        close(score(&[0.0, f64::NEG_INFINITY], "b"), 0.0);
    }

    #[test]
    fn no_score_without_what_it_needs() {
        assert_eq!(score(&[f64::NEG_INFINITY; 2], "a"), None);
        assert_eq!(score(&[f64::NAN, -1.0], "a"), None);
        assert_eq!(score(&[-1.0], "a"), None);
        assert_eq!(score(&[-1.0; 2], "z"), None);
        assert_eq!(score(&[-1.0; 5], "a"), None, "four options, five log-probabilities");
    }
}
