//! What an account allows: governed before anything is sent, corrected by what came back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::pace::Pace;
pub(super) use super::width::Sign;
use super::width::Width;
use crate::schema::{Allowance, Request, Usage, Wanted};

/// Shortest time for which a limit holds requests back, whatever the endpoint says.
const SHORTEST_HOLD: Duration = Duration::from_millis(100);
/// Longest time for which a header that promises more later holds requests back.
const LONGEST_HOLD: Duration = Duration::from_secs(120);
/// Share of the newest reply in what is known of replies.
const NEWEST: f64 = 0.05;
/// Bytes of English text in a token, before any reply has told better.
const BYTES_PER_TOKEN: f64 = 4.0;

/// What an account allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at a time.
    pub in_flight: usize,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute.
    pub tokens_per_minute: Option<u32>,
}

/// What requests wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The reason, as `tokens per minute`.
    pub reason: &'static str,
    /// How long it will be about.
    pub left: Duration,
}

/// The limits of an account, which several endpoints may share.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    width: Width,
    /// First come first served, so that a large request, which waits long for its tokens, is not overtaken by small ones for
    /// ever.
    queue: tokio::sync::Mutex<()>,
    requests: Option<Pace>,
    tokens: Option<Pace>,
    /// Until when nothing is sent.
    hold: Mutex<Option<Instant>>,
    waits: Mutex<Option<(&'static str, Instant)>>,
    known: Mutex<Known>,
}

/// What replies have told so far.
#[derive(Debug)]
struct Known {
    bytes_per_token: f64,
    /// Tokens of a reply, once there was one.
    reply_tokens: Option<f64>,
}

/// A request that may go out.
#[derive(Debug)]
pub(super) struct Turn {
    slot: Option<OwnedSemaphorePermit>,
    paid: u32,
}

