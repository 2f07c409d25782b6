//! Which windows a timestamp belongs to, and when the watermark closes them.
//!
//! *Sliding* windows lie on a fixed grid: window `i` is the half-open span
//! `[align_to + i * offset, align_to + i * offset + length)`. Where `offset` is
//! `length`, each timestamp has exactly one window, and we say *tumbling*. Numbers
//! are negative before `align_to`.
//!
//! A *session* is a run of values with no more than `gap` between one and the next.
//! Where it begins and ends depends on the values: see `session`.
//!
//! All spans are in microseconds. The arithmetic is exact for timestamps within a
//! hundred thousand years of 1970, which is more than a clock hands out, and stays at
//! the ends of `i64` beyond.

use std::ops::RangeInclusive;

/// The id under which late values of session windows are reported.
pub const LATE_SESSION_ID: i64 = -1;

/// How time is cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windower {
    /// Windows on a fixed grid.
    Sliding(Sliding),
    /// Windows that end where nothing happens for a while.
    Session(Session),
}

impl Windower {
    /// Windows of `length`, one beginning every `offset`. None unless both are
    /// positive and `offset` leaves no holes between windows.
    #[must_use]
    pub fn sliding(length: i64, offset: i64, align_to: i64) -> Option<Self> {
        let sliding = Sliding {
            length,
            offset,
            align_to,
        };
        (0 < offset && offset <= length).then_some(Self::Sliding(sliding))
    }

    /// Windows of `length`, one after the other. None unless that is positive.
    #[must_use]
    pub fn tumbling(length: i64, align_to: i64) -> Option<Self> {
        Self::sliding(length, length, align_to)
    }

    /// Sessions that end when there is no value for more than `gap`. None if that is
    /// negative.
    #[must_use]
    pub fn session(gap: i64) -> Option<Self> {
        (gap >= 0).then_some(Self::Session(Session { gap }))
    }

    /// The windows that a late value has missed.
    #[must_use]
    pub fn late_ids(&self, timestamp: i64) -> RangeInclusive<i64> {
        match self {
            Self::Sliding(sliding) => sliding.ids(timestamp),
            Self::Session(_) => LATE_SESSION_ID..=LATE_SESSION_ID,
        }
    }

    /// The watermark that closes a window whose close time is `close`.
    ///
    /// The close time of a sliding window is the first moment after it. That of a
    /// session is its last value, and a value that comes `gap` later still joins.
    #[must_use]
    pub fn due(&self, close: i64) -> i64 {
        match self {
            Self::Sliding(_) => close,
            Self::Session(session) => close.saturating_add(session.gap).saturating_add(1),
        }
    }
}

/// Windows on a fixed grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    length: i64,
    offset: i64,
    align_to: i64,
}

impl Sliding {
    /// The windows that `timestamp` lies in; at least one.
    #[inline]
    #[must_use]
    pub fn ids(&self, timestamp: i64) -> RangeInclusive<i64> {
        let since = timestamp.saturating_sub(self.align_to);
        let last = since.div_euclid(self.offset);
        let into_last = since.rem_euclid(self.offset);
        let others = (self.length - into_last - 1) / self.offset;
        last.saturating_sub(others)..=last
    }

    /// When window `id` opens, and when it closes: the first moment after it.
    #[must_use]
    pub fn bounds(&self, id: i64) -> (i64, i64) {
        let since = id.saturating_mul(self.offset);
        let open = self.align_to.saturating_add(since);
        let close = self
            .align_to
            .saturating_add(since.saturating_add(self.length));
        (open, close)
    }

    /// Whether each timestamp has exactly one window.
    #[must_use]
    pub fn is_tumbling(&self) -> bool {
        self.offset == self.length
    }
}

/// Windows that end where nothing happens for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    gap: i64,
}

