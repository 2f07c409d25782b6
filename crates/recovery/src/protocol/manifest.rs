//! What a store says of itself: plain data, read in one transaction from the home partition.
//!
//! The [`Manifest`] says whose store it is and what is in it. The [`History`] says which
//! executions there were and how far each of them came.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{Epoch, ExecutionId, FlowId, StepId, StorePartition, WriteSequence};

/// How a store is laid out. One program reads its own version and all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatVersion(pub u32);

impl FormatVersion {
    /// What this program writes.
    pub const CURRENT: Self = Self(1);
}

/// How the state of one step is laid out, counted by who wrote the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion(pub u32);

impl fmt::Display for FormatVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the snapshots of a step are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// The positions of a source.
    Source,
    /// The state of keys.
    Stateful,
    /// The positions of a sink.
    Sink,
}

impl fmt::Display for StepKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "a source",
            Self::Stateful => "a stateful step",
            Self::Sink => "a sink",
        })
    }
}

/// Whose store it is, and what is in it.
///
/// How many workers wrote it is not recorded: any number may go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// How the store is laid out.
    pub format: FormatVersion,
    /// The dataflow it belongs to: none before the first execution.
    pub flow: Option<FlowId>,
    /// How many partitions the store was made with.
    pub partitions: u32,
    /// The steps that have written to it.
    pub steps: BTreeMap<StepId, StoredStep>,
}

/// What a store has of one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredStep {
    /// What its snapshots are of.
    pub kind: StepKind,
    /// What a state is, in a few words, such as "a `fold_final`": empty if that goes without
    /// saying.
    pub form: String,
    /// How they are laid out.
    pub schema: SchemaVersion,
    /// How many keys have state on the committed path.
    pub keys: u64,
}

/// Which executions there were, in order, and how far each of them came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// In the order in which they began.
    pub executions: Vec<Execution>,
    /// Of each execution the last is enough; more do no harm.
    pub commits: Vec<Commit>,
}

/// One execution, recorded in the transaction that takes the store over for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Its name.
    pub id: ExecutionId,
    /// The epoch it resumed at, which is the first one it writes.
    pub resume: Epoch,
}

/// All that an execution did through an epoch became history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Whose epochs.
    pub execution: ExecutionId,
    /// The last of them.
    pub epoch: Epoch,
    /// What each partition of the store had seen by then. One that has seen less is not the
    /// partition of that time.
    pub sequences: Vec<(StorePartition, WriteSequence)>,
}

impl History {
    /// The newest execution.
    pub fn newest(&self) -> Option<ExecutionId> {
        self.executions.last().map(|execution| execution.id)
    }

    /// How far an execution came.
    pub fn committed(&self, execution: ExecutionId) -> Option<Epoch> {
        let of_it = |commit: &&Commit| commit.execution == execution;
        let commits = self.commits.iter().filter(of_it);
        commits.map(|commit| commit.epoch).max()
    }
}
