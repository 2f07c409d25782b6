//! What happens in a run that people may want to know of.

use std::fmt;

use crate::run::Ending;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The processes are not together yet.
    Delayed {
        /// Why not.
        why: String,
    },
    /// All processes have come together.
    Joined {
        /// Which one this is.
        process: usize,
        /// How many there are.
        processes: usize,
    },
    /// The run goes on from what an earlier one kept.
    Resumed {
        /// The epoch in which it goes on.
        epoch: u64,
    },
    /// All workers of this process run.
    Started {
        /// How many.
        workers: usize,
    },
    /// Something could not be kept, and will be tried again.
    StoreWaits {
        /// Why not.
        why: String,
        /// How often in a row by now.
        attempt: u32,
    },
    /// What had to be tried again is kept.
    StoreGoesOn,
    /// The run is over, and nothing failed.
    Ended(Ending),
}

impl Notice {
    /// Whether somebody may have to do something about it.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Delayed { .. } | Self::StoreWaits { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delayed { why } => f.write_str(why),
            Self::Joined { process, processes } => {
                write!(f, "joined as process {process} of {processes}")
            }
            Self::Resumed { epoch } => write!(f, "resumed from epoch {epoch}"),
            Self::Started { workers: 1 } => write!(f, "started, with 1 worker"),
            Self::Started { workers } => write!(f, "started, with {workers} workers"),
            Self::StoreWaits { why, attempt } => {
                write!(
                    f,
                    "the recovery store waits, after attempt {attempt}: {why}"
                )
            }
            Self::StoreGoesOn => write!(f, "the recovery store was retried, and goes on"),
            Self::Ended(Ending::Finished) => write!(f, "finished: all sources have ended"),
            Self::Ended(Ending::Drained) => {
                write!(f, "drained: the sources have stopped where they were")
            }
            Self::Ended(Ending::Aborted) => write!(f, "aborted, as a source asked for"),
        }
    }
}
