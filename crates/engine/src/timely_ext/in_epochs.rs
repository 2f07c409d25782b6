//! Taking what arrives epoch by epoch.
//!
//! Whoever keeps state that is recorded must not see anything of an epoch before all of the
//! earlier ones is there, and was recorded. What comes too early waits. Without a store nobody
//! cares, and nothing waits.

use std::collections::{BTreeMap, VecDeque};

use crate::epoch::Epoch;
use crate::timely_ext::Time;
use crate::timely_ext::receive::Arrival;

/// What is to be done next.
pub(crate) enum Next<A> {
    /// Work this off.
    Take(A),
    /// This epoch is over: record what it changed.
    Close(Epoch),
}

/// What has a time.
pub(crate) trait InEpoch {
    fn epoch(&self) -> Epoch;
}

impl<C> InEpoch for Arrival<C> {
    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What has arrived and waits for its epoch.
pub(crate) struct InEpochs<A> {
    waiting: BTreeMap<Time, VecDeque<A>>,
    /// What waits for nothing, as epochs don't matter.
    ready: VecDeque<A>,
    /// The epoch that is being worked on.
    open: Time,
    records: bool,
    has_ended: bool,
}

impl<A: InEpoch> InEpochs<A> {
    /// Begins at an epoch; whether epochs matter is up to whether they are recorded.
    pub(crate) fn new(first: Epoch, records: bool) -> Self {
        Self {
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
            open: first.0,
            records,
            has_ended: false,
        }
    }

    pub(crate) fn add(&mut self, arrivals: impl IntoIterator<Item = A>) {
        if !self.records {
            self.ready.extend(arrivals);
            return;
        }
        for arrival in arrivals {
            let waiting = self.waiting.entry(arrival.epoch().0).or_default();
            waiting.push_back(arrival);
        }
    }

    /// The epoch that is being worked on. What isn't over yet is of this one, or later.
    pub(crate) fn open(&self) -> Epoch {
        Epoch(self.open)
    }

    /// Forgets what waits: the run stops.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.ready.clear();
    }

    /// What to do next, if nothing will come any more of the epochs before `frontier`, or of
    /// any if there is none.
    pub(crate) fn next(&mut self, frontier: Option<Time>) -> Option<Next<A>> {
        if let Some(arrival) = self.ready.pop_front() {
            return Some(Next::Take(arrival));
        }
        if let Some(mut first) = self.waiting.first_entry() {
            let epoch = *first.key();
            if epoch <= self.open {
                let arrival = first.get_mut().pop_front();
                if first.get().is_empty() {
                    first.remove();
                }
                return arrival.map(Next::Take);
            }
            if frontier.is_none_or(|frontier| frontier >= epoch) {
                return Some(Next::Close(self.go_on(epoch)));
            }
        }
        match frontier {
            Some(frontier) if frontier > self.open => {
                let closed = self.go_on(frontier);
                self.records.then_some(Next::Close(closed))
            }
            None if !self.has_ended => {
                self.has_ended = true;
                self.records.then(|| Next::Close(Epoch(self.open)))
            }
            _ => None,
        }
    }

    fn go_on(&mut self, epoch: Time) -> Epoch {
        Epoch(std::mem::replace(&mut self.open, epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl InEpoch for (u64, char) {
        fn epoch(&self) -> Epoch {
            Epoch(self.0)
        }
    }

    /// What is done: letters are taken, numbers are epochs that are closed.
    fn done(epochs: &mut InEpochs<(u64, char)>, frontier: Option<u64>) -> String {
        let mut done = String::new();
        while let Some(next) = epochs.next(frontier) {
            match next {
                Next::Take((_, letter)) => done.push(letter),
                Next::Close(Epoch(epoch)) => done.push_str(&epoch.to_string()),
            }
        }
        done
    }

    #[test]
    fn later_epoch_waits_for_the_earlier_one() {
        let mut epochs = InEpochs::new(Epoch(1), true);
        epochs.add([(1, 'a'), (2, 'b'), (1, 'c')]);
        assert_eq!(done(&mut epochs, Some(1)), "ac");
        epochs.add([(1, 'd'), (3, 'e')]);
        assert_eq!(done(&mut epochs, Some(1)), "d");
        assert_eq!(done(&mut epochs, Some(2)), "1b");
        assert_eq!(done(&mut epochs, None), "2e3");
        assert_eq!(done(&mut epochs, None), "");
    }

    #[test]
    fn frontier_may_jump() {
        let mut epochs = InEpochs::new(Epoch(1), true);
        epochs.add([(7, 'c'), (4, 'a'), (5, 'b')]);
        assert_eq!(done(&mut epochs, Some(6)), "1a4b5");
        assert_eq!(epochs.open(), Epoch(6));
        assert_eq!(done(&mut epochs, Some(9)), "6c7");
        assert_eq!(epochs.open(), Epoch(9));
    }

    #[test]
    fn frontier_between_closes_what_is_over() {
        let mut epochs = InEpochs::new(Epoch(1), true);
        epochs.add([(5, 'a')]);
        assert_eq!(done(&mut epochs, Some(3)), "1");
        assert_eq!(epochs.open(), Epoch(3));
        assert_eq!(done(&mut epochs, Some(5)), "3a");
    }

    #[test]
    fn nothing_waits_without_a_store() {
        let mut epochs = InEpochs::new(Epoch(1), false);
        epochs.add([(3, 'a'), (1, 'b')]);
        assert_eq!(done(&mut epochs, Some(1)), "ab");
        assert_eq!(done(&mut epochs, Some(4)), "");
        assert_eq!(epochs.open(), Epoch(4));
        assert_eq!(done(&mut epochs, None), "");
    }
}
