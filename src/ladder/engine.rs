//! A batched decoder: continuous batching, a cache of keys and values per sequence, and one of recent prompts.
//!
//! It starts no thread and waits for nothing: the owner submits jobs and calls [`Engine::step`] until it is idle. What a job
//! yields does not depend on what else is in the batch, nor on what the cache of prompts holds.

mod forward;
mod prefix;
mod sampling;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::forward::{Forward, Memory, Row, pages};
use self::prefix::Prefixes;
pub use self::sampling::{PROMPT_TOP, PromptScore, TokenScore};
use super::checkpoint::Model;
use super::shape::{BEGIN, VOCABULARY};

/// Sequences that are run together; more of them wait.
const SEQUENCES: usize = 64;
/// Prompt tokens in one step, so that a long prompt does not hold up those who are already being answered.
const PREFILL: usize = 512;
/// Bounds of the cache of recent prompts.
const PREFIX_BYTES: usize = 32 << 20;
const PREFIX_ENTRIES: usize = 128;

/// A continuation that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Generate {
    /// Most tokens to write.
    pub max_tokens: usize,
    /// Sequences that end the reply; they are not part of it.
    pub stop: Vec<Vec<u8>>,
    /// Zero for the most likely token each time.
    pub temperature: f32,
    /// Seed of the draws.
    pub seed: u64,
    /// Alternatives to report for each token.
    pub top_logprobs: u8,
    /// What is added to the logits of some tokens.
    pub bias: Vec<(u8, f32)>,
}

/// What is wanted of the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Job {
    /// The prompt, one token a byte.
    pub prompt: Vec<u8>,
    /// The continuation that is wanted, if any.
    pub generate: Option<Generate>,
    /// The first byte of the prompt whose log-probability is wanted, if any: it and all after it are scored.
    pub score_from: Option<usize>,
    /// Whether tokens are wanted as they come.
    pub stream: bool,
}

/// Why a job cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The prompt holds something that is no token.
    #[error("byte {position} of the prompt is not ASCII; this model knows the 128 ASCII characters only")]
    NotAscii {
        /// Where.
        position: usize,
    },
    /// The prompt leaves no room in the context.
    #[error(
        "this model's maximum context length is {context} tokens, but the prompt and the least possible reply take {needed}"
    )]
    TooLong {
        /// Tokens needed.
        needed: usize,
        /// Tokens that the model takes.
        context: usize,
    },
}

impl Job {
    /// Whether a model of that context can do the job.
    ///
    /// # Errors
    /// When the prompt is not ASCII or leaves no room.
    pub fn check(&self, context: usize) -> Result<(), JobError> {
        if let Some(position) = self.prompt.iter().position(|&byte| usize::from(byte) >= VOCABULARY) {
            return Err(JobError::NotAscii { position });
        }
        let needed = 1 + self.prompt.len() + usize::from(self.most() > 0);
        if needed > context { Err(JobError::TooLong { needed, context }) } else { Ok(()) }
    }

    /// Most tokens to write.
    fn most(&self) -> usize {
        self.generate.as_ref().map_or(0, |generate| generate.max_tokens)
    }
}

/// Why a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop sequence did.
    Stop,
    /// It met the token limit or the end of the context.
    Length,
}

/// Everything a job yields.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The reply, without the stop sequence; one token a byte.
    pub text: Vec<u8>,
    /// Tokens drawn, including the end of text and those of the stop sequence.
    pub tokens: usize,
    /// Why it ended.
    pub finish: Finish,
    /// The stop sequence that ended it, if one did.
    pub stop: Option<Vec<u8>>,
    /// Tokens of the prompt, including the one that begins it.
    pub prompt_tokens: usize,
    /// For each byte of the prompt its score, where one was wanted; empty when none was.
    pub prompt_scores: Vec<Option<PromptScore>>,
    /// The score of each byte of `text`.
    pub scores: Vec<TokenScore>,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More of the reply, when the job wants it as it comes.
    Text {
        /// Bytes that follow those of the last event.
        text: Vec<u8>,
        /// Their scores.
        scores: Vec<TokenScore>,
    },
    /// It is done.
    Finished(Box<Finished>),
}

/// A job in the batch.
#[derive(Debug)]
struct Sequence {
    id: u64,
    job: Job,
    /// What begins the document, the prompt, and the reply so far.
    tokens: Vec<u8>,
    prompt_tokens: usize,
    /// Its place among the memories, once the first of its tokens are run.
    slot: Option<usize>,
    /// Tokens that were run.
    filled: usize,
    rng: ChaCha8Rng,
    prompt_scores: Vec<Option<PromptScore>>,
    scores: Vec<TokenScore>,
    drawn: usize,
    /// Bytes of the reply that were sent already.
    sent: usize,
    finish: Option<Finish>,
    /// The stop sequence that was met.
    stop: Option<Vec<u8>>,
}

