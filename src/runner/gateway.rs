//! One endpoint: its dialect, its transport, its limits, and the patience with which it is asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::watch;

use super::alone::{Alone, Busy};
use super::limiter::{Limiter, Sign, Turn, Waiting};
use super::probe::{Untried, calibrate, calibration_input};
use super::spending::{Bill, Reservation, Spending};
use crate::schema::{
    Call, Class, Endpoint, ExchangeKey, FinishReason, Found, HttpResponse, Provider, Request, Response, Transport,
    TransportError, Usage, Wanted,
};
use crate::store::{Attempt, ExchangeRow, Store, StoreError, Write};

/// Bytes of a reply that an error message shows.
const SHOWN: usize = 300;
/// Exchanges with a model that fail in a row, with none that succeeds, after which it counts as gone.
const GIVE_UP: u32 = 16;
/// How long an endpoint may limit everything that is sent to it.
const PATIENCE: Duration = Duration::from_secs(600);
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
    /// The endpoint said that it does not do what was asked.
    #[error("{0}")]
    Rejected(String),
    /// The endpoint or the model refuses everything, or is gone.
    #[error("{0}")]
    Unusable(String),
    /// The budget has no room for the request.
    #[error("{0}")]
    OverBudget(String),
    /// The run is being stopped, and nothing was in flight.
    #[error("stopped")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One endpoint.
pub struct Gateway {
    endpoint: Endpoint,
    provider: &'static dyn Provider,
    transport: Box<dyn Transport>,
    limiter: Arc<Limiter>,
    spending: Arc<Spending>,
    retries: Retries,
    busy: Busy,
    requests: AtomicU64,
    /// Whether anything came of a request but the news that there is no connection.
    is_there: AtomicBool,
    /// Whether any exchange succeeded.
    has_answered: AtomicBool,
    /// Why the endpoint cannot be used; whoever waits is woken.
    unusable: watch::Sender<Option<String>>,
    unusable_models: Mutex<BTreeMap<String, String>>,
    /// Exchanges that failed since the last that succeeded, by model and by whether a log-probability was wanted: a server
    /// may fail at these alone.
    failures: Mutex<HashMap<(String, bool), u32>>,
    /// Since when everything has been limited.
    limited_since: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("name", &self.endpoint.name)
            .field("limits", &self.limiter.limits())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway to an endpoint.
    #[must_use]
    pub fn new(
        endpoint: Endpoint,
        provider: &'static dyn Provider,
        transport: Box<dyn Transport>,
        limiter: Arc<Limiter>,
        spending: Arc<Spending>,
        retries: Retries,
    ) -> Self {
        Self {
            endpoint,
            provider,
            transport,
            limiter,
            spending,
            retries,
            busy: Busy::default(),
            requests: AtomicU64::new(0),
            is_there: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            unusable: watch::Sender::new(None),
            unusable_models: Mutex::new(BTreeMap::new()),
            failures: Mutex::new(HashMap::new()),
            limited_since: Mutex::new(None),
        }
    }

