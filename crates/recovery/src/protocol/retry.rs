//! What to do when the store can't do what it was asked.
//!
//! Nothing is lost while a write waits: the dataflow goes on, epochs are committed later, and
//! what is in flight is bounded. So what may pass by itself, another program's lock or a full
//! disk, is waited for within a bound. What doesn't pass is not tried again: after a failed
//! sync, nobody knows what of the file is on the disk, and a second sync that succeeds says
//! nothing about the first.

use std::time::Duration;

/// Why an operation on the store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreFailure {
    /// Another program has the file locked.
    Busy,
    /// There is no room.
    DiskFull,
    /// What was written could not be forced to the disk.
    SyncFailed,
    /// The file is not what it should be.
    Corrupt,
    /// Anything else: no permission, a device that is gone.
    Other,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Try again after this time.
    RetryAfter(Duration),
    /// Give up: the store can't be written.
    GiveUp,
    /// Give up: the store can't be trusted.
    Distrust,
}

/// How long to be patient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryPolicy {
    /// How long to wait after the first failure, the second, and so on; the last one is for
    /// all that follow. If it is empty, nothing is tried again.
    pub delays: Vec<Duration>,
    /// How long in total to wait for another program's lock.
    pub busy_for: Duration,
    /// How long in total to wait for room.
    pub full_for: Duration,
    /// How many snapshots may fail in a row for want of room.
    pub full_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            delays: [10, 50, 200, 1_000, 5_000]
                .map(Duration::from_millis)
                .to_vec(),
            busy_for: 5 * MINUTE,
            full_for: 5 * MINUTE,
            full_attempts: 100,
        }
    }
}

impl RetryPolicy {
    /// Decides what to do about an operation that has now failed `attempts` times, and waited
    /// for `waited` in between.
    pub fn decide(&self, failure: StoreFailure, attempts: u32, waited: Duration) -> Decision {
        let patience = match failure {
            StoreFailure::Busy => self.busy_for,
            StoreFailure::DiskFull if attempts < self.full_attempts => self.full_for,
            StoreFailure::DiskFull | StoreFailure::SyncFailed | StoreFailure::Other => {
                return Decision::GiveUp;
            }
            StoreFailure::Corrupt => return Decision::Distrust,
        };
        let left = patience.saturating_sub(waited);
        match self.delay(attempts) {
            Some(delay) if !left.is_zero() => Decision::RetryAfter(delay.min(left)),
            _ => Decision::GiveUp,
        }
    }

    fn delay(&self, attempts: u32) -> Option<Duration> {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        self.delays.get(index).or(self.delays.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long an operation that never succeeds is tried for, and how often.
    fn endure(policy: &RetryPolicy, failure: StoreFailure) -> (Duration, u32) {
        let mut waited = Duration::ZERO;
        let mut attempts = 1;
        while let Decision::RetryAfter(delay) = policy.decide(failure, attempts, waited) {
            assert!(!delay.is_zero());
            waited += delay;
            attempts += 1;
        }
        (waited, attempts)
    }

    #[test]
    fn backup_that_takes_half_a_minute_does_no_harm() {
        let policy = RetryPolicy::default();
        let half_a_minute = Duration::from_secs(30);
        let decision = policy.decide(StoreFailure::Busy, 11, half_a_minute);
        assert_eq!(decision, Decision::RetryAfter(Duration::from_secs(5)));
        let (waited, attempts) = endure(&policy, StoreFailure::Busy);
        assert_eq!(waited, Duration::from_secs(300));
        assert_eq!(attempts, 65);
    }

    #[test]
    fn full_disk_is_bounded_by_attempts_and_by_time() {
        let by_time = RetryPolicy {
            full_for: Duration::from_secs(2),
            ..RetryPolicy::default()
        };
        let (waited, _) = endure(&by_time, StoreFailure::DiskFull);
        assert_eq!(waited, Duration::from_secs(2));

        let by_attempts = RetryPolicy {
            full_attempts: 3,
            ..RetryPolicy::default()
        };
        let (_, attempts) = endure(&by_attempts, StoreFailure::DiskFull);
        assert_eq!(attempts, 3);
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        let policy = RetryPolicy::default();
        let decide = |failure| policy.decide(failure, 1, Duration::ZERO);
        assert_eq!(decide(StoreFailure::SyncFailed), Decision::GiveUp);
        assert_eq!(decide(StoreFailure::Other), Decision::GiveUp);
        assert_eq!(decide(StoreFailure::Corrupt), Decision::Distrust);
    }

    #[test]
    fn no_delays_mean_no_second_attempt() {
        let policy = RetryPolicy {
            delays: Vec::new(),
            ..RetryPolicy::default()
        };
        assert_eq!(endure(&policy, StoreFailure::Busy), (Duration::ZERO, 1));
    }
}