impl Sequence {
    fn new(id: u64, job: Job) -> Self {
        let tokens: Vec<u8> = std::iter::once(BEGIN).chain(job.prompt.iter().copied()).collect();
        let seed = job.generate.as_ref().map_or(0, |generate| generate.seed);
        Self {
            id,
            prompt_tokens: tokens.len(),
            prompt_scores: vec![None; tokens.len()],
            tokens,
            slot: None,
            filled: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            scores: Vec::new(),
            drawn: 0,
            sent: 0,
            finish: None,
            stop: None,
            job,
        }
    }

    /// The first of `tokens` to be scored.
    fn scored_from(&self) -> Option<usize> {
        self.job.score_from.map(|from| from.saturating_add(1))
    }

    /// Tokens of the prompt to be run: the last one says only what follows the prompt.
    fn prefill(&self) -> usize {
        if self.job.most() > 0 {
            self.prompt_tokens
        } else if self.scored_from().is_some_and(|from| from < self.prompt_tokens) {
            self.prompt_tokens - 1
        } else {
            0
        }
    }

    /// Whether the logits after a position are needed.
    fn wants(&self, position: usize) -> bool {
        let token = position + 1;
        if token >= self.prompt_tokens {
            return true;
        }
        self.scored_from().is_some_and(|from| token >= from && self.prompt_scores[token].is_none())
    }

    /// Takes the logits after a position.
    fn take(&mut self, position: usize, logits: &[f32], context: usize) {
        let token = position + 1;
        if token < self.prompt_tokens {
            self.prompt_scores[token] = Some(sampling::score_prompt(logits, self.tokens[token]));
            return;
        }
        let Some(generate) = &self.job.generate else { return };
        let biased: Vec<f32>;
        let logits = if generate.bias.is_empty() {
            logits
        } else {
            biased = sampling::biased(logits, &generate.bias);
            &biased
        };
        let drawn = sampling::sample(logits, generate.temperature, &mut self.rng);
        self.drawn += 1;
        if drawn == BEGIN {
            self.finish = Some(Finish::Stop);
            return;
        }
        self.tokens.push(drawn);
        self.scores.push(sampling::score(logits, drawn, generate.top_logprobs));
        let reply = &self.tokens[self.prompt_tokens..];
        let is_met = |stop: &&Vec<u8>| !stop.is_empty() && reply.ends_with(stop);
        if let Some(stop) = generate.stop.iter().filter(is_met).max_by_key(|stop| stop.len()) {
            self.stop = Some(stop.clone());
            self.tokens.truncate(self.tokens.len() - stop.len());
            self.scores.truncate(self.scores.len() - stop.len());
            self.finish = Some(Finish::Stop);
        } else if self.drawn >= generate.max_tokens || self.tokens.len() >= context {
            self.finish = Some(Finish::Length);
        }
    }

    /// The part of the reply that was not sent and that no stop sequence can take back any more.
    fn unsent(&mut self) -> Option<Event> {
        if !self.job.stream {
            return None;
        }
        let reply = &self.tokens[self.prompt_tokens..];
        let held = match (&self.job.generate, self.finish) {
            (Some(generate), None) => generate.stop.iter().map(|stop| overlap(reply, stop)).max().unwrap_or(0),
            _ => 0,
        };
        let end = reply.len() - held;
        if end <= self.sent {
            return None;
        }
        let event = Event::Text { text: reply[self.sent..end].to_vec(), scores: self.scores[self.sent..end].to_vec() };
        self.sent = end;
        Some(event)
    }

    fn finished(mut self, finish: Finish) -> Finished {
        self.prompt_scores.remove(0);
        if let Some(from) = self.job.score_from {
            // Some that nobody asked for may have come from the cache.
            for score in self.prompt_scores.iter_mut().take(from) {
                *score = None;
            }
        } else {
            self.prompt_scores.clear();
        }
        Finished {
            text: self.tokens.split_off(self.prompt_tokens),
            tokens: self.drawn,
            finish,
            stop: self.stop,
            prompt_tokens: self.prompt_tokens,
            prompt_scores: self.prompt_scores,
            scores: self.scores,
        }
    }
}

/// Length of the longest end of `text` that begins `stop` without being all of it.
fn overlap(text: &[u8], stop: &[u8]) -> usize {
    (1..stop.len()).rev().find(|&len| text.ends_with(&stop[..len])).unwrap_or(0)
}

/// One model at work.
#[derive(Debug)]
pub struct Engine {
    forward: Forward,
    context: usize,
    waiting: VecDeque<Sequence>,
    active: Vec<Sequence>,
    memories: Vec<Memory>,
    free: Vec<usize>,
    prefixes: Prefixes,
    rows: Vec<Row>,
}

