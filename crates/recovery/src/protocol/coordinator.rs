//! When an epoch becomes history, and what follows from it.
//!
//! One [`Coordinator`] serves one execution. It is told facts by the workers, the writers of
//! the store and the sinks, and answers with actions. Facts may come late, twice, or in another
//! order than they became true: each says how far something has come, and nothing comes less
//! far than it once did. **So a fact that is lost can only delay**, as long as a later one
//! says more.
//!
//! # The rules
//!
//! - An epoch is committed when the frontier of every worker has passed it, every partition of
//!   the store has made its records durable, and every two-phase sink has prepared it. Other
//!   sinks hold back the frontier until they have written. So **every sink holds back the
//!   commit**.
//! - Epochs overlap, and the greatest that can be committed is, with all before it. One commit
//!   is written at a time.
//! - Sinks publish an epoch after its commit is durable, never before.
//! - The run ends well when everyone has finished, all is committed and all is published.
//! - The first reason to abort ends it, and nothing is said after that.

use std::collections::BTreeMap;

use crate::id::{Epoch, SinkPartition, StorePartition, WorkerIndex, WriteSequence};
use crate::protocol::abort::Abort;

/// How many there are of those that a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Participants {
    /// Workers of the whole cluster.
    pub workers: u32,
    /// Partitions of the store.
    pub partitions: u32,
    /// Partitions of two-phase sinks.
    pub sinks: u32,
}

/// How far a worker, a partition of the store or a partition of a sink has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontier {
    /// All epochs before this one are over for it.
    At(Epoch),
    /// Everything is over for it.
    Finished {
        /// The last epoch in which it knows of anything. What a source has begun counts, and
        /// a probe may never have seen it: frontiers jump.
        last: Epoch,
    },
}

/// Something that became true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A worker has come this far, by its own probe of all snapshots and all sinks.
    ///
    /// Every record of the epochs that are over has been handed to the writer of its
    /// partition.
    Passed {
        /// Who.
        worker: WorkerIndex,
        /// How far.
        frontier: Frontier,
    },
    /// A partition has made durable all records of the epochs that are over, of all workers.
    Durable {
        /// The partition.
        partition: StorePartition,
        /// How far it has come.
        frontier: Frontier,
        /// What it had seen by then.
        sequence: WriteSequence,
    },
    /// A two-phase sink can publish the epochs that are over, whatever happens.
    Prepared {
        /// The partition of the sink.
        sink: SinkPartition,
        /// How far it has come.
        frontier: Frontier,
    },
    /// The commit record that was asked for is durable.
    Committed {
        /// What it is of.
        epoch: Epoch,
    },
    /// A two-phase sink has published these epochs.
    Published {
        /// The partition of the sink.
        sink: SinkPartition,
        /// The last of the epochs.
        through: Epoch,
    },
    /// The user wants the run to end here, to be resumed later.
    DrainAsked,
    /// The run can't go on: user code failed, a peer is lost, the store can't be written, or
    /// someone else has taken it over.
    Failed(Abort),
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the commit record durable in the home partition. In the same transaction, the
    /// manifest takes note of what changed.
    WriteCommit {
        /// What it is of.
        epoch: Epoch,
        /// What each partition has seen of it.
        sequences: Vec<(StorePartition, WriteSequence)>,
    },
    /// Every two-phase sink: publish what it has prepared.
    Publish {
        /// The last of the epochs.
        through: Epoch,
    },
    /// Every partition: delete what this commit made garbage. May wait as long as one likes.
    Collect {
        /// The epoch that was committed.
        through: Epoch,
    },
    /// Every source: emit nothing more, and let the last epoch end.
    StopSources,
    /// All is well; the exit code is zero.
    Finish,
    /// End at once, for this reason.
    Abort(Abort),
}

/// Turns facts into actions, for one execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coordinator {
    passed: BTreeMap<WorkerIndex, Frontier>,
    durable: BTreeMap<StorePartition, (Frontier, WriteSequence)>,
    prepared: BTreeMap<SinkPartition, Frontier>,
    /// The first epoch that each sink has not published.
    published: BTreeMap<SinkPartition, Epoch>,
    /// The first epoch that is not committed.
    committed: Epoch,
    /// The commit that is being written.
    committing: Option<Epoch>,
    draining: bool,
    ended: bool,
}

impl Coordinator {
    /// Begins an execution that resumes at an epoch.
    ///
    /// What earlier executions committed, each two-phase sink publishes as it opens, by
    /// [`CommittedPath::contains`](crate::protocol::path::CommittedPath::contains).
    pub fn new(participants: Participants, resume: Epoch) -> Self {
        let Participants {
            workers,
            partitions,
            sinks,
        } = participants;
        let begin = Frontier::At(resume);
        let of_sinks = || (0..sinks).map(SinkPartition);
        Self {
            passed: (0..workers)
                .map(|index| (WorkerIndex(index), begin))
                .collect(),
            durable: (0..partitions)
                .map(|index| (StorePartition(index), (begin, WriteSequence(0))))
                .collect(),
            prepared: of_sinks().map(|sink| (sink, begin)).collect(),
            published: of_sinks().map(|sink| (sink, resume)).collect(),
            committed: resume,
            committing: None,
            draining: false,
            ended: false,
        }
    }

