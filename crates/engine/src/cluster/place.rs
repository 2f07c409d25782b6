//! Where in a cluster this process is.

/// The processes of a cluster, each with as many workers, and which of them this is.
///
/// Workers are numbered through, process by process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which process, from 0.
    pub process: usize,
    /// How many processes there are.
    pub processes: usize,
    /// How many workers each has.
    pub workers_each: usize,
}

impl Place {
    /// The only process.
    #[must_use]
    pub fn alone(workers: usize) -> Self {
        Self {
            process: 0,
            processes: 1,
            workers_each: workers,
        }
    }

    /// How many workers there are in all.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.processes * self.workers_each
    }

    /// The workers of a process.
    #[must_use]
    pub fn workers_of(&self, process: usize) -> std::ops::Range<usize> {
        let first = process * self.workers_each;
        first..first + self.workers_each
    }

    /// Whether a worker is of this process.
    #[inline]
    #[must_use]
    pub fn has(&self, worker: usize) -> bool {
        self.processes == 1 || self.workers_of(self.process).contains(&worker)
    }

    /// Whether this process is the one that has the store, and decides what all do.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.process == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_numbered_through() {
        let place = Place {
            process: 1,
            processes: 3,
            workers_each: 2,
        };
        assert_eq!(place.workers(), 6);
        let own: Vec<_> = (0..6).filter(|worker| place.has(*worker)).collect();
        assert_eq!(own, [2, 3]);
        assert!(!place.leads());
        let alone = Place::alone(2);
        assert!(alone.has(0) && alone.has(1) && alone.leads());
    }
}
