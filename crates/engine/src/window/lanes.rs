//! How far event time has come, for a whole stream.
//!
//! A stream comes by several *lanes*, such as the partitions of its source, whose
//! timestamps may lie far apart. Each has a watermark; that of the stream is the
//! least of them, so that no lane's values are late because another ran ahead.
//!
//! A lane that brings nothing for a while is *idle* and doesn't hold back the others;
//! nor does one that has ended. When all are idle, the furthest counts. If nobody looks for
//! a long time, because what comes after is slow, only a part of it counts: what lanes
//! have brought meanwhile may just not have been taken yet. The watermark of the stream never goes back:
//! what an idle lane brings when it wakes up may be late.

use std::collections::BTreeMap;

use crate::clock::Micros;
use crate::window::{Clock, KeyClock, START_OF_TIME};

/// A value of a stream that has one watermark for all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed<V> {
    /// Its timestamp.
    pub timestamp: i64,
    /// What the watermark of the stream was when it came, itself included.
    pub watermark: i64,
    /// The value.
    pub value: V,
}

/// What is known of one lane.
#[derive(Debug)]
struct Lane {
    clock: KeyClock,
    /// When it last brought something, or began.
    heard: Micros,
    /// Whether it is idle, or has ended: until it brings something.
    is_idle: bool,
    has_ended: bool,
}

/// The lanes of a stream.
#[derive(Debug)]
pub struct Lanes<L> {
    clock: Clock,
    /// For how long a lane may bring nothing until it is idle, in microseconds.
    idle_timeout: i64,
    states: BTreeMap<L, Lane>,
    now: Micros,
    watermark: i64,
}

impl<L: Ord + Copy> Lanes<L> {
    /// A stream that begins now, without lanes so far.
    #[must_use]
    pub fn new(clock: Clock, idle_timeout: i64, now: Micros) -> Self {
        Self {
            clock,
            idle_timeout,
            states: BTreeMap::new(),
            now,
            watermark: START_OF_TIME,
        }
    }

    /// A stream that goes on from a watermark.
    #[must_use]
    pub fn resume(clock: Clock, idle_timeout: i64, watermark: i64, now: Micros) -> Self {
        Self {
            watermark,
            ..Self::new(clock, idle_timeout, now)
        }
    }

    /// A lane begins, or goes on from a watermark.
    pub fn open(&mut self, lane: L, watermark: i64) {
        let begun = Lane {
            clock: KeyClock::resume(watermark, self.now),
            heard: self.now,
            is_idle: false,
            has_ended: false,
        };
        self.states.entry(lane).or_insert(begun);
    }

    /// A lane ends.
    pub fn end(&mut self, lane: L) {
        if let Some(lane) = self.states.get_mut(&lane) {
            lane.has_ended = true;
            lane.is_idle = true;
        }
        self.settle();
    }

    /// Lets system time pass.
    pub fn advance(&mut self, now: Micros) {
        let now = now.max(self.now);
        let unseen = (now.0 - self.now.0)
            .saturating_sub(self.longest_look())
            .max(0);
        self.now = now;
        for lane in self.states.values_mut() {
            self.clock.advance(&mut lane.clock, now);
            lane.heard = Micros(lane.heard.0.saturating_add(unseen));
            lane.is_idle |= lane.heard.0.saturating_add(self.idle_timeout) <= now.0;
        }
        self.settle();
    }

    /// A lane has brought values; `furthest` is the latest timestamp that it ever
    /// brought.
    pub fn observe(&mut self, lane: L, furthest: i64) {
        if let Some(lane) = self.states.get_mut(&lane) {
            lane.heard = self.now;
            lane.is_idle = lane.has_ended;
            self.clock.observe(&mut lane.clock, furthest);
        }
        self.settle();
    }