impl Engine {
    /// An engine without jobs.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        Self {
            forward: Forward::new(model),
            context: model.card.shape.context,
            waiting: VecDeque::new(),
            active: Vec::new(),
            memories: Vec::new(),
            free: Vec::new(),
            prefixes: Prefixes::new(PREFIX_BYTES, PREFIX_ENTRIES),
            rows: Vec::new(),
        }
    }

    /// Puts a job into the queue. Its events carry `id`.
    ///
    /// # Errors
    /// When the job cannot be done by this model.
    pub fn submit(&mut self, id: u64, job: Job) -> Result<(), JobError> {
        job.check(self.context)?;
        self.waiting.push_back(Sequence::new(id, job));
        Ok(())
    }

    /// Drops every job that `keep` does not want, without an event.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.waiting.retain(|sequence| keep(sequence.id));
        let (free, memories) = (&mut self.free, &mut self.memories);
        self.active.retain(|sequence| {
            let kept = keep(sequence.id);
            if let (false, Some(slot)) = (kept, sequence.slot) {
                memories[slot].clear();
                free.push(slot);
            }
            kept
        });
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Runs the model once over a batch: one token of each reply, and some of the prompts.
    pub fn step(&mut self) -> Vec<(u64, Event)> {
        while self.active.len() < SEQUENCES
            && let Some(sequence) = self.waiting.pop_front()
        {
            self.active.push(sequence);
        }
        self.gather();
        self.forward.run(&self.rows, &mut self.memories);
        let mut logits = self.forward.logits().chunks_exact(VOCABULARY);
        let mut rows = self.rows.iter().peekable();
        let mut events = Vec::new();
        let mut active = Vec::with_capacity(self.active.len());
        for mut sequence in self.active.drain(..) {
            let prefill = sequence.prefill();
            let was_filled = sequence.filled;
            while let Some(row) = rows.next_if(|row| Some(row.slot) == sequence.slot) {
                sequence.filled += 1;
                if row.wanted
                    && let Some(logits) = logits.next()
                {
                    sequence.take(row.position, logits, self.context);
                }
            }
            if was_filled < prefill && sequence.filled == prefill {
                // At the end of the prompt and not of the reply, so that jobs with the same prompt behind it can use it.
                let (tokens, scores) = (&sequence.tokens[..prefill], &sequence.prompt_scores);
                if let Some(slot) = sequence.slot {
                    let memory = &self.memories[slot][..pages(prefill)];
                    self.prefixes.insert(tokens, scores, memory, self.forward.page_bytes());
                }
            }
            if sequence.filled >= prefill && sequence.job.most() == 0 {
                sequence.finish = Some(Finish::Length);
            }
            events.extend(sequence.unsent().map(|event| (sequence.id, event)));
            if let Some(finish) = sequence.finish {
                if let Some(slot) = sequence.slot {
                    self.memories[slot].clear();
                    self.free.push(slot);
                }
                events.push((sequence.id, Event::Finished(Box::new(sequence.finished(finish)))));
            } else {
                active.push(sequence);
            }
        }
        self.active = active;
        events
    }

    /// Chooses the rows of the next batch.
    fn gather(&mut self) {
        self.rows.clear();
        let mut budget = PREFILL;
        for sequence in &mut self.active {
            let prefill = sequence.prefill();
            if sequence.slot.is_none() && sequence.filled < prefill && budget > 0 {
                // Looked up as late as possible, for what the jobs before it leave behind.
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.memories.push(Memory::new());
                    self.memories.len() - 1
                });
                sequence.slot = Some(slot);
                let limit = if sequence.job.most() > 0 { prefill - 1 } else { prefill };
                if let Some(found) = self.prefixes.find(&sequence.tokens, limit, sequence.scored_from()) {
                    self.memories[slot].extend_from_slice(&found.memory[..pages(found.positions)]);
                    sequence.filled = found.positions;
                    for (score, known) in sequence.prompt_scores.iter_mut().zip(found.scores).take(found.positions + 1) {
                        *score = *known;
                    }
                    // The token after the last position taken over may be another one than in the cache.
                    if sequence.scored_from().is_none_or(|from| from > found.positions)
                        && let Some(score) = sequence.prompt_scores.get_mut(found.positions)
                    {
                        *score = None;
                    }
                }
            }
            let Some(slot) = sequence.slot else { continue };
            let end = if sequence.filled < prefill {
                let end = prefill.min(sequence.filled + budget);
                budget -= end - sequence.filled;
                end
            } else if sequence.job.most() > 0 {
                sequence.tokens.len()
            } else {
                sequence.filled
            };
            self.rows.extend((sequence.filled..end).map(|position| Row {
                slot,
                position,
                token: sequence.tokens[position],
                wanted: sequence.wants(position),
            }));
        }
    }
}