    /// Requests at a time.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.limiter.most()
    }

    /// What requests to the endpoint wait for, if they do.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        self.limiter.waiting()
    }

    /// Requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Why nothing more can be had from the endpoint.
    #[must_use]
    pub fn unusable(&self) -> Option<String> {
        self.unusable.borrow().clone()
    }

    /// Why nothing more can be had from a model, for a reason of its own.
    #[must_use]
    pub fn unusable_model(&self, model: &str) -> Option<String> {
        self.unusable_models.lock().ok().and_then(|models| models.get(model).cloned())
    }

    /// Waits until nobody else asks for the same exchange.
    pub(super) async fn alone(&self, key: ExchangeKey) -> Alone<'_> {
        self.busy.alone(key).await
    }

    /// Whether nothing more is to be asked of a model.
    pub(super) fn is_done_with(&self, model: &str) -> bool {
        self.unusable_model(model).is_some() || self.spending.is_used_up(model)
    }

    /// Whatever of the endpoint cannot be used, and why: all of it under its name, a model as `endpoint/model`.
    #[must_use]
    pub fn all_unusable(&self) -> Vec<(String, String)> {
        let models = self.unusable_models.lock().map(|models| models.clone()).unwrap_or_default();
        let models = models.into_iter().map(|(model, reason)| (format!("{}/{model}", self.endpoint.name), reason));
        self.unusable().map(|reason| (self.endpoint.name.clone(), reason)).into_iter().chain(models).collect()
    }

    fn give_up(&self, reason: String) -> GatewayError {
        self.unusable.send_if_modified(|slot| slot.is_none() && slot.replace(reason.clone()).is_none());
        GatewayError::Unusable(reason)
    }

    fn give_up_model(&self, model: &str, reason: String) -> GatewayError {
        if let Ok(mut models) = self.unusable_models.lock() {
            models.entry(model.to_owned()).or_insert_with(|| reason.clone());
        }
        GatewayError::Unusable(reason)
    }

    /// Tries whether log-probabilities are true, with requests that are committed and paid for as all are; none when that could not be
    /// tried: the run will say what is wrong with the endpoint. `identity` is that of the endpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn calibrate(
        &self,
        identity: &str,
        model: &str,
        store: &Store,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<(Found, String)>, StoreError> {
        let Endpoint { sampling, scoring, .. } = &self.endpoint;
        let failed = Mutex::new(None);
        let ask = async |request: Request| {
            let known = serde_json::json!(["calibration", identity, model, request, sampling, scoring]);
            let key = ExchangeKey(*blake3::hash(known.to_string().as_bytes()).as_bytes());
            if let Ok(Some(response)) = store.response(&key) {
                return Ok(response);
            }
            let exchange = self.exchange(key, model, &request, sampling.seed, store, stop);
            exchange.await.map_err(|error| match error {
                GatewayError::Rejected(reason) => Untried::Rejected(reason),
                GatewayError::Store(error) => {
                    let words = error.to_string();
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Untried::Failed(words)
                }
                other => Untried::Failed(other.to_string()),
            })
        };
        let found = calibrate(*scoring, &calibration_input(self.provider.is_chat()), ask).await;
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(found.ok()), Err)
    }

    /// Sends a request, trying again where that may help, and hands the exchange to the store. Once `stop` is true,
    /// nothing is sent and nothing waited for but the reply to what was sent before.
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
        stop: &watch::Receiver<bool>,
    ) -> Result<Response, GatewayError> {
        let call = Call { endpoint: &self.endpoint, model, request, seed };
        let encoded = self.provider.encode(&call).map_err(GatewayError::Failed)?;
        let (mut failed, mut limited) = (0, 0);
        loop {
            let turn = self.turn(model, request, stop).await?;
            let reservation = match self.afford(key, model, &encoded.body, store, stop).await {
                Ok(reservation) => reservation,
                Err(error) => {
                    self.limiter.done(turn, Some(Usage::default()), request, Sign::Neutral);
                    return Err(error);
                }
            };
            self.requests.fetch_add(1, Ordering::Relaxed);
            let (sent, clock) = (jiff::Timestamp::now().to_string(), Instant::now());
            let result = self.transport.send(encoded.clone()).await;
            let milliseconds = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
            if !matches!(result, Err(TransportError::NoConnection(_))) {
                self.is_there.store(true, Ordering::Relaxed);
            }
            if let Ok(response) = &result {
                self.limiter.note(&self.provider.allowance(response));
            }
            let (status, class, error) = match &result {
                Ok(http) => match self.read(&call, http) {
                    Ok(response) => {
                        let status = http.status;
                        let sign = if failed + limited == 0 { Sign::Room } else { Sign::Neutral };
                        self.limiter.done(turn, response.usage, request, sign);
                        self.note_success(model, request);
                        tracing::debug!(endpoint = self.endpoint.name, model, milliseconds, "answered");
                        let names = [self.endpoint.name.as_str(), model];
                        let came = ExchangeRow::new(key, names, request, &response, &sent, milliseconds);
                        let came = came.map(|row| Write::Exchange(Arc::new(row)));
                        let bill = response.usage.map_or_else(|| unbilled(status), Bill::Usage);
                        // What cost nothing that is accounted for need not be waited for. Either way others have their turn before the
                        // next request, so that it finds the connection of this one.
                        match reservation {
                            None => store.queue(vec![came?]).await?,
                            Some(_) => self.pay(reservation, bill, came, store).await?,
                        }
                        return Ok(response);
                    }
                    Err((class, reason)) => (Some(http.status), class, reason),
                },
                Err(error @ TransportError::TooLarge { .. }) => (None, Class::Fatal, error.to_string()),
                Err(error) => (None, Class::Transient, error.to_string()),
            };
            let sign = match (&class, &result) {
                (Class::RateLimited(after), _) => Sign::Full(after.unwrap_or_default()),
                // Whoever cannot answer in time has too much to do.
                (_, Err(TransportError::Timeout(_))) => Sign::Full(Duration::ZERO),
                _ => Sign::Neutral,
            };
            // Where the endpoint does not say how long, its quotas may.
            let quotas = || result.as_ref().ok().and_then(|response| self.provider.allowance(response).longest());
            let hold = match &class {
                Class::RateLimited(after) if self.retries.most > 0 => after.or_else(quotas),
                _ => None,
            };
            // Before the slot is free for another request, which would be turned away as well.
            if let Some(hold) = hold {
                self.limiter.hold(hold);
            }
            self.limiter.done(turn, None, request, sign);
            tracing::debug!(endpoint = self.endpoint.name, model, milliseconds, error, "attempt failed");
            let bill = match &result {
                Ok(response) => unbilled(response.status),
                Err(TransportError::NoConnection(_)) => Bill::Nothing,
                Err(_) => Bill::Unknown,
            };
            let attempt = Attempt { key, at: sent, status, milliseconds, error: error.clone() };
            self.pay(reservation, bill, Ok(Write::Attempt(attempt)), store).await?;
            let what = format!("{} {}{} for {model}: {error}", encoded.method, self.transport.address(), encoded.path);
            match class {
                Class::Unusable => return Err(self.give_up(what)),
                Class::NoModel => return Err(self.give_up_model(model, what)),
                Class::Fatal | Class::Refused if status.is_some() => return Err(GatewayError::Rejected(what)),
                Class::Fatal | Class::Refused => return Err(GatewayError::Failed(what)),
                Class::RateLimited(_) if self.retries.most == 0 => return Err(GatewayError::Failed(what)),
                // A limit says nothing about the request: it is bounded by time and uses up no retry.
                Class::RateLimited(_) => {
                    if self.limited_for() > PATIENCE {
                        let minutes = PATIENCE.as_secs() / 60;
                        return Err(self.give_up(format!("{what} (everything limited for {minutes} minutes)")));
                    }
                    if hold.is_none() {
                        self.unless_stopped(stop, tokio::time::sleep(self.backoff(limited))).await;
                    }
                    limited += 1;
                }
                Class::Transient if failed < self.retries.most => {
                    self.unless_stopped(stop, tokio::time::sleep(self.backoff(failed))).await;
                    failed += 1;
                }
                Class::Transient => {
                    let attempts = if failed == 0 { String::new() } else { format!(" (after {} attempts)", failed + 1) };
                    let error = self.used_up(model, request, format!("{what}{attempts}"));
                    // A good reply that never holds the log-probability: the endpoint has none.
                    let is_silent = wants_logprob(request) && status.is_some_and(|status| status < 300);
                    return Err(match error {
                        GatewayError::Failed(reason) if is_silent => GatewayError::Rejected(reason),
                        error => error,
                    });
                }
            }
        }
    }

    /// Sets aside what a request may cost at most, and commits that; none where the model has no price.
    async fn afford(
        &self,
        key: ExchangeKey,
        model: &str,
        body: &[u8],
        store: &Store,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Reservation>, GatewayError> {
        let mut set_aside = None;
        self.unless_stopped(stop, async { set_aside = Some(self.spending.set_aside(model, body).await) }).await;
        let reservation = set_aside.ok_or(GatewayError::Stopped)?.map_err(GatewayError::OverBudget)?;
        if let Some(reservation) = &reservation
            && let Err(error) = store.write(vec![self.spending.reserve(reservation, key)]).await
        {
            // Nothing is sent; whoever waits for what was set aside must not wait for ever.
            self.spending.close(reservation, Bill::Nothing);
            return Err(error.into());
        }
        Ok(reservation)
    }

    /// Commits what came of a request, and what it cost.
    async fn pay(
        &self,
        reservation: Option<Reservation>,
        bill: Bill,
        came: Result<Write, StoreError>,
        store: &Store,
    ) -> Result<(), StoreError> {
        let settlement = reservation.as_ref().and_then(|reservation| Spending::settle(reservation, bill));
        let written = match came {
            Ok(came) => store.write(std::iter::once(came).chain(settlement).collect()).await,
            Err(error) => Err(error),
        };
        if let Some(reservation) = reservation {
            self.spending.close(&reservation, bill);
        }
        written
    }

    /// The reply in a response, or what to make of one that holds none.
    fn read(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, (Class, String)> {
        if (200..300).contains(&response.status) {
            // A reply that was cut, garbled or empty may come whole the next time.
            let decoded = self.provider.decode(call, response);
            return decoded.map_err(|reason| (Class::Transient, format!("{reason}; the reply begins: {}", shown(response))));
        }
        let class = self.provider.classify(response);
        if class == Class::Refused {
            return Ok(Response::new("", FinishReason::Refusal));
        }
        let elsewhere = response.header("location").filter(|_| (300..400).contains(&response.status));
        let said = elsewhere.map_or_else(
            || shown(response),
            |to| format!("redirected to {}; no key is carried elsewhere: make that the base_url", without_query(to)),
        );
        Err((class, format!("HTTP {}: {said}", response.status)))
    }

    fn note_success(&self, model: &str, request: &Request) {
        self.has_answered.store(true, Ordering::Relaxed);
        if let Ok(mut failures) = self.failures.lock()
            && !failures.is_empty()
        {
            failures.remove(&kind(model, request));
        }
        if let Ok(mut since) = self.limited_since.lock() {
            *since = None;
        }
    }

    /// How long everything has been limited.
    fn limited_for(&self) -> Duration {
        self.limited_since.lock().map(|mut since| since.get_or_insert_with(Instant::now).elapsed()).unwrap_or_default()
    }

    /// A request has failed as often as it may: is it the request, the model or the endpoint?
    fn used_up(&self, model: &str, request: &Request, what: String) -> GatewayError {
        if !self.is_there.load(Ordering::Relaxed) {
            return self.give_up(what);
        }
        let mut in_a_row = 0;
        if let Ok(mut failures) = self.failures.lock() {
            let count = failures.entry(kind(model, request)).or_default();
            *count += 1;
            in_a_row = *count;
        }
        // A model whose log-probabilities are not to be had still answers; see `check`.
        if in_a_row < GIVE_UP || wants_logprob(request) {
            return GatewayError::Failed(what);
        }
        let reason = format!("{what}; {in_a_row} requests in a row failed");
        if self.has_answered.load(Ordering::Relaxed) { self.give_up_model(model, reason) } else { self.give_up(reason) }
    }

    /// Whether a request may still be sent.
    fn check(&self, model: &str, request: &Request, stop: &watch::Receiver<bool>) -> Result<(), GatewayError> {
        if *stop.borrow() {
            return Err(GatewayError::Stopped);
        }
        if let Some(reason) = self.unusable().or_else(|| self.unusable_model(model)) {
            return Err(GatewayError::Unusable(reason));
        }
        if self.spending.is_used_up(model) {
            return Err(GatewayError::OverBudget("the budget has no room for such a request".to_owned()));
        }
        let failures = |failures: &HashMap<_, u32>| failures.get(&kind(model, request)).copied().unwrap_or_default();
        if wants_logprob(request) && self.failures.lock().is_ok_and(|list| failures(&list) >= GIVE_UP) {
            let reason = format!("not asked: the last {GIVE_UP} requests for a log-probability to {model} failed");
            return Err(GatewayError::Failed(reason));
        }
        Ok(())
    }

    /// Exponential backoff with jitter.
    fn backoff(&self, attempt: u32) -> Duration {
        let longest = self.retries.first_wait.saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(60));
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// Waits for something; comes back early when the run is being stopped or the endpoint turns out to be unusable.
    async fn unless_stopped(&self, stop: &watch::Receiver<bool>, wait: impl Future<Output = ()>) {
        let mut wait = std::pin::pin!(wait);
        // Most waits are over at once.
        if futures_util::poll!(&mut wait).is_ready() {
            return;
        }
        let (mut stop, mut unusable) = (stop.clone(), self.unusable.subscribe());
        let stopped = async {
            // Without a sender there is nobody who could stop the run.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = wait => {}
            () = stopped => {}
            _ = unusable.wait_for(Option::is_some) => {}
        }
    }

    /// Waits until a request may go out.
    async fn turn(&self, model: &str, request: &Request, stop: &watch::Receiver<bool>) -> Result<Turn, GatewayError> {
        self.check(model, request, stop)?;
        let mut turn = None;
        self.unless_stopped(stop, async { turn = Some(self.limiter.turn(request).await) }).await;
        let checked = self.check(model, request, stop);
        match (checked, turn) {
            (Ok(()), Some(turn)) => Ok(turn),
            (Ok(()), None) => Err(GatewayError::Stopped),
            (Err(error), turn) => {
                if let Some(turn) = turn {
                    self.limiter.done(turn, Some(Usage::default()), request, Sign::Neutral);
                }
                Err(error)
            }
        }
    }
}

/// What a reply costs that does not say how many tokens it was: nothing, when the request was turned away.
fn unbilled(status: u16) -> Bill {
    if (200..300).contains(&status) { Bill::Unknown } else { Bill::Nothing }
}

fn wants_logprob(request: &Request) -> bool {
    !matches!(request.wanted, Wanted::Reply { .. })
}

/// An address without what may be secret in it.
fn without_query(address: &str) -> &str {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    match (address.split_once("//"), address.rsplit_once('@')) {
        (Some(_), Some((_, host))) => host,
        _ => address,
    }
}

fn kind(model: &str, request: &Request) -> (String, bool) {
    (model.to_owned(), wants_logprob(request))
}

fn shown(response: &HttpResponse) -> String {
    let text = String::from_utf8_lossy(&response.body).chars().take(SHOWN).collect::<String>().replace('\n', " ");
    if text.trim().is_empty() { "nothing in the body".to_owned() } else { text }
}