    /// What the watermark of the stream was at each of some values that a lane brings
    /// together.
    pub fn at_values(&self, lane: L) -> impl FnMut(i64) -> i64 {
        let others = self.least(|other| *other != lane).unwrap_or(i64::MAX);
        let (clock, watermark) = (self.clock, self.watermark);
        let mut own = self.states.get(&lane).map(|lane| lane.clock);
        move |furthest| {
            let Some(own) = &mut own else {
                return watermark;
            };
            clock.observe(own, furthest);
            own.watermark().min(others).max(watermark)
        }
    }

    /// How far event time has come. Never goes back.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// How far a lane has come.
    pub fn watermark_of(&self, lane: L) -> Option<i64> {
        self.states.get(&lane).map(|lane| lane.clock.watermark())
    }

    /// The system time.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// When to look whether the watermark has reached `timestamp`, if no lane brings
    /// anything before; none if it never will have.
    pub fn look_at(&self, timestamp: i64) -> Option<Micros> {
        let mut reaches = Some(self.now);
        let mut idles: Option<Micros> = None;
        for lane in self.states.values().filter(|lane| !lane.is_idle) {
            let at = self.clock.reaches(&lane.clock, timestamp);
            reaches = reaches.zip(at).map(|(one, other)| one.max(other));
            let idle_at = Micros(lane.heard.0.saturating_add(self.idle_timeout));
            idles = Some(idles.map_or(idle_at, |before| before.min(idle_at)));
        }
        if let Some(idle_at) = idles {
            let look_at = reaches.map_or(idle_at, |at| at.min(idle_at));
            let longest = Micros(self.now.0.saturating_add(self.longest_look()));
            return Some(look_at.min(longest));
        }
        let furthest = self.states.values();
        let furthest = furthest.filter_map(|lane| self.clock.reaches(&lane.clock, timestamp));
        furthest.min()
    }

    fn settle(&mut self) {
        let furthest = || {
            let watermarks = self.states.values().map(|lane| lane.clock.watermark());
            watermarks.max()
        };
        let reached = self.least(|_| true).or_else(furthest);
        self.watermark = self.watermark.max(reached.unwrap_or(START_OF_TIME));
    }

    /// The least watermark of some lanes, of those that aren't idle.
    fn least(&self, counts: impl Fn(&L) -> bool) -> Option<i64> {
        let lanes = self.states.iter();
        let busy = lanes.filter(|(id, lane)| counts(id) && !lane.is_idle);
        busy.map(|(_, lane)| lane.clock.watermark()).min()
    }

