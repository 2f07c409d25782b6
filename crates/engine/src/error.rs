//! How a run can fail.

use std::fmt;
use std::sync::Arc;

use millstream_recovery::session::SessionError;
use millstream_threads::Panic;

use crate::cluster::{Cause, CauseKind, JoinError};
use crate::host::{Failure, Host};
use crate::physical::PhysicalOperator;
use crate::plan::{PlanError, StepId};

/// Why a run did not end well.
pub enum Error<H: Host> {
    /// The dataflow can't run at all.
    Plan(PlanError),
    /// User code failed in a step.
    Step {
        /// The step, as its author wrote it.
        step: StepId,
        /// The worker it happened on; `None` before the workers start.
        worker: Option<usize>,
        /// What happened.
        failure: Failure<H>,
    },
    /// The caller asked to stop, with this error.
    Interrupted(H::Error),
    /// What was kept can't be read, or kept on.
    Recovery(Arc<SessionError>),
    /// A source or sink has lost a partition that an earlier run kept something of.
    PartitionGone {
        /// The step.
        step: StepId,
        /// The partition.
        partition: String,
    },
    /// The processes of the cluster did not come together.
    Join(JoinError),
    /// Another process is lost.
    PeerLost {
        /// Which.
        process: usize,
        /// How that shows.
        why: String,
    },
    /// The run has stopped for a reason that another process has.
    Peer(Cause),
    /// A defect of the engine itself.
    Internal(String),
}

impl<H: Host> Error<H> {
    /// User code failed before any worker began.
    pub(crate) fn before_start(operator: &PhysicalOperator<H>, failure: Failure<H>) -> Self {
        Self::Step {
            step: operator.written_as.clone(),
            worker: None,
            failure,
        }
    }
}

impl<H: Host> Error<H> {
    pub(crate) fn peer_lost(process: usize, why: String) -> Self {
        Self::PeerLost { process, why }
    }

    /// A thread of this process has panicked.
    pub(crate) fn panicked(panic: Panic) -> Self {
        Self::Internal(panic.to_string())
    }

    /// The reason that another process has.
    pub(crate) fn of_peer(cause: Cause) -> Self {
        match cause.kind {
            CauseKind::Lost { process, why } => Self::PeerLost { process, why },
            _ => Self::Peer(cause),
        }
    }

    /// What other processes are told of it.
    pub(crate) fn cause(&self, process: usize) -> Cause {
        let kind = match self {
            Self::Peer(cause) => return cause.clone(),
            Self::Interrupted(_) => CauseKind::Interrupted,
            Self::PeerLost { process, why } => CauseKind::Lost {
                process: *process,
                why: why.clone(),
            },
            error => match H::attach(|scope| H::explain(scope, error)) {
                None => CauseKind::Interrupted,
                Some((text, exit_code)) => CauseKind::Failed { text, exit_code },
            },
        };
        Cause { process, kind }
    }
}

impl<H: Host> From<PlanError> for Error<H> {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl<H: Host> fmt::Debug for Error<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::Step {
                step,
                worker,
                failure,
            } => f
                .debug_struct("Step")
                .field("step", step)
                .field("worker", worker)
                .field("failure", failure)
                .finish(),
            Self::Interrupted(_) => f.write_str("Interrupted"),
            Self::Recovery(error) => error.fmt(f),
            Self::PartitionGone { step, partition } => f
                .debug_struct("PartitionGone")
                .field("step", step)
                .field("partition", partition)
                .finish(),
            Self::Join(error) => error.fmt(f),
            Self::PeerLost { process, why } => f
                .debug_struct("PeerLost")
                .field("process", process)
                .field("why", why)
                .finish(),
            Self::Peer(cause) => cause.fmt(f),
            Self::Internal(message) => f.debug_tuple("Internal").field(message).finish(),
        }
    }
}
