//! Why a session did not begin, or did not end well.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::id::{SinkPartition, WorkerIndex};
use crate::protocol::abort::{Abort, ExitCode};
use crate::protocol::defect::StoreDefect;
use crate::protocol::resume::Refusal;
use crate::store::StoreError;

/// Why a session did not begin, or did not end well.
#[derive(Debug, Clone, Error)]
pub enum SessionError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The protocol says no.
    #[error(transparent)]
    Ended(#[from] Abort),
    /// The run went on for longer than there was time to wait for its end.
    #[error("the run did not end within {deadline:?}: {awaited}")]
    TimedOut {
        /// How long was waited.
        deadline: Duration,
        /// What for.
        awaited: Awaited,
    },
}

/// What a run was waiting for when there was no time left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// These workers have not finished.
    Workers(Vec<WorkerIndex>),
    /// These partitions of two-phase sinks have not prepared or published all.
    Sinks(Vec<SinkPartition>),
    /// All have finished, and the store has not committed all.
    Store,
}

/// What sort of error it is, for those who tell them apart by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no store there.
    NoPartitions,
    /// A part of the store isn't there.
    MissingPartitions,
    /// The parts of the store don't belong together, or one is damaged.
    InconsistentPartitions,
    /// Anything else.
    Other,
}

/// The session takes nothing more: it has ended, and why was told in
/// [`Event::Failed`](super::Event::Failed) if it was not meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the recovery session has ended")]
pub struct Stopped;

impl SessionError {
    /// The exit code of a run that ends by this.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(error) => error.exit_code(),
            Self::Ended(reason) => reason.exit_code().code(),
            Self::TimedOut { awaited, .. } => match awaited {
                Awaited::Workers(_) | Awaited::Sinks(_) => ExitCode::UserCode.code(),
                Awaited::Store => ExitCode::StoreIo.code(),
            },
        }
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => kind_of_store_error(error),
            Self::Ended(Abort::Defect(defect)) => kind_of_defect(defect),
            Self::Ended(_) | Self::TimedOut { .. } => ErrorKind::Other,
        }
    }
}

fn kind_of_store_error(error: &StoreError) -> ErrorKind {
    match error {
        StoreError::DirectoryMissing { .. } | StoreError::NoPartitions { .. } => {
            ErrorKind::NoPartitions
        }
        StoreError::MissingPartitions { .. } | StoreError::HalfMade { .. } => {
            ErrorKind::MissingPartitions
        }
        StoreError::Inconsistent { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Record { .. } => ErrorKind::InconsistentPartitions,
        _ => ErrorKind::Other,
    }
}

fn kind_of_defect(defect: &StoreDefect) -> ErrorKind {
    match defect {
        StoreDefect::NoPartitions { .. } => ErrorKind::NoPartitions,
        StoreDefect::MissingPartitions { .. } => ErrorKind::MissingPartitions,
        _ => ErrorKind::InconsistentPartitions,
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Refusal> for SessionError {
    fn from(refusal: Refusal) -> Self {
        Self::Ended(refusal.into())
    }
}

impl From<StoreDefect> for SessionError {
    fn from(defect: StoreDefect) -> Self {
        Self::Ended(defect.into())
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workers(workers) => {
                write!(formatter, "not finished by worker {}", listed(workers))
            }
            Self::Sinks(sinks) => write!(
                formatter,
                "not prepared or not published by partition {} of the two-phase sinks",
                listed(sinks)
            ),
            Self::Store => formatter.write_str("not committed by the recovery store"),
        }
    }
}

fn listed(numbers: &[impl fmt::Display]) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}
