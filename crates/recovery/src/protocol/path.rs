//! The committed path: which of all that was ever written is history.
//!
//! Every record in a store belongs to an execution and an epoch. Epochs of different
//! executions that have the same number have nothing else in common: boundaries follow a
//! clock, so an epoch that is replayed ends at other items than it did the first time. If an
//! execution wrote some records of an epoch and died before it was committed, then those
//! records are *orphans*, and to load one is to count its items twice.
//!
//! The [`CommittedPath`] is the chain of stretches that were committed, each by one execution.
//! A record is history if it lies on it, and only then.

use std::ops::RangeInclusive;

use crate::id::{Epoch, ExecutionId};
use crate::protocol::defect::StoreDefect;
use crate::protocol::manifest::History;

/// Epochs that one execution committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stretch {
    execution: ExecutionId,
    first: Epoch,
    last: Epoch,
}

/// The stretches that were committed: in order, without gaps, beginning at the first epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommittedPath {
    stretches: Vec<Stretch>,
    /// The newest execution, which may still be running.
    newest: Option<ExecutionId>,
}

/// One of the records that a store has of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Who wrote it.
    pub execution: ExecutionId,
    /// The epoch it is the end of.
    pub epoch: Epoch,
    /// Whether it says that the key has no state any more.
    pub is_tombstone: bool,
}

/// What a record is to the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A resume loads it.
    Live,
    /// History, but of no use any more: a newer record took its place, or it is a tombstone.
    ///
    /// A tombstone may go in the same transaction as what it stands above, not earlier.
    Superseded,
    /// Never became history, and never will.
    Orphan,
    /// The running execution may still commit it.
    Undecided,
}

impl Standing {
    /// Whether it can be deleted.
    pub fn is_garbage(self) -> bool {
        matches!(self, Self::Superseded | Self::Orphan)
    }
}

impl CommittedPath {
    /// Finds the path through a history.
    ///
    /// An execution that resumed at an epoch cuts off what others had committed from there on.
    pub fn new(history: &History) -> Result<Self, StoreDefect> {
        let mut path = Self {
            stretches: Vec::new(),
            newest: None,
        };
        for commit in &history.commits {
            let mut executions = history.executions.iter();
            if !executions.any(|e| e.id == commit.execution && e.resume <= commit.epoch) {
                return Err(StoreDefect::StrayCommit {
                    execution: commit.execution,
                    epoch: commit.epoch,
                });
            }
        }
        for execution in &history.executions {
            if path.newest >= Some(execution.id) {
                let execution = execution.id;
                return Err(StoreDefect::DisorderedExecutions { execution });
            }
            if path.resume_epoch() < execution.resume {
                return Err(StoreDefect::LostCommits {
                    execution: execution.id,
                    began: execution.resume,
                    resume: path.resume_epoch(),
                });
            }
            path.begin(execution.id, execution.resume);
            if let Some(epoch) = history.committed(execution.id) {
                path.commit(epoch);
            }
        }
        Ok(path)
    }

    /// The first epoch that is not on the path: where the next execution goes on.
    pub fn resume_epoch(&self) -> Epoch {
        let last = self.stretches.last();
        last.map_or(Epoch::FIRST, |stretch| stretch.last.next())
    }

    /// The name of the execution that comes next.
    pub fn next_execution(&self) -> ExecutionId {
        self.newest.map_or(ExecutionId(0), ExecutionId::next)
    }

    /// The epochs that each execution committed, in order.
    pub fn stretches(&self) -> impl Iterator<Item = (ExecutionId, RangeInclusive<Epoch>)> {
        self.stretches
            .iter()
            .map(|stretch| (stretch.execution, stretch.first..=stretch.last))
    }

    /// A new execution goes on from an epoch, which is on the path or the one after it.
    pub fn begin(&mut self, execution: ExecutionId, resume: Epoch) {
        self.stretches.retain(|stretch| stretch.first < resume);
        if let (Some(stretch), Some(last)) = (self.stretches.last_mut(), resume.previous()) {
            stretch.last = stretch.last.min(last);
        }
        self.newest = Some(execution);
    }

