//! An endpoint as far as it decides what is sent: no address and no key.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the log-probability of a given answer is had from an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scoring {
    /// The endpoint repeats the prompt with the log-probabilities of its tokens.
    Echo,
    /// The same in a field of its own, as vLLM and SGLang have it.
    PromptLogprobs,
    /// A grammar leaves the model nothing to write but the answer, as llama.cpp can.
    Grammar,
    /// The most probable first tokens of a reply, of which those are taken that begin an option.
    FirstToken,
    /// None: the answer is what the model writes.
    Generation,
}

impl Scoring {
    /// Every method, the most faithful first.
    pub const ALL: [Self; 5] = [Self::Echo, Self::PromptLogprobs, Self::Grammar, Self::FirstToken, Self::Generation];

    /// The word used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::PromptLogprobs => "prompt-logprobs",
            Self::Grammar => "grammar",
            Self::FirstToken => "first-token",
            Self::Generation => "generation",
        }
    }

    /// Whether it gives the log-probability of any text.
    #[must_use]
    pub fn gives_any_text(self) -> bool {
        matches!(self, Self::Echo | Self::PromptLogprobs | Self::Grammar)
    }
}

/// How a model is made to choose among tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Temperature; none leaves it to the endpoint, as some models demand.
    pub temperature: Option<f64>,
    /// Share of the probability from which tokens are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Seed of the draws; the repetition is added to it.
    pub seed: u64,
    /// How much a model that thinks is to think, in the endpoint's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Most tokens of thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<u32>,
    /// Fields put over those of every request's body.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra_body: Map<String, Value>,
    /// Fields left out of every request's body, for endpoints that reject them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// The provider's dialect, where it has several.
    pub dialect: String,
    /// How log-probabilities of answers are had.
    pub scoring: Scoring,
    /// Whether tools are offered as functions, and not in the text.
    pub has_functions: bool,
    /// How the model is made to choose.
    pub sampling: Sampling,
}
