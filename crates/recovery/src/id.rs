//! The names of what recovery is about.

use std::fmt;

/// A number that must not be taken for another.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number!(
    /// One run of a dataflow on a store, counted from the first. A snapshot belongs to one.
    ExecutionId(u64)
);
number!(
    /// How often the store was taken over by a writer. An older writer is fenced off.
    Generation(u64)
);
number!(
    /// A piece of the history of a dataflow that becomes durable together.
    Epoch(u64)
);
number!(
    /// One worker of one execution.
    WorkerIndex(u32)
);
number!(
    /// One file of a store.
    StorePartition(u32)
);
number!(
    /// One partition of a two-phase sink, counted over all such sinks of an execution.
    SinkPartition(u32)
);
number!(
    /// How many transactions a partition of a store has seen. Never goes back.
    WriteSequence(u64)
);

impl Epoch {
    /// The one in which a fresh store begins.
    pub const FIRST: Self = Self(1);

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one before it, if there is one.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        (self > Self::FIRST).then(|| Self(self.0 - 1))
    }
}

impl ExecutionId {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Generation {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A dataflow, as the user named it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub String);

/// A step of a dataflow, as the user named it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub String);

/// What a snapshot is of, within its step: a key of the stream, or a partition of a source or
/// of a sink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(pub String);

impl fmt::Display for FlowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