    /// The newest execution has committed all its epochs through this one.
    pub fn commit(&mut self, epoch: Epoch) {
        let first = self.resume_epoch();
        let Some(execution) = self.newest else { return };
        match self.stretches.last_mut() {
            Some(stretch) if stretch.execution == execution => {
                stretch.last = stretch.last.max(epoch);
            }
            _ if epoch >= first => self.stretches.push(Stretch {
                execution,
                first,
                last: epoch,
            }),
            _ => {}
        }
    }

    /// Whether what this execution did in this epoch is history.
    ///
    /// That goes for records, and for what a two-phase sink has prepared: as it opens, it
    /// publishes what is on the path, and discards what else it finds.
    pub fn contains(&self, execution: ExecutionId, epoch: Epoch) -> bool {
        if cfg!(feature = "unsound-no-execution-scope") {
            return epoch < self.resume_epoch();
        }
        self.stretches.iter().any(|stretch| {
            stretch.execution == execution && (stretch.first..=stretch.last).contains(&epoch)
        })
    }

    /// Of all records of a key, the one that a resume loads. None if it has no state.
    pub fn live(&self, versions: &[Version]) -> Option<Version> {
        self.newest_of(versions)
            .filter(|version| !version.is_tombstone)
    }

    /// What one of the records of a key is to the history; `versions` are all of them.
    pub fn standing(&self, version: Version, versions: &[Version]) -> Standing {
        if self.contains(version.execution, version.epoch) {
            let is_live = self.live(versions) == Some(version);
            return if is_live {
                Standing::Live
            } else {
                Standing::Superseded
            };
        }
        if Some(version.execution) >= self.newest {
            return Standing::Undecided;
        }
        Standing::Orphan
    }

    fn newest_of(&self, versions: &[Version]) -> Option<Version> {
        let history = versions
            .iter()
            .filter(|v| self.contains(v.execution, v.epoch));
        history.max_by_key(|v| (v.epoch, v.execution)).copied()
    }
}

#[cfg(test)]
#[cfg(not(feature = "unsound-no-execution-scope"))]
mod tests {
    use super::*;
    use crate::protocol::manifest::{Commit, Execution};

    /// Executions, each with where it resumed and how far it committed.
    fn history(executions: &[(u64, Option<u64>)]) -> History {
        let mut history = History::default();
        for (id, (resume, committed)) in (0..).zip(executions) {
            let id = ExecutionId(id);
            let resume = Epoch(*resume);
            history.executions.push(Execution { id, resume });
            history.commits.extend(committed.map(|epoch| Commit {
                execution: id,
                epoch: Epoch(epoch),
                sequences: Vec::new(),
            }));
        }
        history
    }

    fn path(executions: &[(u64, Option<u64>)]) -> CommittedPath {
        CommittedPath::new(&history(executions)).unwrap()
    }

    fn value(execution: u64, epoch: u64) -> Version {
        Version {
            execution: ExecutionId(execution),
            epoch: Epoch(epoch),
            is_tombstone: false,
        }
    }

    fn tombstone(execution: u64, epoch: u64) -> Version {
        Version {
            is_tombstone: true,
            ..value(execution, epoch)
        }
    }

    fn standings(path: &CommittedPath, versions: &[Version]) -> Vec<Standing> {
        let standing = |version: &Version| path.standing(*version, versions);
        versions.iter().map(standing).collect()
    }

    #[test]
    fn fresh_store_begins_at_the_first_epoch() {
        let path = path(&[]);
        assert_eq!(path.resume_epoch(), Epoch::FIRST);
        assert_eq!(path.next_execution(), ExecutionId(0));
        assert!(!path.contains(ExecutionId(0), Epoch::FIRST));
    }