impl Limiter {
    /// The limits of an account.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            width: Width::new(u32::try_from(limits.in_flight).unwrap_or(u32::MAX)),
            queue: tokio::sync::Mutex::default(),
            requests: limits.requests_per_minute.map(Pace::new),
            tokens: limits.tokens_per_minute.map(Pace::new),
            hold: Mutex::default(),
            waits: Mutex::default(),
            known: Mutex::new(Known { bytes_per_token: BYTES_PER_TOKEN, reply_tokens: None }),
        }
    }

    /// What is allowed.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Most requests at a time.
    #[must_use]
    pub fn most(&self) -> usize {
        self.width.most() as usize
    }

    /// What requests wait for, if they do.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        let waits = *lock(&self.waits);
        let (reason, until) = waits?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(Waiting { reason, left })
    }

    /// Waits until a request may go out.
    pub(super) async fn turn(&self, request: &Request) -> Turn {
        let slot = self.width.slot().await;
        let _first = self.queue.lock().await;
        let waits = |reason| move |until| *lock(&self.waits) = Some((reason, until));
        let mut paid = 0;
        if let Some(pace) = &self.requests {
            pace.wait(1, waits("requests per minute")).await;
        }
        if let Some(pace) = &self.tokens {
            paid = self.estimate(request);
            pace.wait(paid, waits("tokens per minute")).await;
        }
        // Last, so that nothing goes out under a hold that began meanwhile.
        loop {
            let until = *lock(&self.hold);
            let Some(until) = until.filter(|until| *until > Instant::now()) else { break };
            waits("the endpoint, which is full")(until);
            tokio::time::sleep_until(until.into()).await;
        }
        Turn { slot, paid }
    }

    /// Ends a turn: what it cost, and what it says of the endpoint.
    pub(super) fn done(&self, turn: Turn, usage: Option<Usage>, request: &Request, sign: Sign) {
        if let Some(usage) = usage {
            // What was never sent cost nothing and tells nothing.
            if usage != Usage::default() {
                self.learn(request, usage);
            }
            let tokens = u32::try_from(usage.prompt_tokens + usage.completion_tokens).unwrap_or(u32::MAX);
            self.tokens.iter().for_each(|pace| pace.settle(turn.paid, tokens));
        }
        if matches!(sign, Sign::Full(_)) {
            self.requests.iter().chain(&self.tokens).for_each(Pace::fall_back);
        }
        self.width.done(turn.slot, sign);
    }

    /// What the endpoint says of its quota: nothing is sent until there is some again.
    pub(super) fn note(&self, allowance: &Allowance) {
        if let Some(wait) = allowance.used_up() {
            self.hold(wait.min(LONGEST_HOLD));
        }
    }

    /// Keeps every request back for a time.
    pub(super) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait.max(SHORTEST_HOLD);
        let mut hold = lock(&self.hold);
        *hold = Some(hold.map_or(until, |old| old.max(until)));
    }

    /// About as many tokens as a request costs, by what earlier ones came to.
    fn estimate(&self, request: &Request) -> u32 {
        let known = lock(&self.known);
        let reply = match &request.wanted {
            Wanted::Reply { max_tokens, .. } => {
                let most = f64::from(*max_tokens);
                // A reservation of the worst case for every request would leave most of a quota unused.
                known.reply_tokens.map_or(most, |mean| most.min(1.5_f64.mul_add(mean, 1.0)))
            }
            Wanted::Logprob { continuation } => continuation.len() as f64 / known.bytes_per_token,
            Wanted::Options { .. } => 1.0,
        };
        let tokens = request.input.length() as f64 / known.bytes_per_token + reply;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
        let tokens = tokens.ceil() as u32;
        tokens.max(1)
    }

    fn learn(&self, request: &Request, usage: Usage) {
        let mut known = lock(&self.known);
        if usage.prompt_tokens > 0 {
            let bytes = (request.input.length() as f64 / usage.prompt_tokens as f64).clamp(0.5, 10.0);
            known.bytes_per_token += NEWEST * (bytes - known.bytes_per_token);
        }
        if matches!(request.wanted, Wanted::Reply { .. }) {
            let tokens = usage.completion_tokens as f64;
            known.reply_tokens = Some(known.reply_tokens.map_or(tokens, |mean| NEWEST.mul_add(tokens - mean, mean)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::Input;

    fn request(bytes: usize, max_tokens: u32) -> Request {
        Request { input: Input::Text("x".repeat(bytes)), wanted: Wanted::Reply { max_tokens, stop: Vec::new() } }
    }

    #[tokio::test]
    async fn a_large_request_is_not_overtaken_for_ever() {
        let limits = Limits { in_flight: 64, requests_per_minute: None, tokens_per_minute: Some(60_000) };
        let limiter = Arc::new(Limiter::new(limits));
        let clock = Instant::now();
        let send = |bytes, max_tokens| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move {
                let turn = limiter.turn(&request(bytes, max_tokens)).await;
                limiter.width.done(turn.slot, Sign::Neutral);
                clock.elapsed()
            })
        };
        let first: Vec<_> = (0..4).map(|_| send(0, 25)).collect();
        for task in first {
            task.await.unwrap();
        }
        let large = send(0, 900);
        tokio::task::yield_now().await;
        let small: Vec<_> = (0..50).map(|_| send(0, 20)).collect();
        let large = large.await.unwrap();
        assert!(limiter.waiting().is_some_and(|waiting| waiting.reason == "tokens per minute"));
        assert!(large < Duration::from_millis(1600), "{large:?}");
        small.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn costs_are_learned_from_what_came_back() {
        let limits = Limits { in_flight: 1, requests_per_minute: None, tokens_per_minute: Some(6_000_000) };
        let limiter = Limiter::new(limits);
        assert_eq!(limiter.estimate(&request(400, 1000)), 1100);
        for _ in 0..200 {
            let turn = limiter.turn(&request(400, 1000)).await;
            let usage = Usage { prompt_tokens: 200, completion_tokens: 10, ..Usage::default() };
            limiter.done(turn, Some(usage), &request(400, 1000), Sign::Room);
        }
        assert_eq!(limiter.estimate(&request(400, 1000)), 216);
    }
}
