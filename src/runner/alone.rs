//! One request of a kind at a time: whoever wants the same reply waits for it instead of buying it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::schema::ExchangeKey;

/// The exchanges that somebody is about.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<ExchangeKey, Arc<tokio::sync::Mutex<()>>>>);

/// The right to be about an exchange, until it is dropped.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    busy: &'a Busy,
    key: ExchangeKey,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Busy {
    /// Waits until nobody else is about the exchange.
    pub(super) async fn alone(&self, key: ExchangeKey) -> Alone<'_> {
        let own = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        Alone { busy: self, key, guard: Some(own.lock_owned().await) }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut busy = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.take());
        // Whoever waits has a share of it.
        if busy.get(&self.key).is_some_and(|own| Arc::strong_count(own) == 1) {
            busy.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_by_key_and_nothing_is_kept() {
        let (busy, key) = (Busy::default(), ExchangeKey([1; 32]));
        let first = busy.alone(key).await;
        drop(busy.alone(ExchangeKey([2; 32])).await);
        {
            let mut second = std::pin::pin!(busy.alone(key));
            assert!(futures_util::poll!(&mut second).is_pending());
            drop(first);
            assert!(futures_util::poll!(&mut second).is_ready());
        }
        assert!(busy.0.lock().unwrap().is_empty());
    }
}
