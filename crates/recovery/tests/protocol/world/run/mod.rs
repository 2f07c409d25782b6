//! One execution: what it has in memory, and what it does to what is durable.

mod choices;
mod deeds;

use std::collections::BTreeSet;

use millstream_recovery::id::{Epoch, ExecutionId, Generation, WriteSequence};
use millstream_recovery::protocol::coordinator::{
    Action, Coordinator, Fact, Frontier, Participants,
};
use millstream_recovery::protocol::manifest::Commit;
use millstream_recovery::protocol::path::CommittedPath;

use super::durable::{Record, Subject};
use super::{Key, Shape};

/// How a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Zero,
    /// Something failed: here, only that it was fenced.
    Aborted,
}

/// A worker with its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    /// How many items it had read when it began, and at the end of each of its epochs.
    positions: Vec<usize>,
    is_finished: bool,
    /// How many of its epochs the plain sink has written.
    written: usize,
    /// How far the coordinator knows that it has come.
    reported: Frontier,
}

/// What a run has handed to a partition of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Writer {
    /// Not durable yet.
    queue: Vec<(Subject, Record)>,
    /// What the coordinator is yet to hear: how far it has come, at which sequence.
    acknowledgements: BTreeSet<(Frontier, WriteSequence)>,
    /// What it has heard.
    heard: Option<Frontier>,
    /// A commit for which garbage is to be collected.
    collect: Option<Epoch>,
}

/// What a run has to do with a partition of the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Output {
    /// How many epochs of the worker are prepared.
    prepared: usize,
    /// What the coordinator has heard.
    heard: Option<Frontier>,
    /// Through which epoch to publish.
    publish: Option<Epoch>,
}

/// An execution that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) execution: ExecutionId,
    pub(crate) generation: Generation,
    pub(crate) resume: Epoch,
    /// Someone thinks it is dead.
    pub(crate) is_stalled: bool,
    pub(crate) is_draining: bool,
    /// How many partitions of the store it has taken over.
    fenced: u32,
    coordinator: Coordinator,
    path: CommittedPath,
    workers: Vec<Worker>,
    /// The keys with an odd number of items in all epochs that are over.
    odd: BTreeSet<Key>,
    /// How many epochs that is.
    over: usize,
    writers: Vec<Writer>,
    outputs: Vec<Output>,
    /// The commit that is to be written.
    commit: Option<Commit>,
}

impl Run {
    pub(super) fn new(
        shape: &Shape,
        execution: ExecutionId,
        generation: Generation,
        path: CommittedPath,
    ) -> Self {
        let count = |length| u32::try_from(length).unwrap();
        let participants = Participants {
            workers: count(shape.inputs.len()),
            partitions: count(shape.partitions),
            sinks: count(shape.inputs.len()),
        };
        let resume = path.resume_epoch();
        Self {
            execution,
            generation,
            resume,
            is_stalled: false,
            is_draining: false,
            fenced: 0,
            coordinator: Coordinator::new(participants, resume),
            path,
            workers: Vec::new(),
            odd: BTreeSet::new(),
            over: 0,
            writers: vec![Writer::default(); shape.partitions],
            outputs: vec![Output::default(); shape.inputs.len()],
            commit: None,
        }
    }

    /// Whether it has taken over the whole store.
    pub(super) fn is_open(&self) -> bool {
        self.fenced as usize == self.writers.len()
    }

    pub(super) fn may_drain(&self) -> bool {
        !self.is_draining && self.workers.iter().any(|worker| !worker.is_finished)
    }

    /// How many items each worker has read.
    pub(super) fn positions(&self) -> Vec<usize> {
        self.workers.iter().map(Worker::position).collect()
    }

    /// How many items each worker had read at the end of an epoch.
    pub(super) fn positions_after(&self, epoch: Epoch) -> Vec<usize> {
        let epochs = self.epochs_through(epoch);
        let workers = self.workers.iter();
        workers
            .map(|worker| worker.positions[epochs.min(worker.ended())])
            .collect()
    }

    /// Tells the coordinator a fact, and begins what it says.
    pub(super) fn hear(&mut self, fact: Fact) -> Option<Exit> {
        for action in self.coordinator.on(fact) {
            match action {
                Action::WriteCommit { epoch, sequences } => {
                    self.commit = Some(Commit {
                        execution: self.execution,
                        epoch,
                        sequences,
                    });
                }
                Action::Publish { through } => {
                    for output in &mut self.outputs {
                        output.publish = Some(through);
                    }
                }
                Action::Collect { through } => {
                    for writer in &mut self.writers {
                        writer.collect = Some(through);
                    }
                }
                Action::StopSources => self.is_draining = true,
                Action::Finish => return Some(Exit::Zero),
                Action::Abort(_) => return Some(Exit::Aborted),
            }
        }
        None
    }

    /// The epoch after so many.
    fn epoch(&self, epochs: usize) -> Epoch {
        Epoch(self.resume.0 + epochs as u64)
    }

    fn epochs_through(&self, epoch: Epoch) -> usize {
        usize::try_from(epoch.next().0 - self.resume.0).unwrap()
    }

    /// How many epochs are over for all workers.
    fn epochs_over(&self) -> usize {
        let running = self.workers.iter().filter(|worker| !worker.is_finished);
        let ended = running.map(Worker::ended).min();
        ended.unwrap_or_else(|| self.workers.iter().map(Worker::ended).max().unwrap_or(0))
    }

    /// How far a worker sees that all have come, with its own part of the plain sink.
    fn passed(&self, worker: usize) -> Frontier {
        let worker = &self.workers[worker];
        if worker.written == worker.ended() {
            return self.frontier();
        }
        self.frontier()
            .min(Frontier::At(self.epoch(worker.written)))
    }

    /// What every worker will see of the others, as timely's frontiers are of all workers.
    fn frontier(&self) -> Frontier {
        let over = self.epochs_over();
        if self.workers.iter().all(|worker| worker.is_finished) {
            return Frontier::Finished {
                last: self.epoch(over - 1),
            };
        }
        Frontier::At(self.epoch(over))
    }

    /// How far a partition has made everything durable that it will ever be handed.
    fn durable(&self, partition: usize) -> Frontier {
        let queue = self.writers[partition].queue.iter();
        let waiting = queue.map(|(_, record)| Frontier::At(record.epoch)).min();
        waiting.map_or(self.frontier(), |waiting| waiting.min(self.frontier()))
    }
}

impl Worker {
    fn position(&self) -> usize {
        self.positions[self.positions.len() - 1]
    }

    /// How many epochs it has ended.
    fn ended(&self) -> usize {
        self.positions.len() - 1
    }

    /// How far its own items have come.
    fn frontier(&self, resume: Epoch) -> Frontier {
        let next = Epoch(resume.0 + self.ended() as u64);
        match next.previous() {
            Some(last) if self.is_finished => Frontier::Finished { last },
            _ => Frontier::At(next),
        }
    }
}

impl Writer {
    /// What the coordinator has heard, or will hear if nothing is lost.
    fn told(&self) -> Option<Frontier> {
        let pending = self.acknowledgements.iter().map(|(frontier, _)| *frontier);
        pending.max().max(self.heard)
    }
}
