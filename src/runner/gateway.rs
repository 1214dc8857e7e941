//! One endpoint: its dialect, its transport, its limits, and the patience with which it is asked.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand::RngExt;

use crate::schema::{Class, ExchangeKey, HttpResponse, Provider, Request, Response, Transport, TransportError, Wanted};
use crate::store::{Attempt, Store, StoreError, StoredExchange, Write};

/// Bytes of a reply that an error message shows.
const SHOWN: usize = 300;
/// Exchanges that fail in a row, with none that succeeds, after which an endpoint counts as gone.
const GIVE_UP: u32 = 16;

/// What an endpoint allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at a time.
    pub in_flight: usize,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute.
    pub tokens_per_minute: Option<u32>,
}

/// How often and how patiently a request is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts after the first.
    pub most: u32,
    /// The wait before the second attempt; it doubles with each further one.
    pub first_wait: Duration,
}

/// Why an exchange did not come about.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The request failed for good: what was sent, what came back.
    #[error("{0}")]
    Failed(String),
    /// The endpoint refuses everything, or is gone.
    #[error("{0}")]
    Unusable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One endpoint.
pub struct Gateway {
    name: String,
    provider: &'static dyn Provider,
    transport: Box<dyn Transport>,
    limits: Limits,
    retries: Retries,
    requests_limiter: Option<DefaultDirectRateLimiter>,
    tokens_limiter: Option<DefaultDirectRateLimiter>,
    requests: AtomicU64,
    failures: AtomicU32,
    unusable: Mutex<Option<String>>,
    wait_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("name", &self.name).field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn limiter(per_minute: Option<u32>) -> Option<DefaultDirectRateLimiter> {
    per_minute.and_then(NonZeroU32::new).map(|limit| RateLimiter::direct(Quota::per_minute(limit)))
}

impl Gateway {
    /// A gateway to an endpoint.
    #[must_use]
    pub fn new(
        name: &str,
        provider: &'static dyn Provider,
        transport: Box<dyn Transport>,
        limits: Limits,
        retries: Retries,
    ) -> Self {
        Self {
            name: name.to_owned(),
            provider,
            transport,
            limits,
            retries,
            requests_limiter: limiter(limits.requests_per_minute),
            tokens_limiter: limiter(limits.tokens_per_minute),
            requests: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            unusable: Mutex::new(None),
            wait_until: Mutex::new(None),
        }
    }

    /// Requests at a time.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.limits.in_flight.max(1)
    }

    /// Requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Why nothing more can be had from the endpoint.
    #[must_use]
    pub fn unusable(&self) -> Option<String> {
        self.unusable.lock().ok().and_then(|reason| reason.clone())
    }

    fn give_up(&self, reason: &str) -> GatewayError {
        if let Ok(mut slot) = self.unusable.lock() {
            slot.get_or_insert_with(|| reason.to_owned());
        }
        GatewayError::Unusable(reason.to_owned())
    }

    /// Sends a request, trying again where that may help, and commits the exchange.
    ///
    /// # Errors
    /// When no reply could be had, with what was sent and what came back.
    pub async fn exchange(
        &self,
        key: ExchangeKey,
        model: &str,
        request: &Request,
        seed: u64,
        store: &Store,
    ) -> Result<Response, GatewayError> {
        let encoded = self.provider.encode(model, request, seed).map_err(GatewayError::Failed)?;
        let mut attempt = 0;
        loop {
            if let Some(reason) = self.unusable() {
                return Err(GatewayError::Unusable(reason));
            }
            self.wait_for_turn(request).await;
            self.requests.fetch_add(1, Ordering::Relaxed);
            let (sent, clock) = (jiff::Timestamp::now().to_string(), Instant::now());
            let result = self.transport.send(encoded.clone()).await;
            let milliseconds = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (status, class, error) = match &result {
                Ok(response) if (200..300).contains(&response.status) => match self.provider.decode(request, response) {
                    Ok(response) => {
                        self.failures.store(0, Ordering::Relaxed);
                        let endpoint = self.name.clone();
                        let (model, request) = (model.to_owned(), request.clone());
                        let exchange =
                            StoredExchange { key, endpoint, model, request, response: response.clone(), sent, milliseconds };
                        store.write(Write::Exchange(Box::new(exchange))).await?;
                        return Ok(response);
                    }
                    Err(reason) => (Some(200), Class::Fatal, format!("{reason}; it begins: {}", shown(response))),
                },
                Ok(response) => {
                    let class = self.provider.classify(response);
                    (Some(response.status), class, format!("HTTP {}: {}", response.status, shown(response)))
                }
                Err(error @ TransportError::Timeout(_)) => (None, Class::Transient, error.to_string()),
                Err(error @ TransportError::Connection(_)) => (None, Class::Transient, format!("no connection: {error}")),
            };
            store.write(Write::Attempt(Attempt { key, at: sent, status, milliseconds, error: error.clone() })).await?;
            let what = format!("{} {}{} for {model}: {error}", encoded.method, self.name, encoded.path);
            let wait = match class {
                Class::Unusable => return Err(self.give_up(&what)),
                Class::Fatal => return Err(GatewayError::Failed(what)),
                Class::RateLimited(Some(after)) => {
                    self.hold(after);
                    after
                }
                Class::RateLimited(None) | Class::Transient => self.backoff(attempt),
            };
            attempt += 1;
            if attempt > self.retries.most {
                let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if in_a_row >= GIVE_UP && matches!(result, Err(TransportError::Connection(_))) {
                    return Err(self.give_up(&format!("{what} ({in_a_row} requests in a row failed)")));
                }
                return Err(GatewayError::Failed(format!("{what} (after {attempt} attempts)")));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Exponential backoff with full jitter.
    fn backoff(&self, attempt: u32) -> Duration {
        let longest = self.retries.first_wait.saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(60));
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// Keeps every request to this endpoint back: the endpoint said after how long.
    fn hold(&self, after: Duration) {
        if let Ok(mut until) = self.wait_until.lock() {
            let new = Instant::now() + after;
            *until = Some(until.map_or(new, |old| old.max(new)));
        }
    }

    async fn wait_for_turn(&self, request: &Request) {
        let until = self.wait_until.lock().ok().and_then(|until| *until);
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        if let Some(limiter) = &self.requests_limiter {
            limiter.until_ready().await;
        }
        if let Some(limiter) = &self.tokens_limiter {
            let reply = match &request.wanted {
                Wanted::Reply { max_tokens, .. } => *max_tokens as usize,
                Wanted::Logprob { continuation } => continuation.len(),
            };
            // About four bytes of English are one token.
            let estimate = u32::try_from(request.text.len() / 4 + reply).unwrap_or(u32::MAX);
            let most = self.limits.tokens_per_minute.unwrap_or(1);
            if let Some(cost) = NonZeroU32::new(estimate.clamp(1, most)) {
                // Refused only for a cost above the burst, and the clamp keeps it below.
                let _ = limiter.until_n_ready(cost).await;
            }
        }
    }
}

fn shown(response: &HttpResponse) -> String {
    String::from_utf8_lossy(&response.body).chars().take(SHOWN).collect::<String>().replace('\n', " ")
}
