//! What can be wrong with a store.
//!
//! Each is a reason not to begin, and none is repaired by guessing: a store that is not what
//! its manifest says would resume with state that never was.

use crate::id::{Epoch, ExecutionId, Generation, StorePartition, WriteSequence};

/// Why a store can't be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreDefect {
    /// There is nothing there.
    #[error(
        "the recovery store `{directory}` has no partitions; \
         make one with `python -m millstream.recovery`, or check the path"
    )]
    NoPartitions {
        /// Where the store should be.
        directory: String,
    },
    /// Some partitions are not there.
    #[error(
        "the recovery store lacks partition {} of {count}; \
         bring the missing files back from where they went, or from a backup",
        listed(.missing)
    )]
    MissingPartitions {
        /// Those that are not there.
        missing: Vec<StorePartition>,
        /// How many the store was made with.
        count: u32,
    },
    /// Two files say they are the same partition.
    #[error(
        "the recovery store has partition {partition} twice; \
         move the copy out of its directory"
    )]
    DuplicatePartition {
        /// The partition.
        partition: StorePartition,
    },
    /// A partition belongs to a store of another size.
    #[error(
        "partition {partition} belongs to a store of {found} partitions, and this one has \
         {count}; move the file to the store that it belongs to"
    )]
    ForeignPartition {
        /// The partition.
        partition: StorePartition,
        /// How many partitions it says there are.
        found: u32,
        /// How many the store was made with.
        count: u32,
    },
    /// A partition is older than the last commit.
    #[error(
        "partition {partition} of the recovery store is an old copy: it has seen {seen} \
         writes, and {committed} were committed; bring back the newest file, together with \
         its `-wal`"
    )]
    StalePartition {
        /// The partition.
        partition: StorePartition,
        /// What it has seen.
        seen: WriteSequence,
        /// What it had seen at the last commit.
        committed: WriteSequence,
    },
    /// The home partition is older than another.
    #[error(
        "partition {home} of the recovery store is an old copy: partition {partition} has \
         been written by generation {generation}, which it doesn't know; bring back the \
         newest file, together with its `-wal`"
    )]
    StaleHome {
        /// The home partition.
        home: StorePartition,
        /// One that is newer.
        partition: StorePartition,
        /// Who wrote the newer one.
        generation: Generation,
    },
    /// The home partition lost commits that another partition has acted upon.
    #[error(
        "partition {home} of the recovery store is an old copy: partition {partition} has \
         given up what resuming at epoch {resume} needs, since epoch {collected} was \
         committed; bring back the newest file, together with its `-wal`"
    )]
    CollectedPastCommit {
        /// The home partition.
        home: StorePartition,
        /// One that is newer.
        partition: StorePartition,
        /// The commit through which the newer one has collected its garbage.
        collected: Epoch,
        /// Where the home partition says to resume.
        resume: Epoch,
    },
    /// Someone put an older file in place of the one we were writing.
    #[error(
        "the recovery store was replaced while generation {mine} was using it: it now says \
         generation {found}; don't bring back backups while a dataflow runs"
    )]
    ReplacedWhileRunning {
        /// Who we are.
        mine: Generation,
        /// What the store says now.
        found: Generation,
    },
    /// A sink has published what the store doesn't know to be committed.
    #[error(
        "a sink has published epoch {published}, and the recovery store would resume at epoch \
         {resume}; it is not the store that this sink was written with, or an old copy of it"
    )]
    SinkAhead {
        /// The last epoch that the sink published.
        published: Epoch,
        /// Where the store says to resume.
        resume: Epoch,
    },
    /// A commit is of no execution that could have made it.
    #[error(
        "the recovery store has a commit of epoch {epoch} by execution {execution}, which \
         can't have made it; bring the store back from a backup"
    )]
    StrayCommit {
        /// Who is said to have made it.
        execution: ExecutionId,
        /// What it is of.
        epoch: Epoch,
    },
    /// An execution began after the end of history.
    #[error(
        "execution {execution} of the recovery store began at epoch {began}, and commits \
         before it end before epoch {resume}: some are lost; bring the store back from a backup"
    )]
    LostCommits {
        /// The execution.
        execution: ExecutionId,
        /// Where it began.
        began: Epoch,
        /// Where it could have begun by the commits that are there.
        resume: Epoch,
    },
    /// Executions are recorded twice or out of order.
    #[error(
        "execution {execution} is recorded out of order in the recovery store; \
         bring the store back from a backup"
    )]
    DisorderedExecutions {
        /// The first that is not where it should be.
        execution: ExecutionId,
    },
    /// A file, or a record in it, can't be read as what it is.
    #[error("`{path}` is damaged: {detail}; bring it back from a backup")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong, and where: step, key and epoch of a record.
        detail: String,
    },
}

/// `0, 3 and 4`.
fn listed(partitions: &[StorePartition]) -> String {
    let mut text = String::new();
    for (index, partition) in partitions.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == partitions.len() => " and ",
            _ => ", ",
        };
        text.push_str(separator);
        text.push_str(&partition.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_partitions_are_listed() {
        let defect = StoreDefect::MissingPartitions {
            missing: vec![StorePartition(0), StorePartition(3), StorePartition(4)],
            count: 5,
        };
        assert_eq!(
            defect.to_string(),
            "the recovery store lacks partition 0, 3 and 4 of 5; \
             bring the missing files back from where they went, or from a backup"
        );
    }
}
