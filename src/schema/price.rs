//! What a model costs.

use super::exchange::Usage;

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Tokens of prompts. Discounts for cached ones are not known.
    pub input: f64,
    /// Tokens of replies, thinking included.
    pub output: f64,
}

impl Price {
    /// What so many tokens cost, in US dollars.
    #[must_use]
    pub fn of(&self, prompt_tokens: u64, completion_tokens: u64) -> f64 {
        (prompt_tokens as f64).mul_add(self.input, completion_tokens as f64 * self.output) / 1e6
    }

    /// What an exchange cost, in US dollars.
    #[must_use]
    pub fn of_usage(&self, usage: Usage) -> f64 {
        self.of(usage.prompt_tokens, usage.completion_tokens)
    }
}
