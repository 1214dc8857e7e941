//! Which exchanges and records are certainly not stored, and which exchanges are about to be: most lookups are for what was never asked,
//! and need no disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::rows::ExchangeRow;
use crate::schema::{ExchangeKey, RecordName};

/// Bits for each key, at least: of what is not there one in four hundred may be there, for all that a full filter knows.
const BITS_FOR_EACH: usize = 16;
/// Fewest bits, two megabytes of them: a million keys.
const FEWEST: usize = 1 << 24;
/// Bits that a key sets.
const PROBES: usize = 4;

/// A Bloom filter (1970, Communications of the ACM 13:422) over keys, which are hashes already: what it has not seen is not
/// there; what it may have seen has to be looked up. A full one is followed by a larger one.
#[derive(Debug)]
pub(super) struct Keys {
    words: Vec<AtomicU64>,
    added: AtomicUsize,
    next: OnceLock<Box<Self>>,
}

impl Keys {
    /// A filter with room for that many keys.
    pub(super) fn with_room_for(keys: usize) -> Self {
        let bits = keys.saturating_mul(BITS_FOR_EACH).max(FEWEST).next_power_of_two();
        let words = (0..bits / 64).map(|_| AtomicU64::new(0)).collect();
        Self { words, added: AtomicUsize::new(0), next: OnceLock::new() }
    }

    /// Adds a key, and says whether it may have been there. One at a time: of two that add the same, both could be told that it was not.
    pub(super) fn add(&self, key: &[u8; 32]) -> bool {
        if let Some(next) = self.next.get() {
            return self.has_seen(key) || next.add(key);
        }
        let places = self.places(key);
        let was_there =
            places.fold(true, |was_there, (word, bit)| word.fetch_or(bit, Ordering::Relaxed) & bit != 0 && was_there);
        let room = self.words.len() * 64 / BITS_FOR_EACH;
        if !was_there && self.added.fetch_add(1, Ordering::Relaxed) + 1 >= room {
            self.next.get_or_init(|| Box::new(Self::with_room_for(2 * room)));
        }
        was_there
    }

    pub(super) fn may_have(&self, key: &[u8; 32]) -> bool {
        self.has_seen(key) || self.next.get().is_some_and(|next| next.may_have(key))
    }

    fn has_seen(&self, key: &[u8; 32]) -> bool {
        self.places(key).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn places(&self, key: &[u8; 32]) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let (parts, _) = key.as_chunks::<8>();
        parts.iter().take(PROBES).filter_map(|part| {
            let hash = u64::from_le_bytes(*part);
            let place = usize::try_from(hash / 64).ok()? % self.words.len();
            Some((self.words.get(place)?, 1 << (hash % 64)))
        })
    }
}

/// The records of each run that something was asked about: all runs would take long to go through, and most are never touched again.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Arc<Keys>>>);

impl Names {
    /// The records of a run, under [`key_of`] their names; `stored` finds those that are there when it is first asked about.
    pub(super) fn of<E>(&self, run: &str, stored: impl FnOnce() -> Result<Keys, E>) -> Result<Arc<Keys>, E> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = runs.get(run) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(stored()?);
        runs.insert(run.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }
}

/// What stands for the name of a record among [`Keys`].
pub(super) fn key_of(name: &RecordName<'_>) -> [u8; 32] {
    let RecordName { task, prompt, model, sample, repetition } = name;
    let mut hasher = blake3::Hasher::new();
    for text in [task, prompt, model, sample] {
        hasher.update(text.as_bytes());
        // No text has this byte.
        hasher.update(&[0xff]);
    }
    *hasher.update(&repetition.to_le_bytes()).finalize().as_bytes()
}

/// Exchanges on their way to a commit.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<ExchangeKey, Arc<ExchangeRow>>>);

impl Pending {
    pub(super) fn add(&self, exchange: Arc<ExchangeRow>) {
        // The first counts, as in the store.
        self.lock().entry(*exchange.key()).or_insert(exchange);
    }

    pub(super) fn get(&self, key: &ExchangeKey) -> Option<Arc<ExchangeRow>> {
        self.lock().get(key).cloned()
    }

    /// Takes out what a commit has dealt with.
    pub(super) fn remove<'a>(&self, keys: impl Iterator<Item = &'a ExchangeKey>) {
        let mut pending = self.lock();
        keys.for_each(|key| drop(pending.remove(key)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExchangeKey, Arc<ExchangeRow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_was_added_is_found_and_hardly_anything_else() {
        let keys = Keys::with_room_for(0);
        let known = (0..200_000).filter(|number| keys.add(&key(*number))).count();
        assert!(known < 50, "{known}");
        assert!(keys.add(&key(0)));
        assert!((0..200_000).all(|number| keys.may_have(&key(number))));
        // A twentieth of the bits are set, so that four of them are with a probability of one in a hundred thousand.
        assert!((200_000..300_000).filter(|number| keys.may_have(&key(*number))).count() < 50);
        // As many as fill it, and half of the next.
        let known = (200_000..2_000_000).filter(|number| keys.add(&key(*number))).count();
        assert!(known < 8_000, "{known}");
        assert!((0..2_000_000).all(|number| keys.may_have(&key(number)) && keys.add(&key(number))));
        assert!((2_000_000..2_100_000).filter(|number| keys.may_have(&key(*number))).count() < 500);
    }
}
