//! Values that wait for the watermark, earliest first.
//!
//! A heap, so that a key with many values waiting, which is what an endless wait
//! makes of a whole data set, costs `n log n` and not `n` per batch.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A value that waits.
struct Entry<V> {
    timestamp: i64,
    /// Which of the values of its key it was to arrive.
    arrival: u64,
    value: V,
}

impl<V> Ord for Entry<V> {
    /// The earliest is the greatest, as the heap hands out the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.timestamp, other.arrival).cmp(&(self.timestamp, self.arrival))
    }
}

impl<V> PartialOrd for Entry<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<V> PartialEq for Entry<V> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<V> Eq for Entry<V> {}

/// Values in the order of their timestamps, and among equals in the order in which
/// they arrived.
pub(super) struct Queue<V> {
    heap: BinaryHeap<Entry<V>>,
    arrivals: u64,
}

impl<V> Default for Queue<V> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            arrivals: 0,
        }
    }
}

impl<V> Queue<V> {
    pub(super) fn push(&mut self, timestamp: i64, value: V) {
        self.heap.push(Entry {
            timestamp,
            arrival: self.arrivals,
            value,
        });
        self.arrivals += 1;
    }

    /// The earliest timestamp.
    pub(super) fn first(&self) -> Option<i64> {
        self.heap.peek().map(|entry| entry.timestamp)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// All values, in the order in which they will be taken.
    pub(super) fn in_order(&self) -> Vec<(i64, &V)> {
        let mut entries: Vec<&Entry<V>> = self.heap.iter().collect();
        entries.sort_unstable_by(|left, right| right.cmp(left));
        let values = entries.into_iter();
        values
            .map(|entry| (entry.timestamp, &entry.value))
            .collect()
    }

    /// Moves all values up to and with `until` to the end of `due`.
    pub(super) fn take_due(&mut self, until: i64, due: &mut Vec<(i64, V)>) {
        while self.first().is_some_and(|first| first <= until)
            && let Some(entry) = self.heap.pop()
        {
            due.push((entry.timestamp, entry.value));
        }
    }

    /// Moves all values to the end of `due`.
    ///
    /// Sorting once is several times faster than taking out one by one, as a heap of
    /// values that came roughly in order is roughly in order.
    pub(super) fn take_all(&mut self, due: &mut Vec<(i64, V)>) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.sort_unstable_by(|left, right| right.cmp(left));
        due.extend(
            entries
                .into_iter()
                .map(|entry| (entry.timestamp, entry.value)),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_timestamps_keep_their_order() {
        let mut queue = Queue::default();
        for (timestamp, value) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd'), (9, 'e')] {
            queue.push(timestamp, value);
        }
        assert_eq!(queue.first(), Some(3));
        let mut due = Vec::new();
        queue.take_due(5, &mut due);
        assert_eq!(due, [(3, 'b'), (3, 'd'), (5, 'a'), (5, 'c')]);
        assert_eq!(queue.first(), Some(9));
        assert!(!queue.is_empty());
    }

    proptest! {
        #[test]
        fn takes_out_what_a_stable_sort_would(
            timestamps in proptest::collection::vec(-5..5_i64, 0..50),
            until in -6..6_i64,
        ) {
            let mut queue = Queue::default();
            let mut expected: Vec<(i64, usize)> = Vec::new();
            for (number, timestamp) in timestamps.into_iter().enumerate() {
                queue.push(timestamp, number);
                expected.push((timestamp, number));
            }
            expected.sort_by_key(|(timestamp, _)| *timestamp);
            let later = expected.iter().position(|(timestamp, _)| *timestamp > until);
            let (now, then) = expected.split_at(later.unwrap_or(expected.len()));
            let mut due = Vec::new();
            queue.take_due(until, &mut due);
            prop_assert_eq!(&due, now);
            due.clear();
            queue.take_all(&mut due);
            prop_assert_eq!(&due, then);
            prop_assert!(queue.is_empty());
        }
    }
}
