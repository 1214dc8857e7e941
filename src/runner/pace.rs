//! Spacing out what a quota allows by the minute.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Seconds whose worth may go out at once after a rest. A whole minute's worth would let twice the quota through in the first
/// minute.
const BURST_SECONDS: u32 = 1;

/// A quota by the minute.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(per_minute.get() / 60 * BURST_SECONDS).unwrap_or(NonZeroU32::MIN);
        Self { limiter: RateLimiter::direct(Quota::per_minute(per_minute).allow_burst(burst)), burst }
    }

    /// Waits until something of that cost may go out. What costs more than a burst is paid for burst by burst, so that it
    /// neither fails nor goes out for less than it costs.
    pub(super) async fn wait(&self, cost: u32) {
        let mut left = cost;
        while let Some(part) = NonZeroU32::new(left.min(self.burst.get())) {
            // A part is never larger than a burst, the only thing that is refused.
            let _ = self.limiter.until_n_ready(part).await;
            left -= part.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn a_rest_saves_up_one_second_and_no_more() {
        let (pace, clock) = (Pace::new(6_000), Instant::now());
        let mut sent = 0;
        while tokio::time::timeout(Duration::from_millis(500).saturating_sub(clock.elapsed()), pace.wait(1)).await.is_ok() {
            sent += 1;
        }
        // A hundred at once, and fifty in half a second.
        assert!((130..=155).contains(&sent), "{sent}");
    }

    #[tokio::test]
    async fn what_costs_more_than_a_burst_is_let_through_and_paid_for() {
        let (pace, clock) = (Pace::new(6_000), Instant::now());
        pace.wait(140).await;
        let waited = clock.elapsed().as_millis();
        assert!((380..800).contains(&waited), "{waited} ms");
    }
}
