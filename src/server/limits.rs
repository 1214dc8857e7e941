//! Limits on requests and tokens per minute, as a hosted API has them, for testing clients.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::error::ApiError;

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// A bucket that is full at the start and fills within a minute.
#[derive(Debug)]
struct Limit {
    what: &'static str,
    per_minute: NonZeroU32,
    bucket: Bucket,
}

impl Limit {
    fn new(what: &'static str, per_minute: NonZeroU32) -> Self {
        let bucket = RateLimiter::direct(Quota::per_minute(per_minute)).with_middleware();
        Self { what, per_minute, bucket }
    }

    /// Takes so much out of the bucket, and says in headers what is left.
    fn take(&self, count: u32, headers: &mut HeaderMap) -> Result<(), ApiError> {
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        let limit = self.per_minute;
        let refused = |wait: Option<Duration>| {
            let words = format!("rate limit reached: {limit} {} per minute, {count} asked for", self.what);
            ApiError::rate_limited(&words, wait)
        };
        let left = match self.bucket.check_n(count) {
            Ok(Ok(state)) => state.remaining_burst_capacity(),
            Ok(Err(until)) => return Err(refused(Some(until.wait_time_from(DefaultClock::default().now())))),
            // It will never be possible.
            Err(_) => return Err(refused(None)),
        };
        for (which, value) in [("limit", limit.get()), ("remaining", left)] {
            if let Ok(name) = HeaderName::try_from(format!("x-ratelimit-{which}-{}", self.what)) {
                headers.insert(name, HeaderValue::from(value));
            }
        }
        Ok(())
    }
}

/// What a server allows all its clients together.
#[derive(Debug, Default)]
pub(super) struct Limits {
    requests: Option<Limit>,
    tokens: Option<Limit>,
}

impl Limits {
    pub(super) fn new(requests_per_minute: Option<NonZeroU32>, tokens_per_minute: Option<NonZeroU32>) -> Self {
        Self {
            requests: requests_per_minute.map(|limit| Limit::new("requests", limit)),
            tokens: tokens_per_minute.map(|limit| Limit::new("tokens", limit)),
        }
    }

    /// Lets a request in that may take up to so many tokens, those of its prompt included; the headers of its reply say what is left.
    pub(super) fn admit(&self, tokens: usize) -> Result<HeaderMap, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(requests) = &self.requests {
            requests.take(1, &mut headers)?;
        }
        if let Some(limit) = &self.tokens {
            limit.take(u32::try_from(tokens).unwrap_or(u32::MAX), &mut headers)?;
        }
        Ok(headers)
    }
}
