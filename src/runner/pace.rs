//! Spacing out what a quota allows by the minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What may go out at once after a rest: the worth of this time. A whole minute's worth would let twice the quota through in
/// the first minute.
const BURST: Duration = Duration::from_secs(1);

/// A quota by the minute. Each taker is given the next free instant and moves it on by its own cost: one that costs more than
/// any burst is let through too, and those after it wait for what it took.
#[derive(Debug)]
pub(super) struct Pace {
    /// Time that one unit takes.
    unit: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { unit: Duration::from_secs(60) / per_minute.max(1), next: Mutex::new(None) }
    }

    /// Takes the next free instant for something of that cost; it may have passed already.
    pub(super) fn take(&self, cost: u32, now: Instant) -> Instant {
        let Ok(mut next) = self.next.lock() else { return now };
        let earliest = now.checked_sub(BURST.saturating_sub(self.unit)).unwrap_or(now);
        let taken = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(taken + self.unit.saturating_mul(cost.max(1)));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_kept_from_the_first_minute_on() {
        for (per_minute, most) in [(1, 1), (60, 60), (600, 609), (6000, 6099)] {
            let (pace, now) = (Pace::new(per_minute), Instant::now());
            let minute = now + Duration::from_secs(60);
            let sent = (0..3 * per_minute).filter(|_| pace.take(1, now) < minute).count();
            assert!((per_minute as usize..=most).contains(&sent), "{sent} of {per_minute}");
        }
    }

    #[test]
    fn what_costs_more_than_a_minute_is_let_through_and_paid_for() {
        let (pace, now) = (Pace::new(1000), Instant::now());
        assert!(pace.take(3000, now) <= now);
        let wait = pace.take(1, now) - now;
        assert!((178..=180).contains(&wait.as_secs()), "{wait:?}");
        // A rest does not save up more than the burst.
        let later = now + Duration::from_secs(3600);
        assert!(pace.take(17, later) <= later && pace.take(1, later) > later - Duration::from_millis(100));
    }
}
