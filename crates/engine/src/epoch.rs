//! Epochs: the numbered stretches of a run that recovery will see.
//!
//! Every item belongs to the epoch in which its source emitted it, and timely's
//! timestamps are epoch numbers. Each source partition counts its own, by its
//! [`Ticker`]; the [`EpochBoard`] shows the newest one of any partition. An epoch
//! is over when no partition is in it any more, so a partition that has nothing
//! to emit follows the board: **a sleeping source holds nobody back**.
//!
//! Nothing waits for an epoch to end before the next begins, so several may be in
//! flight, and the pipeline never drains at a boundary.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The number of an epoch. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch in which a fresh run begins.
    pub const FIRST: Self = Self(1);

    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The newest epoch that any partition of this process has begun.
#[derive(Debug)]
pub struct EpochBoard(AtomicU64);

impl EpochBoard {
    /// A board that shows the epoch in which the run begins.
    pub fn new(first: Epoch) -> Self {
        Self(AtomicU64::new(first.0))
    }

    /// The newest epoch.
    pub fn newest(&self) -> Epoch {
        Epoch(self.0.load(Ordering::Relaxed))
    }

    /// Records that a partition has begun an epoch.
    pub fn begun(&self, epoch: Epoch) {
        self.0.fetch_max(epoch.0, Ordering::Relaxed);
    }
}

/// Decides when one source partition goes on to another epoch.
#[derive(Debug)]
pub struct Ticker {
    interval: Duration,
    epoch: Epoch,
    begun_at: Duration,
}

impl Ticker {
    /// Begins an epoch `now`.
    pub fn new(interval: Duration, first: Epoch, now: Duration) -> Self {
        Self {
            interval,
            epoch: first,
            begun_at: now,
        }
    }

    /// The epoch of the next item.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The partition has emitted a batch: maybe its epoch is over.
    ///
    /// With an interval of zero, every batch is an epoch of its own.
    pub fn after_batch(&mut self, now: Duration, newest: Epoch) {
        if self.is_due(now) {
            self.begin(self.epoch.next().max(newest), now);
        } else {
            self.follow(now, newest);
        }
    }

    /// The partition has nothing to emit for now.
    ///
    /// With an interval of zero it begins no epoch by itself, as there would be no
    /// end to that.
    pub fn while_idle(&mut self, now: Duration, newest: Epoch) {
        if !self.interval.is_zero() && self.is_due(now) {
            self.begin(self.epoch.next().max(newest), now);
        } else {
            self.follow(now, newest);
        }
    }

    /// How long until an idle partition wants to be asked again.
    pub fn idle_for(&self, now: Duration) -> Option<Duration> {
        let interval = (!self.interval.is_zero()).then_some(self.interval)?;
        Some(interval.saturating_sub(now.saturating_sub(self.begun_at)))
    }

    fn is_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.begun_at) >= self.interval
    }

    fn follow(&mut self, now: Duration, newest: Epoch) {
        if newest > self.epoch {
            self.begin(newest, now);
        }
    }

    fn begin(&mut self, epoch: Epoch, now: Duration) {
        self.epoch = epoch;
        self.begun_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn epoch_lasts_its_interval() {
        let mut ticker = Ticker::new(10 * SECOND, Epoch::FIRST, Duration::ZERO);
        ticker.after_batch(9 * SECOND, Epoch(1));
        assert_eq!(ticker.epoch(), Epoch(1));
        assert_eq!(ticker.idle_for(9 * SECOND), Some(SECOND));
        ticker.after_batch(10 * SECOND, Epoch(1));
        assert_eq!(ticker.epoch(), Epoch(2));
        assert_eq!(ticker.idle_for(10 * SECOND), Some(10 * SECOND));
    }

    #[test]
    fn interval_of_zero_is_an_epoch_per_batch() {
        let mut ticker = Ticker::new(Duration::ZERO, Epoch::FIRST, Duration::ZERO);
        ticker.while_idle(SECOND, Epoch(1));
        assert_eq!(ticker.epoch(), Epoch(1));
        assert_eq!(ticker.idle_for(SECOND), None);
        ticker.after_batch(SECOND, Epoch(1));
        ticker.after_batch(SECOND, Epoch(2));
        assert_eq!(ticker.epoch(), Epoch(3));
    }

    #[test]
    fn two_busy_partitions_stay_together() {
        let board = EpochBoard::new(Epoch::FIRST);
        let mut tickers = [
            Ticker::new(Duration::ZERO, Epoch::FIRST, Duration::ZERO),
            Ticker::new(Duration::ZERO, Epoch::FIRST, Duration::ZERO),
        ];
        for round in 1..=5 {
            for ticker in &mut tickers {
                assert_eq!(ticker.epoch(), Epoch(round));
                ticker.after_batch(Duration::ZERO, board.newest());
                board.begun(ticker.epoch());
            }
        }
    }

    #[test]
    fn idle_partition_follows_and_goes_on_by_itself() {
        let mut ticker = Ticker::new(10 * SECOND, Epoch::FIRST, Duration::ZERO);
        ticker.while_idle(SECOND, Epoch(7));
        assert_eq!(ticker.epoch(), Epoch(7));
        ticker.while_idle(10 * SECOND, Epoch(7));
        assert_eq!(ticker.epoch(), Epoch(7));
        ticker.while_idle(11 * SECOND, Epoch(7));
        assert_eq!(ticker.epoch(), Epoch(8));
    }
}
