//! Bearing with a store that is busy or full, as long as the protocol says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::protocol::retry::{Decision, RetryPolicy, StoreFailure};
use crate::store::{self, Patience, StoreError, Trouble};

/// How long one operation was waited for, and how long it still may be.
#[derive(Debug)]
pub(super) struct Endurance {
    policy: RetryPolicy,
    waited: Duration,
    /// Whether nothing that is still to be written is worth a wait.
    hurried: Arc<AtomicBool>,
}

impl Endurance {
    pub(super) fn new(policy: RetryPolicy, hurried: Arc<AtomicBool>) -> Self {
        Self {
            policy,
            waited: Duration::ZERO,
            hurried,
        }
    }
}

impl store::RetryPolicy for Endurance {
    fn after(&mut self, trouble: Trouble, attempt: u32) -> Patience {
        if self.hurried.load(Ordering::Relaxed) {
            return Patience::GiveUp;
        }
        if attempt == 1 {
            self.waited = Duration::ZERO;
        }
        let failure = match trouble {
            Trouble::Busy => StoreFailure::Busy,
            Trouble::Full => StoreFailure::DiskFull,
        };
        match self.policy.decide(failure, attempt, self.waited) {
            Decision::RetryAfter(delay) => {
                self.waited += delay;
                Patience::Wait(delay)
            }
            Decision::GiveUp | Decision::Distrust => Patience::GiveUp,
        }
    }
}

/// Tries something on this thread until it is done, or patience ends.
pub(super) fn patiently<T>(
    policy: &RetryPolicy,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut endurance = Endurance::new(policy.clone(), Arc::default());
    let mut failures = 0;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let trouble = match error {
            StoreError::Busy { .. } => Trouble::Busy,
            StoreError::Full { .. } => Trouble::Full,
            other => return Err(other),
        };
        failures += 1;
        match store::RetryPolicy::after(&mut endurance, trouble, failures) {
            Patience::Wait(delay) => thread::sleep(delay),
            Patience::GiveUp => return Err(error),
        }
    }
}
