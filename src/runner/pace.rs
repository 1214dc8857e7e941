//! Spacing out what a quota allows by the minute.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Part of a minute whose worth may go out at once after a rest: a fiftieth of a second. Endpoints count over a minute or over a
/// second, and what a rest saves up comes on top of what they allow.
const BURST: u32 = 3000;
/// Percent of a quota that is used: requests that left a little apart may arrive together.
const USED: u64 = 98;
/// The least burst: with less, every timer that fires late would lose time for good.
const LEAST_BURST: u32 = 2;

/// A quota by the minute.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
    per_minute: u32,
    /// What was paid too much so far, or too little where it is negative.
    balance: AtomicI64,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        let burst = (per_minute / BURST).max(LEAST_BURST);
        // With the burst no minute sees more than its quota, wherever it begins.
        let used =
            u32::try_from(u64::from(per_minute) * USED / 100).unwrap_or(u32::MAX).min(per_minute.saturating_sub(burst));
        let steady = NonZeroU32::new(used).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_minute(steady).allow_burst(burst));
        Self { limiter, burst, per_minute, balance: AtomicI64::new(0) }
    }

    /// Waits until something of that cost may go out, saying until when about. What costs more is paid for in
    /// parts of half a burst, so that it neither fails nor goes out for less than it costs, and a timer that fires late loses nothing.
    pub(super) async fn wait(&self, cost: u32, waits_until: impl Fn(Instant)) {
        // What earlier requests paid too much pays for this one; what they paid too little is paid now.
        let cost = i64::from(cost);
        let balance = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
            Some(balance - balance.clamp(-i64::from(self.per_minute), cost))
        });
        let covered = balance.unwrap_or_default().clamp(-i64::from(self.per_minute), cost);
        let mut left = u32::try_from(cost - covered).unwrap_or(u32::MAX);
        while let Some(part) = NonZeroU32::new(left.min(self.burst.get() / 2)) {
            match self.limiter.check_n(part) {
                Ok(Ok(())) => left -= part.get(),
                Ok(Err(not_yet)) => {
                    let wait = not_yet.wait_time_from(DefaultClock::default().now());
                    let rest = f64::from(left - part.get()) / f64::from(self.per_minute.max(1)) * 60.0;
                    waits_until(Instant::now() + wait + Duration::from_secs_f64(rest));
                    tokio::time::sleep(wait).await;
                }
                // A part is never larger than a burst, the only thing that is refused.
                Err(_) => return,
            }
        }
    }

    /// Pauses for a moment, twice a burst long: by the endpoint's clock more has gone out than by this one's.
    pub(super) fn fall_back(&self) {
        self.balance.fetch_sub(2 * i64::from(self.burst.get()), Ordering::Relaxed);
    }

    /// Corrects what was paid by what it came to.
    pub(super) fn settle(&self, paid: u32, came_to: u32) {
        self.balance.fetch_add(i64::from(paid) - i64::from(came_to), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rest_saves_up_a_moment_and_no_more() {
        let (pace, clock) = (Pace::new(6_000), Instant::now());
        let mut sent = 0;
        let left = || Duration::from_millis(500).saturating_sub(clock.elapsed());
        while tokio::time::timeout(left(), pace.wait(1, |_| {})).await.is_ok() {
            sent += 1;
        }
        // Two at once, and forty-nine in half a second.
        assert!((42..=52).contains(&sent), "{sent}");
    }

    #[tokio::test]
    async fn what_costs_more_than_a_burst_is_let_through_and_paid_for() {
        let (pace, clock) = (Pace::new(6_000), Instant::now());
        let told = std::cell::Cell::new(None);
        pace.wait(45, |until| told.set(Some(until))).await;
        let waited = clock.elapsed().as_millis();
        assert!((380..800).contains(&waited), "{waited} ms");
        assert!(told.get().is_some());
    }

    #[tokio::test]
    async fn what_was_paid_too_much_pays_for_the_next() {
        let (pace, clock) = (Pace::new(6_000), Instant::now());
        pace.wait(2, |_| {}).await;
        pace.settle(100, 10);
        pace.wait(90, |_| {}).await;
        assert!(clock.elapsed() < Duration::from_millis(200), "{:?}", clock.elapsed());
        pace.settle(90, 130);
        pace.wait(2, |_| {}).await;
        let waited = clock.elapsed().as_millis();
        assert!((380..800).contains(&waited), "{waited} ms");
    }
}
