//! What one operator counts on one worker.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::labels::Labels;
use crate::host::Host;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::recovery::Change;
use crate::window::START_OF_TIME;

/// What an operator is, as far as it counts: which of its calls are timed, and what else is
/// known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `next_batch` is timed.
    Source,
    /// No call is.
    Stateless,
    /// `on_batch` is timed, of all keys of a batch together.
    Stateful,
    /// `write_batch` is timed.
    Sink,
}

/// A number that one thread changes, and any may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Not a `fetch_add`, which would keep other threads out that there aren't.
    #[inline]
    pub(crate) fn add(&self, more: usize) {
        self.add_wide(more as u64);
    }

    #[inline]
    fn add_wide(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of the ranges of durations, in microseconds.
const BOUNDS: [u64; 14] = [
    100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// How long something takes, over and over.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// How many in each range, and behind the last.
    counts: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

impl Durations {
    #[inline]
    pub(crate) fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most are in one of the first ranges.
        let range = BOUNDS.iter().position(|bound| nanoseconds <= bound * 1_000);
        self.counts[range.unwrap_or(BOUNDS.len())].add(1);
        self.nanoseconds.add_wide(nanoseconds);
    }

    pub(super) fn read(&self) -> Distribution {
        Distribution {
            counts: self.counts.iter().map(Counter::get).collect(),
            sum: Duration::from_nanos(self.nanoseconds.get()),
        }
    }
}

/// How durations are distributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How many lie in each range, and behind the last.
    pub counts: Vec<u64>,
    /// All together.
    pub sum: Duration,
}

impl Distribution {
    /// The upper bounds of the ranges.
    pub fn bounds() -> impl Iterator<Item = Duration> {
        BOUNDS.into_iter().map(Duration::from_micros)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

/// No watermark yet.
const NEVER: i64 = i64::MIN;

/// Before this, nothing is known of a watermark: time passes for a stream that has brought
/// nothing, too.
const KNOWN_FROM: i64 = START_OF_TIME + 366 * 24 * 3_600 * 1_000_000;

/// What one operator counts on one worker.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(super) labels: Labels,
    pub(super) worker: usize,
    pub(super) role: Role,
    pub(crate) items_in: Counter,
    pub(crate) items_out: Counter,
    /// The calls that its role says are timed.
    pub(crate) calls: Durations,
    /// How long it takes to say what changed in an epoch.
    pub(crate) snapshots: Durations,
    pub(super) records: Counter,
    pub(super) bytes: Counter,
    /// Of a step with state.
    pub(crate) keys: Counter,
    /// Of a step that goes by time.
    late: Counter,
    goes_by_time: AtomicBool,
    /// The epoch that a sink has come to; the greatest number at its end.
    pub(crate) frontier: Counter,
    watermark: AtomicI64,
}

impl Figures {
    pub(super) fn new(labels: Labels, worker: usize, role: Role) -> Self {
        Self {
            labels,
            worker,
            role,
            items_in: Counter::default(),
            items_out: Counter::default(),
            calls: Durations::default(),
            snapshots: Durations::default(),
            records: Counter::default(),
            bytes: Counter::default(),
            keys: Counter::default(),
            late: Counter::default(),
            goes_by_time: AtomicBool::new(false),
            frontier: Counter::default(),
            watermark: AtomicI64::new(NEVER),
        }
    }

    /// What changed in an epoch is handed over.
    pub(crate) fn kept(&self, changes: &[Change]) {
        let bytes = changes.iter().filter_map(|(_, saved)| saved.as_ref());
        self.records.add(changes.len());
        self.bytes.add(bytes.map(|saved| saved.payload.len()).sum());
    }

    /// What is so just now with the keys of a step.
    #[inline]
    pub(crate) fn keep_up<H: Host, V>(&self, keys: &dyn AnyKeys<H, V>) {
        self.keys.set(keys.count());
        if let Some(late) = keys.late() {
            self.late.set(late);
            self.goes_by_time.store(true, Ordering::Relaxed);
        }
    }

    /// How many values came too late, if the step goes by time.
    pub(super) fn late(&self) -> Option<u64> {
        let goes_by_time = self.goes_by_time.load(Ordering::Relaxed);
        goes_by_time.then(|| self.late.get())
    }

    /// How far a stream with one watermark has come.
    pub(crate) fn set_watermark(&self, watermark: i64) {
        self.watermark.store(watermark, Ordering::Relaxed);
    }

    /// The watermark, once anything is known of it.
    pub(super) fn watermark(&self) -> Option<i64> {
        let watermark = self.watermark.load(Ordering::Relaxed);
        (watermark > KNOWN_FROM).then_some(watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_range() {
        let durations = Durations::default();
        for micros in [0, 100, 101, 20_000_000] {
            durations.observe(Duration::from_micros(micros));
        }
        let read = durations.read();
        assert_eq!(read.counts[..2], [2, 1]);
        assert_eq!(read.counts.last(), Some(&1));
        assert_eq!(read.count(), 4);
        assert_eq!(read.sum, Duration::from_micros(20_000_201));
        assert_eq!(read.counts.len(), Distribution::bounds().count() + 1);
    }

    #[test]
    fn there_is_no_watermark_before_the_first() {
        let figures = Figures::new(Labels::default(), 0, Role::Stateful);
        assert_eq!(figures.watermark(), None);
        figures.set_watermark(START_OF_TIME + 60_000_000);
        assert_eq!(figures.watermark(), None);
        figures.set_watermark(7);
        assert_eq!(figures.watermark(), Some(7));
    }
}
