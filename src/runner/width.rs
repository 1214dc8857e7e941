//! How many requests may be under way at a time: more and more while all goes well, half of it when the endpoint is full.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests at a time to begin with.
const FIRST: u32 = 8;
/// Shortest time between two cuts: replies that tell of one overload are not several.
const COOLDOWN: Duration = Duration::from_secs(1);

/// What a finished request says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It was answered at the first attempt: there is room.
    Room,
    /// The endpoint is full, and wants that long to recover.
    Full(Duration),
    /// Neither: a success after a retry, or a fault of another kind.
    Neutral,
}

/// The number of requests at a time: doubled in each round until the endpoint is full for the first time, then one more in each
/// round.
#[derive(Debug)]
pub(super) struct Width {
    most: u32,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowed: u32,
    /// Slots to be taken away when requests that hold them are done.
    owed: u32,
    /// Successes since the number was last raised.
    successes: u32,
    was_full: bool,
    rest_until: Option<Instant>,
}

impl Width {
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        let allowed = FIRST.min(most);
        let state = State { allowed, owed: 0, successes: 0, was_full: false, rest_until: None };
        Self { most, slots: Arc::new(Semaphore::new(allowed as usize)), state: Mutex::new(state) }
    }

    /// The most there may ever be.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// Waits for a slot, first come first served.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes the semaphore.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Gives a slot back, with what its request says.
    pub(super) fn done(&self, slot: Option<OwnedSemaphorePermit>, sign: Sign) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match sign {
            Sign::Neutral => {}
            Sign::Room if state.owed > 0 || state.allowed >= self.most => {}
            Sign::Room => {
                state.successes += 1;
                if !state.was_full || state.successes >= state.allowed {
                    state.successes = 0;
                    state.allowed += 1;
                    self.slots.add_permits(1);
                }
            }
            Sign::Full(after) => {
                let now = Instant::now();
                if state.rest_until.is_none_or(|until| until <= now) {
                    let less = state.allowed / 2;
                    state.allowed -= less;
                    state.owed += less;
                    state.successes = 0;
                    state.was_full = true;
                    state.rest_until = Some(now + after.max(COOLDOWN));
                }
            }
        }
        if let Some(slot) = slot
            && state.owed > 0
        {
            state.owed -= 1;
            slot.forget();
        }
        let idle = self.slots.forget_permits(state.owed as usize);
        state.owed -= u32::try_from(idle).unwrap_or(state.owed);
    }

    #[cfg(test)]
    fn allowed(&self) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_doubles_halves_and_then_grows_by_one_a_round() {
        let width = Width::new(64);
        let mut slots = Vec::new();
        while let Ok(slot) = tokio::time::timeout(Duration::from_millis(5), width.slot()).await {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 8);
        slots.into_iter().for_each(|slot| width.done(slot, Sign::Room));
        assert_eq!(width.allowed(), 16);
        for sign in [Sign::Full(Duration::ZERO), Sign::Full(Duration::ZERO), Sign::Neutral] {
            let slot = width.slot().await;
            width.done(slot, sign);
            assert_eq!(width.allowed(), 8, "one overload is one, however often it is told");
        }
        for round in 0..2 {
            assert_eq!(width.allowed(), 8 + round);
            for _ in 0..width.allowed() {
                let slot = width.slot().await;
                width.done(slot, Sign::Room);
            }
        }
        let mut held = Vec::new();
        while let Ok(slot) = tokio::time::timeout(Duration::from_millis(5), width.slot()).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 10, "as many slots as are allowed");
    }

    #[tokio::test]
    async fn it_never_goes_below_one_nor_above_the_most() {
        let width = Width::new(2);
        for _ in 0..5 {
            let slot = width.slot().await;
            width.done(slot, Sign::Room);
        }
        assert_eq!(width.allowed(), 2);
        for _ in 0..3 {
            let slot = width.slot().await;
            width.done(slot, Sign::Full(Duration::ZERO));
            width.state.lock().unwrap().rest_until = None;
        }
        assert_eq!(width.allowed(), 1);
        assert!(width.slot().await.is_some());
    }
}
