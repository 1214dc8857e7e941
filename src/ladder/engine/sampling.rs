//! From logits to tokens and their log-probabilities.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::kernels::exponential;

/// Most likely alternatives that are kept for a token of a prompt.
pub const PROMPT_TOP: usize = 5;

/// How likely a token of a prompt was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptScore {
    /// Its log-probability, in nats.
    pub logprob: f32,
    /// The most likely tokens in its place, with their log-probabilities.
    pub top: [(u8, f32); PROMPT_TOP],
}

/// How likely a generated token was, before the temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenScore {
    /// Its log-probability, in nats.
    pub logprob: f32,
    /// The most likely tokens in its place, with their log-probabilities; as many as were asked for.
    pub top: Vec<(u8, f32)>,
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// What to subtract from a logit to get a log-probability.
fn normaliser(logits: &[f32]) -> f32 {
    let largest = largest(logits);
    largest + logits.iter().map(|x| exponential(x - largest)).sum::<f32>().ln()
}

/// The `top.len()` largest logits in falling order; of equals the first.
fn select(top: &mut [(u8, f32)], logits: &[f32]) {
    top.fill((0, f32::NEG_INFINITY));
    for (token, &logit) in logits.iter().enumerate() {
        if top.last().is_some_and(|&(_, least)| logit > least) {
            let place = top.partition_point(|&(_, other)| other >= logit);
            top[place..].rotate_right(1);
            top[place] = (token as u8, logit);
        }
    }
}

/// The logits with something added to some of them.
pub(super) fn biased(logits: &[f32], bias: &[(u8, f32)]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &(token, bias) in bias {
        if let Some(logit) = logits.get_mut(usize::from(token)) {
            *logit += bias;
        }
    }
    logits
}

/// The score of a given token.
pub(super) fn score_prompt(logits: &[f32], token: u8) -> PromptScore {
    let normaliser = normaliser(logits);
    let mut top = [(0, 0.0); PROMPT_TOP];
    select(&mut top, logits);
    PromptScore {
        logprob: logits[usize::from(token)] - normaliser,
        top: top.map(|(token, logit)| (token, logit - normaliser)),
    }
}

/// The score of a generated token.
pub(super) fn score(logits: &[f32], token: u8, count: u8) -> TokenScore {
    let normaliser = normaliser(logits);
    let mut top = vec![(0, 0.0); usize::from(count).min(logits.len())];
    select(&mut top, logits);
    for (_, logit) in &mut top {
        *logit -= normaliser;
    }
    TokenScore { logprob: logits[usize::from(token)] - normaliser, top }
}

/// Draws a token: the most likely one, the first of equals, at temperature zero.
pub(super) fn sample(logits: &[f32], temperature: f32, rng: &mut ChaCha8Rng) -> u8 {
    let largest = largest(logits);
    let best = logits.iter().position(|&x| x >= largest).unwrap_or_default() as u8;
    if temperature <= 0.0 {
        return best;
    }
    let weight = |x: &f32| exponential((x - largest) / temperature);
    let mut left = rng.random::<f32>() * logits.iter().map(weight).sum::<f32>();
    for (token, logit) in logits.iter().enumerate() {
        left -= weight(logit);
        if left < 0.0 {
            return token as u8;
        }
    }
    // Only rounding leads here.
    best
}