    /// How long it may be until somebody looks at the lanes again, so that it counts in full.
    fn longest_look(&self) -> i64 {
        (self.idle_timeout / 4).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: i64 = 1_000;

    fn lanes(names: &str) -> Lanes<char> {
        let mut lanes = Lanes::new(Clock::Event { wait: 10 }, TIMEOUT, Micros(0));
        for name in names.chars() {
            lanes.open(name, START_OF_TIME);
        }
        lanes
    }

    /// Lets time pass while somebody looks.
    fn pass(lanes: &mut Lanes<char>, until: i64) {
        for now in (lanes.now().0..until).step_by(200) {
            lanes.advance(Micros(now));
        }
        lanes.advance(Micros(until));
    }

    #[test]
    fn least_lane_holds_the_stream_back() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 500);
        assert_eq!(lanes.watermark(), START_OF_TIME);
        lanes.observe('b', 300);
        assert_eq!(lanes.watermark(), 290);
        lanes.observe('b', 900);
        assert_eq!(lanes.watermark(), 490);
    }

    #[test]
    fn values_of_a_batch_see_the_watermark_rise() {
        let mut lanes = lanes("ab");
        lanes.observe('b', 300);
        let mut at = lanes.at_values('a');
        assert_eq!([at(100), at(200), at(900)], [90, 190, 290]);
        drop(at);
        assert_eq!(lanes.watermark(), START_OF_TIME);
    }

    #[test]
    fn watermark_moves_on_with_system_time() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 500);
        lanes.observe('b', 300);
        assert_eq!(lanes.look_at(300), Some(Micros(10)));
        lanes.advance(Micros(10));
        assert_eq!(lanes.watermark(), 300);
        lanes.advance(Micros(3));
        assert_eq!(lanes.watermark(), 300);
    }

    #[test]
    fn idle_lane_lets_the_others_go() {
        let mut lanes = lanes("ab");
        lanes.advance(Micros(1));
        lanes.observe('a', 500);
        // Lane b has brought nothing since 0.
        assert_eq!(lanes.look_at(490), Some(Micros(251)));
        for now in [251, 501, 751, 999] {
            lanes.advance(Micros(now));
            assert_eq!(lanes.watermark(), START_OF_TIME + now);
        }
        assert_eq!(lanes.look_at(490), Some(Micros(1_000)));
        lanes.advance(Micros(1_000));
        assert_eq!(lanes.watermark(), 490 + 999);
        // It doesn't pull the watermark back when it wakes up.
        lanes.observe('b', 20);
        assert_eq!(lanes.watermark(), 490 + 999);
        let mut at = lanes.at_values('b');
        assert_eq!(at(20), 490 + 999);
    }

    #[test]
    fn furthest_counts_when_all_are_idle() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 5_000);
        lanes.observe('b', 300);
        pass(&mut lanes, 2_000);
        assert_eq!(lanes.watermark(), 4_990 + 2_000);
        assert_eq!(lanes.look_at(7_000), Some(Micros(2_010)));
    }

    #[test]
    fn time_that_nobody_saw_pass_makes_nobody_idle() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 5_000);
        lanes.observe('b', 300);
        lanes.advance(Micros(1_000_000));
        assert_eq!(lanes.watermark(), 290 + 1_000_000);
        lanes.observe('b', 400);
        pass(&mut lanes, 1_000_999);
        assert_eq!(lanes.watermark(), 290 + 1_000_999);
    }

    #[test]
    fn lane_that_ended_lets_the_others_go() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 500);
        lanes.end('b');
        assert_eq!(lanes.watermark(), 490);
        lanes.observe('a', 400);
        assert_eq!(lanes.watermark(), 490);
    }

    #[test]
    fn furthest_may_have_ended() {
        let mut lanes = lanes("ab");
        lanes.observe('a', 500);
        lanes.end('a');
        assert_eq!(lanes.watermark(), START_OF_TIME);
        pass(&mut lanes, TIMEOUT);
        assert_eq!(lanes.watermark(), 490 + TIMEOUT);
        assert_eq!(lanes.look_at(2_000), Some(Micros(1_510)));
    }

    #[test]
    fn endless_wait_never_gets_there() {
        let mut lanes = Lanes::new(Clock::Event { wait: i64::MAX }, i64::MAX, Micros(0));
        lanes.open('a', START_OF_TIME);
        lanes.observe('a', 500);
        assert_eq!(lanes.watermark(), START_OF_TIME);
        assert_eq!(lanes.look_at(0), Some(Micros(-START_OF_TIME)));
    }

    proptest! {
        /// Whatever happens, the watermark doesn't go back, and at the moment to look
        /// at something is due, or a lane has gone idle.
        #[test]
        fn never_goes_back(
            events in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_000_i64), 1..40),
        ) {
            let mut lanes = lanes("");
            for lane in 0..3 {
                lanes.open(char::from(b'a' + lane), START_OF_TIME);
            }
            let mut before = lanes.watermark();
            for (event, lane, number) in events {
                let lane = char::from(b'a' + lane);
                match event {
                    0 => lanes.advance(Micros(number)),
                    1 => lanes.end(lane),
                    _ => lanes.observe(lane, number),
                }
                prop_assert!(lanes.watermark() >= before);
                before = lanes.watermark();
            }
            let due = before + 1;
            for _ in 0..40 {
                let at = lanes.look_at(due).expect("there are lanes");
                prop_assert!(lanes.watermark() < due);
                prop_assert!(at > lanes.now());
                lanes.advance(at);
                if lanes.watermark() >= due {
                    break;
                }
            }
            prop_assert!(lanes.watermark() >= due);
        }
    }
}