impl Session {
    /// Whether two values at these times, with none between them, are in the same
    /// session.
    #[inline]
    #[must_use]
    pub fn joins(self, earlier: i64, later: i64) -> bool {
        later.abs_diff(earlier) <= self.gap.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::window::{END_OF_TIME, START_OF_TIME};

    const DAY: i64 = 86_400_000_000;

    fn sliding(length: i64, offset: i64, align_to: i64) -> Sliding {
        match Windower::sliding(length, offset, align_to) {
            Some(Windower::Sliding(sliding)) => sliding,
            other => panic!("no sliding windows: {other:?}"),
        }
    }

    #[test]
    fn impossible_spans_are_refused() {
        assert_eq!(Windower::tumbling(0, 0), None);
        assert_eq!(Windower::tumbling(-1, 0), None);
        assert_eq!(Windower::sliding(10, 0, 0), None);
        assert_eq!(Windower::sliding(10, 11, 0), None);
        assert_eq!(Windower::session(-1), None);
        assert!(Windower::session(0).is_some());
    }

    #[test]
    fn tumbling_windows_are_half_open() {
        let windows = sliding(10, 10, 5);
        assert_eq!(windows.ids(5), 0..=0);
        assert_eq!(windows.ids(14), 0..=0);
        assert_eq!(windows.ids(15), 1..=1);
        assert_eq!(windows.ids(4), -1..=-1);
        assert_eq!(windows.bounds(-1), (-5, 5));
    }

    #[test]
    fn sliding_windows_overlap() {
        let windows = sliding(10, 4, 0);
        assert_eq!(windows.ids(0), -2..=0);
        assert_eq!(windows.ids(1), -2..=0);
        assert_eq!(windows.ids(2), -1..=0);
        assert_eq!(windows.ids(9), 0..=2);
        assert_eq!(windows.bounds(2), (8, 18));
    }

    #[test]
    fn ends_of_time_do_not_overflow() {
        for length in [1, DAY, i64::MAX] {
            for align_to in [i64::MIN, START_OF_TIME, 0, END_OF_TIME, i64::MAX] {
                let windows = sliding(length, length, align_to);
                for timestamp in [i64::MIN, START_OF_TIME, END_OF_TIME, i64::MAX] {
                    let ids = windows.ids(timestamp);
                    assert_eq!(ids.start(), ids.end());
                    let (open, close) = windows.bounds(*ids.start());
                    assert!(open <= close);
                }
            }
        }
        let windows = sliding(i64::MAX, i64::MAX, START_OF_TIME);
        assert_eq!(windows.ids(START_OF_TIME - 1), -1..=-1);
        assert_eq!(windows.bounds(-1).1, START_OF_TIME);
        let session = Windower::session(i64::MAX).unwrap();
        assert_eq!(session.due(END_OF_TIME), i64::MAX);
    }

    #[test]
    fn session_is_joined_up_to_its_gap() {
        let Some(Windower::Session(session)) = Windower::session(10) else {
            panic!("no session");
        };
        assert!(session.joins(0, 10));
        assert!(!session.joins(0, 11));
        assert!(!session.joins(i64::MIN, i64::MAX));
        assert_eq!(Windower::Session(session).due(0), 11);
    }

    proptest! {
        /// A timestamp lies in exactly the windows whose bounds hold it.
        #[test]
        fn ids_agree_with_bounds(
            timestamp in START_OF_TIME..=END_OF_TIME,
            align_to in START_OF_TIME..=END_OF_TIME,
            offset in 1..=40 * DAY,
            more in 0..=40 * DAY,
        ) {
            let windows = sliding(offset + more.min(offset * 20), offset, align_to);
            let ids = windows.ids(timestamp);
            let holds = |id: i64| {
                let (open, close) = windows.bounds(id);
                open <= timestamp && timestamp < close
            };
            prop_assert!(!ids.is_empty());
            prop_assert!(!holds(ids.start() - 1));
            prop_assert!(!holds(ids.end() + 1));
            prop_assert!(ids.into_iter().all(holds));
        }
    }
}
