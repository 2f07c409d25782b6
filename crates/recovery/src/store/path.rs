//! The committed path: which rows count.
//!
//! A snapshot belongs to the execution that wrote it. Of each execution only a range of epochs
//! became history; the rest died with it. The store is told these ranges and takes rows outside
//! of them for orphans, however well they check.

use std::collections::BTreeMap;

use crate::id::{Epoch, ExecutionId};

/// The epochs of one execution that became history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The execution.
    pub execution: ExecutionId,
    /// The first epoch, inclusive.
    pub first: Epoch,
    /// The last epoch, inclusive.
    pub last: Epoch,
}

/// The epochs that became history, of all executions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommittedPath(BTreeMap<ExecutionId, (Epoch, Epoch)>);

impl CommittedPath {
    /// Whether a row of this execution and epoch counts.
    pub fn contains(&self, execution: ExecutionId, epoch: Epoch) -> bool {
        self.0
            .get(&execution)
            .is_some_and(|(first, last)| (*first..=*last).contains(&epoch))
    }
}

impl FromIterator<Segment> for CommittedPath {
    fn from_iter<T: IntoIterator<Item = Segment>>(segments: T) -> Self {
        let ranges = segments
            .into_iter()
            .map(|segment| (segment.execution, (segment.first, segment.last)));
        Self(ranges.collect())
    }
}
