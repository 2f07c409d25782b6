//! When keys want to be notified.
//!
//! A queue ordered by time, so that finding who is due costs nothing for those who
//! aren't. A key has one timer; setting it again, or to nothing, replaces it.

use std::collections::BTreeSet;

use crate::clock::Micros;

/// The timers of many keys, which are known here by number.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Micros, u32)>,
}

impl Timers {
    /// Replaces the timer of a key, which was set to `before`.
    pub(super) fn set(&mut self, key: u32, before: Option<Micros>, at: Option<Micros>) {
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, key));
        }
        if let Some(at) = at {
            self.queue.insert((at, key));
        }
    }

    /// The first moment that any key is waiting for.
    pub(super) fn next(&self) -> Option<Micros> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out every key whose moment has come.
    pub(super) fn take_due(&mut self, now: Micros) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(&(at, key)) = self.queue.first() {
            if at > now {
                break;
            }
            self.queue.pop_first();
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_is_replaced_and_cancelled() {
        let mut timers = Timers::default();
        timers.set(1, None, Some(Micros(10)));
        timers.set(2, None, Some(Micros(20)));
        timers.set(1, Some(Micros(10)), Some(Micros(30)));
        assert_eq!(timers.next(), Some(Micros(20)));
        timers.set(2, Some(Micros(20)), None);
        assert_eq!(timers.take_due(Micros(29)), [0_u32; 0]);
        assert_eq!(timers.take_due(Micros(30)), [1]);
        assert_eq!(timers.next(), None);
    }
}
