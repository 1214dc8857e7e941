//! Whether the question raises the probability of the right option most: all or nothing.
//!
//! # What it measures
//! An option that is probable anyway says little of the question: its log-probability behind nothing but the end of the prompt (its last
//! line, such as `A:`) is taken off first. What is left is the pointwise mutual information of question and option.
//!
//! # When it misleads
//! It favours rare options, and doubles what is asked: once more for every option, though not for every sample. It needs an endpoint that
//! gives the log-probability of any text, and a prompt whose last line is not empty; else there is no score.
//!
//! # Formula
//! 1 if argmax over k of ln p(option k | question) - ln p(option k | last line of the prompt) is the right option, else 0.
//!
//! # Reference
//! Holtzman et al. 2021, Surface Form Competition: the domain-conditional form. `acc_mutual_info` of lm-evaluation-harness conditions on
//! nothing instead, which endpoints cannot give of a first token.
//!
//! # Example
//! ln p of "yes" is -1, without the question -.5; of "no" -2, without -3: -.5 and +1, so that "no" is chosen.

use super::names_the_right_one;
use crate::schema::{AnswerKind, Judged, Need, ScoreRange, Scorer};

pub(super) struct AccMutualInfo;

impl Scorer for AccMutualInfo {
    fn name(&self) -> &'static str {
        "acc-mutual-info"
    }

    fn source(&self) -> &'static str {
        include_str!("acc_mutual_info.rs")
    }

    fn need(&self) -> Need {
        Need::MutualInformation
    }

    fn range(&self) -> ScoreRange {
        ScoreRange { low: 0.0, high: 1.0 }
    }

    fn fits(&self, kind: AnswerKind) -> bool {
        kind == AnswerKind::Choice
    }

    fn score(&self, judged: &Judged<'_>) -> Option<f64> {
        if judged.domain.len() != judged.choices.len() {
            return None;
        }
        let mut domain = judged.domain.iter();
        names_the_right_one(judged, |_, logprobs| logprobs.sum - domain.next().map_or(f64::NAN, |domain| domain.sum))
    }
}