    #[test]
    fn path_is_a_chain_of_executions() {
        let path = path(&[(1, Some(3)), (4, None), (4, Some(4)), (5, Some(9))]);
        assert_eq!(path.resume_epoch(), Epoch(10));
        assert_eq!(path.next_execution(), ExecutionId(4));
        let owner = |epoch| (0..4).find(|id| path.contains(ExecutionId(*id), Epoch(epoch)));
        let owners: Vec<_> = (1..=10).map(owner).collect();
        let chain = [0, 0, 0, 2, 3, 3, 3, 3, 3].map(Some);
        assert_eq!(owners[..9], chain);
        assert_eq!(owners[9], None);
    }

    /// The peer's double count: a record of an epoch that was not committed, below one that
    /// another execution committed under the same number.
    #[test]
    fn orphan_is_never_loaded_although_its_number_was_committed() {
        let path = path(&[(1, None), (1, Some(1))]);
        let orphan = value(0, 1);
        assert_eq!(path.live(&[orphan]), None);
        assert_eq!(path.standing(orphan, &[orphan]), Standing::Orphan);
    }

    #[test]
    fn newest_record_on_the_path_is_live() {
        let path = path(&[(1, Some(3)), (4, Some(5))]);
        let versions = [
            value(0, 4),
            value(0, 2),
            value(1, 5),
            value(0, 3),
            value(1, 6),
        ];
        assert_eq!(path.live(&versions), Some(value(1, 5)));
        assert_eq!(
            standings(&path, &versions),
            [
                Standing::Orphan,
                Standing::Superseded,
                Standing::Live,
                Standing::Superseded,
                Standing::Undecided,
            ]
        );
    }

    #[test]
    fn tombstone_goes_with_what_it_stands_above() {
        let path = path(&[(1, Some(3))]);
        let versions = [value(0, 1), tombstone(0, 2)];
        assert_eq!(path.live(&versions), None);
        assert_eq!(standings(&path, &versions), [Standing::Superseded; 2]);

        let written_again = [tombstone(0, 2), value(0, 3), tombstone(0, 4)];
        assert_eq!(
            standings(&path, &written_again),
            [Standing::Superseded, Standing::Live, Standing::Undecided]
        );
    }

    #[test]
    fn commits_extend_the_path_of_the_newest() {
        let mut path = path(&[(1, Some(3))]);
        path.begin(ExecutionId(1), Epoch(4));
        assert_eq!(path.standing(value(0, 4), &[]), Standing::Orphan);
        path.commit(Epoch(6));
        path.commit(Epoch(7));
        assert_eq!(path.resume_epoch(), Epoch(8));
        assert!(path.contains(ExecutionId(1), Epoch(4)));
        assert!(!path.contains(ExecutionId(0), Epoch(4)));
    }

    #[test]
    fn resuming_earlier_cuts_off_what_came_after() {
        let path = path(&[(1, Some(3)), (4, Some(8)), (3, None)]);
        assert_eq!(path.resume_epoch(), Epoch(3));
        assert!(path.contains(ExecutionId(0), Epoch(2)));
        assert!(!path.contains(ExecutionId(0), Epoch(3)));
        assert!(!path.contains(ExecutionId(1), Epoch(4)));
    }

    #[test]
    fn impossible_histories_are_refused() {
        let defect = |history: &History| CommittedPath::new(history).unwrap_err();

        let gap = defect(&history(&[(1, Some(3)), (5, None)]));
        assert!(matches!(gap, StoreDefect::LostCommits { .. }));

        let before_it_began = defect(&history(&[(1, Some(3)), (4, Some(2))]));
        assert!(matches!(before_it_began, StoreDefect::StrayCommit { .. }));

        let mut by_nobody = history(&[(1, Some(3))]);
        by_nobody.executions.clear();
        assert!(matches!(
            defect(&by_nobody),
            StoreDefect::StrayCommit { .. }
        ));

        let mut twice = history(&[(1, None), (1, None)]);
        twice.executions[1].id = ExecutionId(0);
        let twice = defect(&twice);
        assert!(matches!(twice, StoreDefect::DisorderedExecutions { .. }));
    }
}
