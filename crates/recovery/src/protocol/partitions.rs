//! Whether the files that were found are the whole store, and of one time.
//!
//! A directory of files can lose one, hold one twice, or hold one from last week's backup.
//! Three numbers tell. At every commit the home partition records what each partition had
//! seen, so a partition that has seen less is a *stale copy*. Every partition records the
//! generation that fenced it and the commit through which it collected its garbage, so a home
//! partition that knows neither is itself the stale copy.

use std::collections::BTreeSet;

use crate::id::{Epoch, Generation, StorePartition, WriteSequence};
use crate::protocol::defect::StoreDefect;
use crate::protocol::manifest::{Commit, History};
use crate::protocol::path::CommittedPath;

/// The partition that has the manifest, the history and the lease.
pub const HOME: StorePartition = StorePartition(0);

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionFound {
    /// Which one it is.
    pub partition: StorePartition,
    /// How many the store was made with.
    pub count: u32,
    /// What it has seen.
    pub sequence: WriteSequence,
    /// Who was the last to take it over.
    pub generation: Generation,
    /// The last commit for which it has collected its garbage.
    pub collected: Option<Epoch>,
}

/// Checks that exactly the partitions of one store were found.
///
/// To be asked first, as without the home partition there is no history.
pub fn check_complete(directory: &str, found: &[PartitionFound]) -> Result<(), StoreDefect> {
    let Some(first) = found.iter().min_by_key(|file| file.partition) else {
        return Err(StoreDefect::NoPartitions {
            directory: directory.to_owned(),
        });
    };
    let count = first.count;
    let mut seen = BTreeSet::new();
    for file in found {
        if file.count != count || file.partition.0 >= count {
            return Err(StoreDefect::ForeignPartition {
                partition: file.partition,
                found: file.count,
                count,
            });
        }
        if !seen.insert(file.partition) {
            let partition = file.partition;
            return Err(StoreDefect::DuplicatePartition { partition });
        }
    }
    let all = (0..count).map(StorePartition);
    let missing: Vec<_> = all.filter(|partition| !seen.contains(partition)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StoreDefect::MissingPartitions { missing, count })
}

/// Checks that all partitions are of one time, and returns the path to resume on.
pub fn check_current(
    history: &History,
    generation: Generation,
    found: &[PartitionFound],
) -> Result<CommittedPath, StoreDefect> {
    let path = CommittedPath::new(history)?;
    let resume = path.resume_epoch();
    for file in found {
        let partition = file.partition;
        let committed = committed_sequence(&history.commits, partition);
        if file.sequence < committed {
            return Err(StoreDefect::StalePartition {
                partition,
                seen: file.sequence,
                committed,
            });
        }
        if file.generation > generation {
            return Err(StoreDefect::StaleHome {
                home: HOME,
                partition,
                generation: file.generation,
            });
        }
        if let Some(collected) = file.collected.filter(|epoch| *epoch >= resume) {
            return Err(StoreDefect::CollectedPastCommit {
                home: HOME,
                partition,
                collected,
                resume,
            });
        }
    }
    Ok(path)
}

/// Checks that no sink has published what the path doesn't have.
pub fn check_published(
    path: &CommittedPath,
    published: impl IntoIterator<Item = Epoch>,
) -> Result<(), StoreDefect> {
    let resume = path.resume_epoch();
    match published.into_iter().max() {
        Some(published) if published >= resume => Err(StoreDefect::SinkAhead { published, resume }),
        _ => Ok(()),
    }
}

fn committed_sequence(commits: &[Commit], partition: StorePartition) -> WriteSequence {
    let sequences = commits.iter().flat_map(|commit| &commit.sequences);
    let of_it = sequences.filter(|(id, _)| *id == partition);
    of_it
        .map(|(_, sequence)| *sequence)
        .max()
        .unwrap_or(WriteSequence(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ExecutionId;
    use crate::protocol::manifest::Execution;

    fn file(partition: u32) -> PartitionFound {
        PartitionFound {
            partition: StorePartition(partition),
            count: 3,
            sequence: WriteSequence(20),
            generation: Generation(2),
            collected: Some(Epoch(4)),
        }
    }

    fn history() -> History {
        let execution = ExecutionId(0);
        let commit = |epoch, sequence| Commit {
            execution,
            epoch: Epoch(epoch),
            sequences: (0..3)
                .map(|index| (StorePartition(index), WriteSequence(sequence)))
                .collect(),
        };
        History {
            executions: vec![Execution {
                id: execution,
                resume: Epoch::FIRST,
            }],
            commits: vec![commit(3, 9), commit(4, 11)],
        }
    }

    fn check(found: &[PartitionFound]) -> Result<Epoch, StoreDefect> {
        check_complete("store", found)?;
        check_current(&history(), Generation(2), found).map(|path| path.resume_epoch())
    }

    #[test]
    fn whole_store_of_one_time_is_accepted_in_any_order() {
        assert_eq!(check(&[file(2), file(0), file(1)]), Ok(Epoch(5)));
    }

    #[test]
    fn incomplete_store_is_refused() {
        let directory = "store".to_owned();
        assert_eq!(check(&[]), Err(StoreDefect::NoPartitions { directory }));
        let missing = vec![StorePartition(0), StorePartition(2)];
        let lacking = StoreDefect::MissingPartitions { missing, count: 3 };
        assert_eq!(check(&[file(1)]), Err(lacking));
    }

    #[test]
    fn partition_that_is_there_twice_is_refused() {
        let partition = StorePartition(1);
        assert_eq!(
            check(&[file(0), file(1), file(1), file(2)]),
            Err(StoreDefect::DuplicatePartition { partition })
        );
    }

    #[test]
    fn partition_of_another_store_is_refused() {
        let mut foreign = file(1);
        foreign.count = 4;
        let defect = check(&[file(0), foreign, file(2)]).unwrap_err();
        assert!(matches!(
            defect,
            StoreDefect::ForeignPartition { found: 4, .. }
        ));
    }

    #[test]
    fn stale_copy_is_refused_and_the_commit_of_the_time_is_not() {
        let mut old = file(1);
        old.sequence = WriteSequence(10);
        assert_eq!(
            check(&[file(0), old, file(2)]),
            Err(StoreDefect::StalePartition {
                partition: StorePartition(1),
                seen: WriteSequence(10),
                committed: WriteSequence(11),
            })
        );
        old.sequence = WriteSequence(11);
        assert_eq!(check(&[file(0), old, file(2)]), Ok(Epoch(5)));
    }

    #[test]
    fn stale_home_is_refused() {
        let mut newer = file(1);
        newer.generation = Generation(3);
        let defect = check(&[file(0), newer, file(2)]).unwrap_err();
        assert!(matches!(defect, StoreDefect::StaleHome { .. }));

        let mut newer = file(2);
        newer.collected = Some(Epoch(5));
        let defect = check(&[file(0), file(1), newer]).unwrap_err();
        assert!(matches!(defect, StoreDefect::CollectedPastCommit { .. }));
    }

    #[test]
    fn sink_that_knows_more_than_the_store_is_not_overwritten() {
        let path = CommittedPath::new(&history()).unwrap();
        assert_eq!(check_published(&path, [Epoch(2), Epoch(4)]), Ok(()));
        let ahead = StoreDefect::SinkAhead {
            published: Epoch(5),
            resume: Epoch(5),
        };
        assert_eq!(check_published(&path, [Epoch(5), Epoch(1)]), Err(ahead));
        assert_eq!(check_published(&path, []), Ok(()));
    }
}
