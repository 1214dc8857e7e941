//! Which exchanges are certainly not stored, and which are about to be: most lookups are for what was never asked, and need no disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rows::ExchangeRow;
use crate::schema::ExchangeKey;

/// Bits for each key that is there when the store is opened.
const BITS_FOR_EACH: usize = 16;
/// Fewest bits, a megabyte of them: enough for a million keys that are added.
const FEWEST: usize = 1 << 23;
/// Bits that a key sets.
const PROBES: usize = 4;

/// A Bloom filter (1970, Communications of the ACM 13:422) over keys, which are hashes already: what it has not seen is not
/// there; what it may have seen has to be looked up.
#[derive(Debug)]
pub(super) struct Keys {
    words: Vec<AtomicU64>,
}

impl Keys {
    /// A filter with room for that many keys and as many more.
    pub(super) fn with_room_for(keys: usize) -> Self {
        let bits = keys.saturating_mul(BITS_FOR_EACH).max(FEWEST).next_power_of_two();
        Self { words: (0..bits / 64).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Adds a key, and says whether it may have been there.
    pub(super) fn add(&self, key: &ExchangeKey) -> bool {
        self.places(key).fold(true, |was_there, (word, bit)| word.fetch_or(bit, Ordering::Relaxed) & bit != 0 && was_there)
    }

    pub(super) fn may_have(&self, key: &ExchangeKey) -> bool {
        self.places(key).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn places(&self, key: &ExchangeKey) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let (parts, _) = key.0.as_chunks::<8>();
        parts.iter().take(PROBES).filter_map(|part| {
            let hash = u64::from_le_bytes(*part);
            let place = usize::try_from(hash / 64).ok()? % self.words.len();
            Some((self.words.get(place)?, 1 << (hash % 64)))
        })
    }
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

    fn key(number: u32) -> ExchangeKey {
        ExchangeKey(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn what_was_added_is_found_and_hardly_anything_else() {
        let keys = Keys::with_room_for(0);
        let known = (0..200_000).filter(|number| keys.add(&key(*number))).count();
        assert!(known < 50, "{known}");
        assert!(keys.add(&key(0)));
        assert!((0..200_000).all(|number| keys.may_have(&key(number))));
        // A tenth of the bits are set, so that four of them are with a probability of one in ten thousand.
        assert!((200_000..300_000).filter(|number| keys.may_have(&key(*number))).count() < 50);
    }
}
