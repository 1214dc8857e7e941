//! What a run costs. Before a request is sent, the most that it can cost is committed to the store, and with its reply what it came
//! to: a budget holds across interruptions, because whatever was sent and never came back counts at its worst.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use crate::schema::{ExchangeKey, Price, Usage};
use crate::store::{Spent, Store, StoreError, Write};

/// Tokens of a prompt that an endpoint may add of its own: marks of turns, and instructions for functions.
const UNSEEN_TOKENS: usize = 1024;
/// The fields of a request's body that bound its reply, in any dialect.
const REPLY_LIMITS: [&str; 6] =
    ["max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "num_predict", "n_predict"];

/// What a run may cost, and has cost.
#[derive(Debug)]
pub struct Spending {
    run: String,
    prices: BTreeMap<String, Price>,
    /// Most that the run may cost, in US dollars.
    budget: Option<f64>,
    state: Mutex<State>,
    settled: Notify,
    next: AtomicI64,
}

#[derive(Debug)]
struct State {
    /// What is spent, worst cases of what never came back included.
    spent: Spent,
    /// What requests in flight may cost at most, and how many they are.
    reserved: f64,
    in_flight: usize,
    /// Models of which a request would not fit any more.
    used_up: BTreeSet<String>,
}

/// The worst case of a request, set aside.
#[derive(Debug)]
pub(super) struct Reservation {
    id: i64,
    usd: f64,
    price: Price,
}

/// What a request came to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bill {
    /// Nothing: it was not sent, or was turned away.
    Nothing,
    /// For this many tokens.
    Usage(Usage),
    /// Nobody knows: no whole reply came back, or one that does not say.
    Unknown,
}

impl Spending {
    /// The spending of a run, with what it has cost before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(run: &str, prices: BTreeMap<String, Price>, budget: Option<f64>, store: &Store) -> Result<Self, StoreError> {
        let state = State { spent: store.spent(run)?, reserved: 0.0, in_flight: 0, used_up: BTreeSet::new() };
        Ok(Self {
            run: run.to_owned(),
            prices,
            budget,
            state: Mutex::new(state),
            settled: Notify::new(),
            next: AtomicI64::new(store.last_spending()? + 1),
        })
    }

    /// What the run has cost so far, those before an interruption included.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.state().spent
    }

    /// The budget, when it is used up: there are requests that do not fit any more.
    #[must_use]
    pub fn used_up(&self) -> Option<f64> {
        self.budget.filter(|_| !self.state().used_up.is_empty())
    }

    /// Whether a request to the model did not fit any more.
    pub(super) fn is_used_up(&self, model: &str) -> bool {
        self.state().used_up.contains(model)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets aside what a request with this body may cost at most, once it fits; none for a model without a price. Nothing is lost
    /// when the caller stops waiting.
    ///
    /// # Errors
    /// In words, when it will not fit, or has no worst case.
    pub(super) async fn set_aside(&self, model: &str, body: &[u8]) -> Result<Option<Reservation>, String> {
        let Some(&price) = self.prices.get(model) else { return Ok(None) };
        // A token is a byte at least.
        let prompt = (body.len() + UNSEEN_TOKENS) as u64;
        let Some(reply) = reply_limit(body) else {
            return Err(
                "the request sets no limit to the reply, so that nobody can say what it will cost at most".to_owned()
            );
        };
        let usd = price.of(prompt, reply);
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            {
                let mut state = self.state();
                let fits = self.budget.is_none_or(|budget| state.spent.usd + state.reserved + usd <= budget);
                if fits {
                    state.reserved += usd;
                    state.in_flight += 1;
                    return Ok(Some(Reservation { id: self.next.fetch_add(1, Ordering::Relaxed), usd, price }));
                }
                // What is in flight may cost less than its worst case; nothing else can make room.
                if state.in_flight == 0 {
                    state.used_up.insert(model.to_owned());
                    return Err(format!("the budget has no room for a request that may cost {usd:.6} USD"));
                }
            }
            settled.await;
        }
    }

    /// What has to be committed before the request is sent.
    pub(super) fn reserve(&self, reservation: &Reservation, key: ExchangeKey) -> Write {
        Write::Reserve { id: reservation.id, run: self.run.clone(), key, usd: reservation.usd }
    }

    /// What has to be committed of what the request came to; then [`Self::close`] makes room for others. What nobody knows stays at
    /// its worst case.
    pub(super) fn settle(reservation: &Reservation, bill: Bill) -> Option<Write> {
        let id = reservation.id;
        match bill {
            Bill::Nothing => Some(Write::Settle { id, usd: 0.0 }),
            Bill::Usage(usage) => Some(Write::Settle { id, usd: reservation.price.of_usage(usage) }),
            Bill::Unknown => None,
        }
    }

    /// Gives back what is left of a reservation.
    pub(super) fn close(&self, reservation: &Reservation, bill: Bill) {
        let mut state = self.state();
        state.in_flight -= 1;
        // No rest of additions may look like money in flight.
        state.reserved = if state.in_flight == 0 { 0.0 } else { state.reserved - reservation.usd };
        match bill {
            Bill::Nothing => {}
            Bill::Usage(usage) => state.spent.usd += reservation.price.of_usage(usage),
            Bill::Unknown => {
                state.spent.usd += reservation.usd;
                state.spent.unknown_usd += reservation.usd;
                state.spent.unknown += 1;
            }
        }
        drop(state);
        self.settled.notify_waiters();
    }
}

