//! What is sent to a model and what comes back.

use serde::{Deserialize, Serialize};

/// What is wanted from the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// A continuation of the text.
    Reply {
        /// Most tokens to write.
        max_tokens: u32,
        /// Sequences that end the reply; they are not part of it.
        stop: Vec<String>,
    },
    /// The log-probability of a given continuation of the text.
    Logprob {
        /// The continuation.
        continuation: String,
    },
}

/// One request, free of any provider's dialect. With the model's name it is what an exchange is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The text so far: a completions endpoint gets it as it is, a chat endpoint as one user message.
    pub text: String,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Why a model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// It met the token limit.
    Length,
    /// The provider filtered the reply, or the model refused.
    Refusal,
}

/// Tokens of one exchange, as the endpoint counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// The log-probability of one continuation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Logprobs {
    /// Sum over its tokens, in nats.
    pub sum: f64,
    /// Number of tokens summed.
    pub tokens: u32,
}

/// One reply, free of any provider's dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// What the model wrote, without the stop sequence; empty for a log-probability.
    pub text: String,
    /// Why it stopped.
    pub finish: FinishReason,
    /// The log-probability that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// Tokens, when the endpoint says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The model that the endpoint says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}
