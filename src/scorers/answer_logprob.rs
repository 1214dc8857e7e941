//! How probable the model finds the reference answer, in nats per byte.
//!
//! # What it measures
//! The log-probability of the reference answer in the place where the answer stands, divided by the number of its
//! bytes in UTF-8. Zero is certainty; one bit per byte is -0.693. It moves long before the first right answer, and
//! dividing by bytes, not by tokens, keeps models with different vocabularies comparable.
//!
//! # When it misleads
//! Under a scratchpad or a tool the place follows the model's own transcript: a wrong step before it makes a confident
//! model improbable, and a right step makes the answer a mere copy. A reference that could be written in other ways
//! shares its probability with them. It grows with mere fluency: a model that has learnt that an answer is three digits
//! gains without knowing which. It has no chance level.
//!
//! # Formula
//! ln p(reference | text before it) / bytes(reference).
//!
//! # Reference
//! Cross-entropy as the smooth companion of exact match: Srivastava et al. 2022, Beyond the Imitation Game; Wei et al.
//! 2022, Emergent Abilities of Large Language Models, appendix A. Per byte: Gao et al. 2020, The Pile.
//!
//! # Example
//! A model that guesses three digits uniformly, ten to choose from: ln(1/1000) / 3 = -2.303.

use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct AnswerLogprob;

impl Scorer for AnswerLogprob {
    fn name(&self) -> &'static str {
        "answer-logprob"
    }

    fn source(&self) -> &'static str {
        include_str!("answer_logprob.rs")
    }

    fn need(&self) -> Need {
        Need::TargetLogprob
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: f64::NEG_INFINITY, high: 0.0 }
    }

    fn fits(&self, _kind: AnswerKind) -> bool {
        true
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        let bytes = judged.sample.answer.len();
        let sum = judged.target?.sum;
        // Servers compute in single precision and may round certainty to just above zero.
        (bytes > 0 && !sum.is_nan()).then(|| (sum / bytes as f64).min(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::schema::Logprobs;

    fn score(sum: f64, answer: &str) -> Option<f64> {
        let sample = sample(answer, &[]);
        let target = Some(Logprobs { sum, tokens: 2 });
        AnswerLogprob.score(&Judged {
            sample: &sample,
            kind: AnswerKind::Text,
            answer: None,
            target,
            choices: &[],
            domain: &[],
        })
    }

    #[test]
    fn known_values() {
        let found = score((0.001_f64).ln(), "427").unwrap();
        assert!((found + std::f64::consts::LN_10).abs() < 1e-12, "{found}");
        assert_eq!(score(-3.0, "\u{fc}b"), Some(-1.0), "three bytes");
        assert_eq!(score(1e-7, "7"), Some(0.0));
        assert_eq!(score(f64::NEG_INFINITY, "7"), Some(f64::NEG_INFINITY));
        assert_eq!(score(f64::NAN, "7"), None);
        assert_eq!(score(-1.0, ""), None);
    }
}
