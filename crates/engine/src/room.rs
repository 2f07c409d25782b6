//! Flow control: how much may be on its way between workers.
//!
//! Within a worker a batch goes down the whole pipeline before its source is asked
//! again, so only the queues between workers can grow. Whoever puts items into
//! such a queue takes room for them; whoever takes them out gives it back; while
//! there is none left, sources wait. So memory is bounded by the weight of items,
//! however long an epoch lasts and however many items a step makes of one.
//!
//! The limit holds for a queue. While a worker is busy with what it took out, the
//! queue may fill once more, so about twice as much can be in memory.
//!
//! Only sources ever wait, and items already on their way always move on, so
//! waiting can't become a deadlock.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

type Waker = Box<dyn FnOnce() + Send>;

/// The least that an item weighs, in bytes: what it refers to can't be seen, and to
/// pass on many light items costs more than their weight.
pub const LEAST_WEIGHT: usize = 2_048;

/// The room that the workers of a process share.
pub struct Room {
    limit: usize,
    taken: AtomicUsize,
    /// Sources that found no room; woken, and forgotten, when there is some.
    waiting: Mutex<Vec<Waker>>,
}

impl Room {
    /// Room for about `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Takes room for what is about to be queued. There is no refusing: the limit is
    /// for sources.
    pub fn take(&self, weight: usize) {
        self.taken.fetch_add(weight, Ordering::AcqRel);
    }

    /// Gives back the room of what has left its queue.
    pub fn give_back(&self, weight: usize) {
        let before = self.taken.fetch_sub(weight, Ordering::AcqRel);
        if before >= self.limit && before - weight < self.limit {
            self.wake();
        }
    }

    /// How much is taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How much there is, taken or not.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a source may emit.
    pub fn is_free(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.limit
    }

    /// Calls `waker` once there is room.
    pub fn when_free(&self, waker: impl FnOnce() + Send + 'static) {
        self.lock().push(Box::new(waker));
        // The last items may have left between the caller's look and our list.
        if self.is_free() {
            self.wake();
        }
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        for waker in wakers {
            waker();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("limit", &self.limit)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, impl FnOnce() + Send + 'static) {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        (calls, move || {
            seen.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn waiting_source_is_woken_once_when_the_limit_is_passed() {
        let room = Room::new(10);
        room.take(15);
        assert!(!room.is_free());
        let (calls, waker) = counter();
        room.when_free(waker);
        room.give_back(5);
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        room.give_back(1);
        assert!(room.is_free());
        room.give_back(9);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn source_that_comes_late_is_woken_at_once() {
        let room = Room::new(10);
        let (calls, waker) = counter();
        room.when_free(waker);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