    /// Where the next execution would resume, if this one ended now.
    pub fn resume_epoch(&self) -> Epoch {
        self.committed
    }

    /// Which partitions of two-phase sinks have yet to prepare to the end, or to publish what is
    /// committed.
    pub fn unfinished_sinks(&self) -> Vec<SinkPartition> {
        let is_finished = |sink: &SinkPartition| {
            let prepared = self.prepared.get(sink);
            matches!(prepared, Some(Frontier::Finished { .. })) && self.has_published(*sink)
        };
        let sinks = self.prepared.keys().copied();
        sinks.filter(|sink| !is_finished(sink)).collect()
    }

    /// Takes notice of a fact, and says what to do about it.
    ///
    /// A fact about something that has no part in this execution is ignored.
    pub fn on(&mut self, fact: Fact) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended {
            return actions;
        }
        self.take_notice(fact, &mut actions);
        if !self.ended {
            self.decide(&mut actions);
        }
        actions
    }

    fn take_notice(&mut self, fact: Fact, actions: &mut Vec<Action>) {
        match fact {
            Fact::Passed { worker, frontier } => raise(&mut self.passed, worker, frontier),
            Fact::Durable {
                partition,
                frontier,
                sequence,
            } => raise(&mut self.durable, partition, (frontier, sequence)),
            Fact::Prepared { sink, frontier } => raise(&mut self.prepared, sink, frontier),
            Fact::Published { sink, through } => raise(&mut self.published, sink, through.next()),
            Fact::Committed { epoch } if self.committing == Some(epoch) => {
                self.committing = None;
                self.committed = epoch.next();
                if !self.published.is_empty() {
                    actions.push(Action::Publish { through: epoch });
                }
                actions.push(Action::Collect { through: epoch });
            }
            Fact::Committed { .. } => {}
            Fact::DrainAsked if self.draining => {}
            Fact::DrainAsked => {
                self.draining = true;
                actions.push(Action::StopSources);
            }
            Fact::Failed(reason) => {
                self.ended = true;
                actions.push(Action::Abort(reason));
            }
        }
    }

    fn decide(&mut self, actions: &mut Vec<Action>) {
        let ready = self.ready();
        if let Some(epoch) = ready.previous()
            && ready > self.committed
            && self.committing.is_none()
        {
            self.committing = Some(epoch);
            let sequences = self.durable.iter();
            actions.push(Action::WriteCommit {
                epoch,
                sequences: sequences
                    .map(|(p, (_, sequence))| (*p, *sequence))
                    .collect(),
            });
        }
        if self.is_complete() {
            self.ended = true;
            actions.push(Action::Finish);
        }
    }

    /// How far everyone has come that a commit waits for.
    fn frontiers(&self) -> impl Iterator<Item = Frontier> {
        let durable = self.durable.values().map(|(frontier, _)| *frontier);
        let prepared = self.prepared.values().copied().filter(|_| sinks_gate());
        self.passed.values().copied().chain(durable).chain(prepared)
    }

    /// The first epoch that can't be committed yet.
    fn ready(&self) -> Epoch {
        let current = self.frontiers().filter_map(|frontier| match frontier {
            Frontier::At(epoch) => Some(epoch),
            Frontier::Finished { .. } => None,
        });
        current.min().unwrap_or_else(|| self.end())
    }

    /// The epoch after the last in which anyone who has finished knows of anything.
    fn end(&self) -> Epoch {
        let last = self.frontiers().filter_map(|frontier| match frontier {
            Frontier::At(_) => None,
            Frontier::Finished { last } => Some(last.next()),
        });
        last.fold(self.committed, Epoch::max)
    }

    fn is_complete(&self) -> bool {
        let finished = |frontier| matches!(frontier, Frontier::Finished { .. });
        let mut sinks = self.published.keys();
        self.frontiers().all(finished)
            && self.committed >= self.end()
            && (sinks.all(|sink| self.has_published(*sink)) || !sinks_gate())
    }

    /// Whether a sink has published all that it has prepared and that is committed. One that has
    /// finished has nothing of the epochs that only others know of.
    fn has_published(&self, sink: SinkPartition) -> bool {
        let through = match self.prepared.get(&sink) {
            Some(Frontier::Finished { last }) => last.next().min(self.committed),
            Some(Frontier::At(_)) | None => self.committed,
        };
        self.published.get(&sink) >= Some(&through)
    }
}

/// Whether a commit and the end wait for two-phase sinks.
fn sinks_gate() -> bool {
    !cfg!(feature = "unsound-sinks-do-not-gate")
}

/// Nothing comes less far than it once did.
fn raise<Id: Ord, Progress: Ord + Copy>(of: &mut BTreeMap<Id, Progress>, id: Id, to: Progress) {
    if let Some(progress) = of.get_mut(&id) {
        *progress = to.max(*progress);
    }
}

#[cfg(test)]
mod tests;
