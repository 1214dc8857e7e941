//! What is remembered of recent prompts, so that the next one with the same beginning need not compute it again.

use std::sync::Arc;

use super::forward::{Memory, Page};
use super::sampling::PromptScore;

/// One prompt that was run.
#[derive(Debug)]
struct Entry {
    tokens: Vec<u8>,
    /// Its keys and values.
    memory: Memory,
    /// The score of each token, where it was computed.
    scores: Vec<Option<PromptScore>>,
    used: u64,
    /// What it takes at most: pages that it shares with others are counted in full.
    bytes: usize,
}

impl Entry {
    /// Positions that a prompt can take over: those of the common prefix, but of the tokens that must be scored no more than
    /// have a score here, since the logits of a position taken over are not computed.
    fn usable(&self, tokens: &[u8], limit: usize, scored_from: Option<usize>) -> usize {
        let common = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let usable = common.min(limit);
        let Some(from) = scored_from else { return usable };
        // Position `p` yields the score of token `p + 1`.
        (from..=usable)
            .find(|&token| token >= common || self.scores[token].is_none())
            .map_or(usable, |unknown| unknown.saturating_sub(1))
    }
}

/// Recent prompts, bounded in number and in bytes; the least recently used goes first.
#[derive(Debug)]
pub(super) struct Prefixes {
    entries: Vec<Entry>,
    bytes: usize,
    most_bytes: usize,
    most_entries: usize,
    clock: u64,
}

/// What a prompt can take over.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) positions: usize,
    pub(super) memory: &'a [Arc<Page>],
    pub(super) scores: &'a [Option<PromptScore>],
}

impl Prefixes {
    pub(super) fn new(most_bytes: usize, most_entries: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, most_bytes, most_entries, clock: 0 }
    }

    /// The entry of which a prompt can take over most, up to `limit` positions.
    pub(super) fn find(&mut self, tokens: &[u8], limit: usize, scored_from: Option<usize>) -> Option<Found<'_>> {
        self.clock += 1;
        let usable = |entry: &Entry| entry.usable(tokens, limit, scored_from);
        let entry = self.entries.iter_mut().max_by_key(|entry| usable(entry))?;
        let positions = usable(entry);
        if positions == 0 {
            return None;
        }
        entry.used = self.clock;
        let Entry { memory, scores, .. } = entry;
        Some(Found { positions, memory, scores })
    }

    /// Remembers a prompt and the pages that hold it.
    pub(super) fn insert(&mut self, tokens: &[u8], scores: &[Option<PromptScore>], memory: &[Arc<Page>], page_bytes: usize) {
        self.clock += 1;
        let mut scores: Vec<Option<PromptScore>> =
            (0..tokens.len()).map(|token| scores.get(token).copied().flatten()).collect();
        let merge = |into: &mut [Option<PromptScore>], from: &[Option<PromptScore>]| {
            for (into, from) in into.iter_mut().zip(from) {
                *into = into.or(*from);
            }
        };
        if let Some(longer) = self.entries.iter_mut().find(|entry| entry.tokens.starts_with(tokens)) {
            merge(&mut longer.scores, &scores);
            longer.used = self.clock;
            return;
        }
        // A prefix of the new entry is of no more use.
        self.entries.retain(|entry| {
            let is_prefix = tokens.starts_with(&entry.tokens);
            if is_prefix {
                merge(&mut scores, &entry.scores);
                self.bytes -= entry.bytes;
            }
            !is_prefix
        });
        let bytes = memory.len() * page_bytes + tokens.len() * (1 + size_of::<Option<PromptScore>>());
        let entry = Entry { tokens: tokens.to_vec(), memory: memory.to_vec(), scores, used: self.clock, bytes };
        self.bytes += bytes;
        self.entries.push(entry);
        while self.bytes > self.most_bytes || self.entries.len() > self.most_entries {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used).map(|(index, _)| index);
            let Some(oldest) = oldest else { break };
            self.bytes -= self.entries.swap_remove(oldest).bytes;
        }
    }
}
