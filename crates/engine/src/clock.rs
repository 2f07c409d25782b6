//! Time, as the engine is given it.
//!
//! Wall-clock time decides when a source or a timer is due, since users name such
//! moments as dates. Monotonic time decides how long an epoch lasts, so that
//! setting the clock neither stops epochs nor makes them race.

use std::time::{Duration, Instant, SystemTime};

/// A moment: microseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// This moment and a span more; stays at the end of time if it gets there.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long until this moment; zero if it has come.
    pub fn since(self, now: Self) -> Duration {
        let micros = self.0.saturating_sub(now.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// Where the engine reads the time.
pub trait Clock: Send + Sync {
    /// The date and time.
    fn wall(&self) -> Micros;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// The clock of this machine, with monotonic time counted from now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn wall(&self) -> Micros {
        let now = SystemTime::now();
        match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Micros(0).after(since),
            Err(before) => {
                let micros = i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX);
                Micros(-micros)
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Where timely begins to count, for its own timers.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn timely_origin() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_time_do_not_overflow() {
        assert_eq!(Micros(i64::MAX).after(Duration::MAX), Micros(i64::MAX));
        assert_eq!(Micros(i64::MIN).since(Micros(i64::MAX)), Duration::ZERO);
        assert_eq!(
            Micros(i64::MAX).since(Micros(i64::MIN)),
            Duration::from_micros(i64::MAX as u64)
        );
    }
}