/// The largest limit on the reply in a request's body.
fn reply_limit(body: &[u8]) -> Option<u64> {
    fn largest(value: &Value) -> Option<u64> {
        match value {
            Value::Object(fields) => fields
                .iter()
                .filter_map(
                    |(name, value)| {
                        if REPLY_LIMITS.contains(&name.as_str()) { value.as_u64() } else { largest(value) }
                    },
                )
                .max(),
            // Messages are no place for limits, and a model may write what looks like one.
            _ => None,
        }
    }
    largest(&serde_json::from_slice(body).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spending(budget: f64) -> (tempfile::TempDir, Store, Spending) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("onset.db")).unwrap();
        let prices = BTreeMap::from([("m".to_owned(), Price { input: 0.0, output: 1e4 })]);
        let spending = Spending::new("run", prices, Some(budget), &store).unwrap();
        (directory, store, spending)
    }

    const BODY: &[u8] = br#"{"options":{"num_predict":100},"messages":[{"content":"x","max_tokens":9999}]}"#;

    #[tokio::test]
    async fn a_request_waits_for_those_in_flight_and_is_turned_away_when_nothing_else_can_make_room() {
        let (_directory, store, spending) = spending(1.5);
        assert!(spending.set_aside("free", BODY).await.unwrap().is_none());
        let first = spending.set_aside("m", BODY).await.unwrap().unwrap();
        let usage = Usage { completion_tokens: 30, ..Usage::default() };
        let (second, ()) = tokio::join!(spending.set_aside("m", BODY), async {
            tokio::task::yield_now().await;
            store.write(vec![spending.reserve(&first, ExchangeKey([0; 32]))]).await.unwrap();
            store.write(vec![Spending::settle(&first, Bill::Usage(usage)).unwrap()]).await.unwrap();
            spending.close(&first, Bill::Usage(usage));
        });
        let second = second.unwrap().unwrap();
        assert!((spending.spent().usd - 0.3).abs() < 1e-12);
        store.write(vec![spending.reserve(&second, ExchangeKey([1; 32]))]).await.unwrap();
        spending.close(&second, Bill::Unknown);
        assert!(!spending.is_used_up("m"));
        assert!(spending.set_aside("m", BODY).await.unwrap_err().contains("no room"));
        assert!(spending.is_used_up("m") && spending.used_up() == Some(1.5));
        // Another process finds the same.
        let again = Spending::new("run", BTreeMap::new(), Some(1.5), &store).unwrap().spent();
        assert!((again.usd - 1.3).abs() < 1e-12 && again.unknown == 1 && (again.unknown_usd - 1.0).abs() < 1e-12);
        assert!(spending.set_aside("m", b"{}").await.unwrap_err().contains("no limit"));
    }

    #[test]
    fn the_largest_limit_of_a_body_counts_and_messages_have_none() {
        assert_eq!(reply_limit(BODY), Some(100));
        assert_eq!(reply_limit(br#"{"max_tokens":5,"generationConfig":{"maxOutputTokens":7}}"#), Some(7));
        assert_eq!((reply_limit(b"[]"), reply_limit(b"x")), (None, None));
    }
}
