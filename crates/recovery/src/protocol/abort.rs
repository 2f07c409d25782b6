//! The reasons to end a run, and the exit code of each.
//!
//! Zero means that every source reached its end and every sink confirmed, or that a drain was
//! asked for. Anything else is one of these, and the first one is the cause.

use crate::id::{Generation, StateKey, StepId, StorePartition, WorkerIndex};
use crate::protocol::defect::StoreDefect;
use crate::protocol::resume::Refusal;

/// What a process ends with when a run didn't end well. The numbers stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// It was called wrongly.
    Usage = 64,
    /// User code failed.
    UserCode = 70,
    /// Two versions don't go together.
    VersionMismatch = 72,
    /// Another execution has the store.
    StoreInUse = 73,
    /// The store can't be read or written.
    StoreIo = 74,
    /// Another process of the cluster is gone.
    PeerLost = 75,
    /// The store is damaged, incomplete or not of one time.
    StoreInconsistent = 76,
    /// A source no longer has what comes next.
    SourcePositionLost = 77,
    /// The store has state that the dataflow has no place for.
    FlowMismatch = 78,
}

impl ExitCode {
    /// As the operating system takes it.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why a run ends before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Abort {
    /// User code failed.
    #[error("step `{step}` failed on worker {worker}: {cause}")]
    UserCode {
        /// The step.
        step: StepId,
        /// Where.
        worker: WorkerIndex,
        /// What the user's code says.
        cause: String,
    },
    /// Someone else holds the store, and is alive.
    #[error(
        "the recovery store is in use by another run (generation {holder}), which is still \
         writing to it; stop that one first, or use another store"
    )]
    StoreInUse {
        /// Who holds it.
        holder: Generation,
    },
    /// Someone else took the store over.
    #[error(
        "another run (generation {holder}) has taken the recovery store of this one (generation \
         {mine}) over, as it seemed to have stopped; nothing more was written"
    )]
    Fenced {
        /// Who we are.
        mine: Generation,
        /// Who holds the store now.
        holder: Generation,
    },
    /// The store could not be written, even after trying again as long as it makes sense.
    #[error(
        "can't write partition {partition} of the recovery store: {cause}; the last commit is \
         safe, and the next run resumes from it"
    )]
    StoreWrite {
        /// The partition.
        partition: StorePartition,
        /// What the system says.
        cause: String,
    },
    /// Another process of the cluster is gone.
    #[error("peer {peer} lost: {cause}")]
    PeerLost {
        /// Its process id in the cluster.
        peer: u32,
        /// How we know, or what it died of.
        cause: String,
    },
    /// A source no longer has what comes next.
    #[error("partition `{partition}` of source `{step}` can't go on where it stopped: {cause}")]
    SourcePositionLost {
        /// The source.
        step: StepId,
        /// The partition of the source.
        partition: StateKey,
        /// Which position was wanted, and which there are.
        cause: String,
    },
    /// The store can't be trusted.
    #[error(transparent)]
    Defect(#[from] StoreDefect),
    /// The store doesn't go with the dataflow.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Abort {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::UserCode { .. } => ExitCode::UserCode,
            Self::StoreInUse { .. } | Self::Fenced { .. } => ExitCode::StoreInUse,
            Self::StoreWrite { .. } => ExitCode::StoreIo,
            Self::PeerLost { .. } => ExitCode::PeerLost,
            Self::SourcePositionLost { .. } => ExitCode::SourcePositionLost,
            Self::Defect(_) => ExitCode::StoreInconsistent,
            Self::Refused(refusal) => refusal.exit_code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_cause_is_a_sentence_with_its_exit_code() {
        let lost = Abort::PeerLost {
            peer: 1,
            cause: "connection reset".to_owned(),
        };
        assert_eq!(lost.to_string(), "peer 1 lost: connection reset");
        assert_eq!(lost.exit_code().code(), 75);

        let failed = Abort::UserCode {
            step: StepId("count".to_owned()),
            worker: WorkerIndex(2),
            cause: "division by zero".to_owned(),
        };
        assert_eq!(
            failed.to_string(),
            "step `count` failed on worker 2: division by zero"
        );
        assert_eq!(failed.exit_code().code(), 70);
    }

    #[test]
    fn defects_and_refusals_speak_for_themselves() {
        let defect = Abort::from(StoreDefect::DuplicatePartition {
            partition: StorePartition(2),
        });
        assert_eq!(
            defect.to_string(),
            "the recovery store has partition 2 twice; move the copy out of its directory"
        );
        assert_eq!(defect.exit_code().code(), 76);
    }
}
