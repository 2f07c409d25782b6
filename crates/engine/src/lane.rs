//! Lanes: the ways by which batches come from the sources to a step.
//!
//! The partitions of a source may lie hours apart in event time. A step that goes by
//! *one* watermark for its whole stream must therefore know which batches follow one
//! another: those of one lane. A lane is one source partition as its worker reads it;
//! behind an exchange, or a step with state, it is the worker that sent the batch.
//! Merging the same lane twice makes two of it, as one way may run ahead of the other.
//!
//! A flow without such a step has a single lane, so that nothing is kept apart.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use timely::Accountable;

use crate::batch::Batch;
use crate::host::Host;
use crate::spans::Origin;

/// A lane, by its number among those of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane(pub(crate) u32);

/// The lanes on a worker.
///
/// A lane that a source partition has to itself is named after it, so that a later run finds it
/// again, on whichever worker.
#[derive(Debug, Default)]
pub(crate) struct LaneRegistry(RefCell<Lanes>);

#[derive(Debug, Default)]
struct Lanes {
    count: u32,
    names: BTreeMap<Lane, String>,
}

impl LaneRegistry {
    /// A lane of its own.
    pub(crate) fn add(&self, name: Option<String>) -> Lane {
        let mut lanes = self.0.borrow_mut();
        let lane = Lane(lanes.count);
        lanes.count += 1;
        if let Some(name) = name {
            lanes.names.insert(lane, name);
        }
        lane
    }

    /// The name of a lane.
    pub(crate) fn name(&self, lane: Lane) -> Option<String> {
        self.0.borrow().names.get(&lane).cloned()
    }
}

/// A batch, and the lane that it came by.
pub(crate) struct Laned<H: Host> {
    pub(crate) lane: Lane,
    /// Whether nothing comes by this lane any more.
    pub(crate) is_last: bool,
    /// The trace that it belongs to.
    pub(crate) origin: Option<Origin>,
    pub(crate) batch: Batch<H>,
}

impl<H: Host> Laned<H> {
    pub(crate) fn new(lane: Lane, origin: Option<Origin>, batch: Batch<H>) -> Self {
        Self {
            lane,
            is_last: false,
            origin,
            batch,
        }
    }

    /// The end of a lane.
    pub(crate) fn last(lane: Lane) -> Self {
        Self {
            lane,
            is_last: true,
            origin: None,
            batch: Batch::default(),
        }
    }
}

impl<H: Host> Default for Laned<H> {
    fn default() -> Self {
        Self::new(Lane::default(), None, Batch::default())
    }
}

impl<H: Host> Clone for Laned<H> {
    fn clone(&self) -> Self {
        Self {
            lane: self.lane,
            is_last: self.is_last,
            origin: self.origin,
            batch: self.batch.clone(),
        }
    }
}

impl<H: Host> Accountable for Laned<H> {
    /// The end of a lane counts as well, or timely could take its epoch to be over.
    fn record_count(&self) -> i64 {
        self.batch.record_count().max(i64::from(self.is_last))
    }
}

impl<H: Host> fmt::Debug for Laned<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laned")
            .field("lane", &self.lane.0)
            .field("is_last", &self.is_last)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
