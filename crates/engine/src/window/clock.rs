//! How far event time has come, for one key.
//!
//! The *watermark* is the claim that everything older has been seen. A value that
//! is older all the same is late. A clock decides two things: the timestamp of a
//! value, and what it does to the watermark.
//!
//! Nothing here reads the time of day: it is passed in once per call, and a time
//! that went back counts as no time passed.

use crate::clock::Micros;

/// 0001-01-01 00:00 UTC, where every watermark begins.
pub const START_OF_TIME: i64 = -62_135_596_800_000_000;

/// The last microsecond of the year 9999. What is due then, or later, becomes due
/// when the input ends.
pub const END_OF_TIME: i64 = 253_402_300_799_999_999;

/// How far a watermark goes while there is input.
const LAST: i64 = END_OF_TIME - 1;

/// Where timestamps come from, and what they say about the ones to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Values carry their timestamp.
    ///
    /// The watermark is the latest timestamp less `wait`, and moves on with system
    /// time from there, so that windows close although no more values come.
    Event {
        /// How long to wait for values that arrive out of order, in microseconds.
        wait: i64,
    },
    /// A value's timestamp is the time at which it is processed. None is late.
    System,
}

/// What a clock remembers of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyClock {
    /// The watermark when system time was `as_of`.
    watermark: i64,
    /// The latest system time that was seen.
    as_of: Micros,
}

impl KeyClock {
    /// The clock of a key that begins now.
    #[must_use]
    pub fn new(now: Micros) -> Self {
        Self::resume(START_OF_TIME, now)
    }

    /// The clock of a key that goes on from a watermark. System time that passed in
    /// between doesn't count.
    #[must_use]
    pub fn resume(watermark: i64, now: Micros) -> Self {
        Self {
            watermark,
            as_of: now,
        }
    }

    /// How far event time has come. Never goes back.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.watermark
    }
}

impl Clock {
    /// Lets system time pass.
    pub fn advance(self, key: &mut KeyClock, now: Micros) {
        let now = now.max(key.as_of);
        let watermark = match self {
            Self::Event { .. } => {
                let passed = now.0.saturating_sub(key.as_of.0);
                key.watermark.saturating_add(passed)
            }
            Self::System => now.0.max(key.watermark),
        };
        key.watermark = watermark.min(LAST);
        key.as_of = now;
    }

    /// Takes notice of a value, and returns its timestamp. The value is late if that
    /// is before the watermark now.
    ///
    /// `timestamp` is the one that the value carries. If it lies beyond an end of
    /// time, it counts as that end. [`Clock::System`] ignores it.
    #[inline]
    pub fn observe(self, key: &mut KeyClock, timestamp: i64) -> i64 {
        match self {
            Self::Event { wait } => {
                let timestamp = timestamp.clamp(START_OF_TIME, END_OF_TIME);
                let candidate = timestamp.saturating_sub(wait).min(LAST);
                key.watermark = key.watermark.max(candidate);
                timestamp
            }
            Self::System => key.watermark,
        }
    }

    /// The system time at which the watermark reaches `timestamp` if no more values
    /// come; none if it never does.
    #[must_use]
    pub fn reaches(self, key: &KeyClock, timestamp: i64) -> Option<Micros> {
        let at = match self {
            Self::Event { .. } => {
                let missing = timestamp.saturating_sub(key.watermark);
                key.as_of.0.saturating_add(missing)
            }
            Self::System => timestamp,
        };
        (timestamp <= LAST && at <= END_OF_TIME).then_some(Micros(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Clock = Clock::Event { wait: 10 };

    #[test]
    fn watermark_trails_the_latest_timestamp() {
        let mut key = KeyClock::new(Micros(0));
        assert_eq!(EVENT.observe(&mut key, 100), 100);
        assert_eq!(key.watermark(), 90);
        EVENT.observe(&mut key, 95);
        assert_eq!(key.watermark(), 90);
    }

    #[test]
    fn watermark_moves_on_with_system_time() {
        let mut key = KeyClock::new(Micros(1_000));
        EVENT.observe(&mut key, 100);
        EVENT.advance(&mut key, Micros(1_005));
        assert_eq!(key.watermark(), 95);
        EVENT.observe(&mut key, 104);
        assert_eq!(key.watermark(), 95);
        assert_eq!(EVENT.reaches(&key, 104), Some(Micros(1_014)));
        EVENT.advance(&mut key, Micros(1_014));
        assert_eq!(key.watermark(), 104);
    }

    #[test]
    fn time_that_goes_back_is_no_time_passed() {
        let mut key = KeyClock::new(Micros(1_000));
        EVENT.observe(&mut key, 100);
        EVENT.advance(&mut key, Micros(500));
        assert_eq!(key.watermark(), 90);
        EVENT.advance(&mut key, Micros(1_001));
        assert_eq!(key.watermark(), 91);

        let mut key = KeyClock::new(Micros(1_000));
        Clock::System.advance(&mut key, Micros(1_000));
        Clock::System.advance(&mut key, Micros(999));
        assert_eq!(Clock::System.observe(&mut key, 0), 1_000);
    }

    #[test]
    fn endless_wait_leaves_only_time_passed() {
        let clock = Clock::Event { wait: i64::MAX };
        let mut key = KeyClock::new(Micros(0));
        clock.observe(&mut key, END_OF_TIME);
        assert_eq!(key.watermark(), START_OF_TIME);
        clock.advance(&mut key, Micros(7));
        assert_eq!(key.watermark(), START_OF_TIME + 7);
    }

    #[test]
    fn watermark_stops_before_the_end_of_time() {
        let clock = Clock::Event { wait: 0 };
        let mut key = KeyClock::new(Micros(i64::MIN));
        assert_eq!(clock.observe(&mut key, i64::MAX), END_OF_TIME);
        clock.advance(&mut key, Micros(i64::MAX));
        assert_eq!(key.watermark(), END_OF_TIME - 1);
        assert_eq!(clock.reaches(&key, END_OF_TIME), None);
        assert_eq!(clock.observe(&mut key, i64::MIN), START_OF_TIME);
        assert_eq!(key.watermark(), END_OF_TIME - 1);
    }

    #[test]
    fn system_time_that_never_comes_is_none() {
        let clock = Clock::Event { wait: i64::MAX };
        let key = KeyClock::new(Micros(0));
        assert_eq!(clock.reaches(&key, 0), Some(Micros(-START_OF_TIME)));
        let key = KeyClock::new(Micros(END_OF_TIME));
        assert_eq!(clock.reaches(&key, 0), None);
    }

    #[test]
    fn resuming_leaves_out_the_time_between() {
        let mut key = KeyClock::resume(90, Micros(5_000));
        EVENT.advance(&mut key, Micros(5_003));
        assert_eq!(key.watermark(), 93);
    }
}
