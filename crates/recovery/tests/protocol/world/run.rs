//! One execution: what it has in memory, and what it does to what is durable.

use std::collections::{BTreeMap, BTreeSet};

use millstream_recovery::id::{
    Epoch, ExecutionId, Generation, SinkPartition, StorePartition, WorkerIndex, WriteSequence,
};
use millstream_recovery::protocol::abort::Abort;
use millstream_recovery::protocol::coordinator::{
    Action, Coordinator, Fact, Frontier, Participants,
};
use millstream_recovery::protocol::lease;
use millstream_recovery::protocol::manifest::Commit;
use millstream_recovery::protocol::path::CommittedPath;

use super::durable::{Batch, Record, Subject};
use super::{Key, Sabotage, Shape, Step, World};

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
    /// How far the coordinator knows that all have come.
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

    /// Takes over one more partition of the store. After the last, opens the sink and loads.
    pub(super) fn fence(&mut self, shape: &Shape, world: &mut World) -> Option<Exit> {
        let partition = world.store.partition(StorePartition(self.fenced));
        if let Err(reason) = self.may_fence(shape, partition.generation) {
            return self.hear(Fact::Failed(reason));
        }
        partition.generation = self.generation;
        self.fenced += 1;
        if !self.is_open() {
            return None;
        }
        if let Err(reason) = self.may_fence(shape, world.sink.generation) {
            return self.hear(Fact::Failed(reason));
        }
        world.sink.open(shape, self.generation, &self.path);
        let loaded = world.store.load(shape, &self.path);
        world.ledger.loaded(shape, &loaded);
        let workers = loaded.positions.into_iter().map(|position| Worker {
            positions: vec![position],
            is_finished: false,
            reported: Frontier::At(self.resume),
        });
        self.workers = workers.collect();
        self.odd = loaded.odd.into_iter().collect();
        None
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

    /// What it can do next.
    pub(super) fn steps(&self, shape: &Shape, steps: &mut Vec<Step>) {
        let run = self.execution;
        if !self.is_open() {
            steps.push(Step::Fence { run });
            return;
        }
        for worker in 0..self.workers.len() {
            self.turns(shape, worker, steps);
            if self.workers[worker].reported < self.frontier() {
                steps.push(Step::Report { run, worker });
            }
        }
        for (partition, writer) in self.writers.iter().enumerate() {
            self.writes(shape, partition, steps);
            let acknowledgements = writer.acknowledgements.iter();
            steps.extend(acknowledgements.map(|(frontier, _)| Step::Hear {
                run,
                partition,
                frontier: *frontier,
            }));
            if writer.collect.is_some() {
                steps.push(Step::Collect { run, partition });
            }
        }
        for (sink, output) in self.outputs.iter().enumerate() {
            if output.heard < Some(self.workers[sink].frontier(self.resume)) {
                steps.push(Step::Prepare { run, sink });
            }
            if output.publish.is_some() {
                steps.push(Step::Publish { run, sink });
            }
        }
        if self.commit.is_some() {
            steps.push(Step::Commit { run });
        }
    }

    /// What the coordinator may never hear.
    pub(super) fn losses(&self, steps: &mut Vec<Step>) {
        for (partition, writer) in self.writers.iter().enumerate() {
            let acknowledgements = writer.acknowledgements.iter();
            steps.extend(acknowledgements.map(|(frontier, _)| Step::Lose {
                run: self.execution,
                partition,
                frontier: *frontier,
            }));
        }
    }

    fn turns(&self, shape: &Shape, worker: usize, steps: &mut Vec<Step>) {
        let of = &self.workers[worker];
        if of.is_finished {
            return;
        }
        let mut turn = |items, finish| {
            steps.push(Step::Turn {
                run: self.execution,
                worker,
                items,
                finish,
            });
        };
        let left = shape.inputs[worker].len() - of.position();
        if self.is_draining {
            turn(0, true);
        } else {
            turn(left, true);
            if of.ended() + 1 < shape.epochs {
                (0..=left).for_each(|items| turn(items, false));
            }
        }
    }

    fn writes(&self, shape: &Shape, partition: usize, steps: &mut Vec<Step>) {
        let writer = &self.writers[partition];
        let all = writer.queue.len();
        let first = if shape.partial_writes { 1 } else { all };
        let mut write = |records| {
            steps.push(Step::Write {
                run: self.execution,
                partition,
                records,
            });
        };
        if all > 0 {
            (first..=all).for_each(write);
        } else if Some(self.durable(partition)) > writer.told() {
            write(0);
        }
    }

    /// Does one thing.
    pub(super) fn take(&mut self, shape: &Shape, world: &mut World, step: Step) -> Option<Exit> {
        match step {
            Step::Turn {
                worker,
                items,
                finish,
                ..
            } => {
                self.turn(shape, worker, items, finish);
                None
            }
            Step::Fence { .. } => self.fence(shape, world),
            Step::Report { worker, .. } => self.report(worker),
            Step::Write {
                partition, records, ..
            } => self.write(shape, world, partition, records),
            Step::Hear {
                partition,
                frontier,
                ..
            } => self.hear_durable(partition, frontier),
            Step::Prepare { sink, .. } => self.prepare(shape, world, sink),
            Step::Commit { .. } => self.commit(shape, world),
            Step::Publish { sink, .. } => self.publish(shape, world, sink),
            Step::Collect { partition, .. } => self.collect(shape, world, partition),
            Step::Start | Step::Lose { .. } | Step::Drain | Step::Crash | Step::Stall => None,
        }
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

    /// An acknowledgement is lost.
    pub(super) fn forget(&mut self, partition: usize, lost: Frontier) -> Option<Exit> {
        let acknowledgements = &mut self.writers[partition].acknowledgements;
        acknowledgements.retain(|(frontier, _)| *frontier != lost);
        None
    }

    /// A worker reads items, ends its epoch, and hands over its position if it has changed.
    fn turn(&mut self, shape: &Shape, worker: usize, items: usize, finish: bool) {
        let of = &mut self.workers[worker];
        let position = of.position() + items;
        let epoch = of.ended();
        of.positions.push(position);
        of.is_finished = finish;
        if items > 0 {
            self.hand_over(shape, Subject::Position(worker), epoch, Some(position));
        }
        while self.over < self.epochs_over() {
            self.count(shape, self.over);
            self.over += 1;
        }
    }

    /// The keyed step is told that an epoch is over: nobody has items of it any more.
    fn count(&mut self, shape: &Shape, epoch: usize) {
        let mut touched: BTreeMap<Key, bool> = BTreeMap::new();
        for (worker, input) in self.workers.iter().zip(&shape.inputs) {
            let end = worker.ended().min(epoch + 1);
            let first = worker.ended().min(epoch);
            for key in &input[worker.positions[first]..worker.positions[end]] {
                let is_odd = touched
                    .entry(*key)
                    .or_insert_with(|| self.odd.contains(key));
                *is_odd = !*is_odd;
            }
        }
        for (key, is_odd) in touched {
            self.hand_over(shape, Subject::Odd(key), epoch, is_odd.then_some(1));
            if is_odd {
                self.odd.insert(key);
            } else {
                self.odd.remove(&key);
            }
        }
    }

    fn hand_over(&mut self, shape: &Shape, subject: Subject, epoch: usize, value: Option<usize>) {
        let record = Record {
            execution: self.execution,
            epoch: self.epoch(epoch),
            value,
        };
        let writer = &mut self.writers[subject.partition(shape)];
        writer.queue.push((subject, record));
    }

    fn report(&mut self, worker: usize) -> Option<Exit> {
        let frontier = self.frontier();
        self.workers[worker].reported = frontier;
        self.hear(Fact::Passed {
            worker: WorkerIndex(u32::try_from(worker).unwrap()),
            frontier,
        })
    }

    fn write(
        &mut self,
        shape: &Shape,
        world: &mut World,
        index: usize,
        records: usize,
    ) -> Option<Exit> {
        let partition = world.store.partition(store_partition(index));
        let fenced = self.generation < partition.generation;
        if let Err(reason) = self.admit(shape, partition.generation) {
            return self.hear(Fact::Failed(reason));
        }
        for (subject, record) in self.writers[index].queue.drain(..records) {
            partition.write(subject, record);
        }
        if shape.sequences {
            partition.sequence.0 += 1;
        }
        let sequence = partition.sequence;
        world.ledger.wrote_fenced |= fenced;
        self.acknowledge(shape, index, sequence)
    }

    /// A partition says how far it has come, if that is news.
    fn acknowledge(
        &mut self,
        shape: &Shape,
        index: usize,
        sequence: WriteSequence,
    ) -> Option<Exit> {
        let told = self.writers[index].told();
        let news = Some(self.durable(index)).filter(|frontier| Some(*frontier) > told)?;
        self.writers[index]
            .acknowledgements
            .insert((news, sequence));
        if shape.delays {
            return None;
        }
        self.hear_durable(index, news)
    }

    fn hear_durable(&mut self, index: usize, frontier: Frontier) -> Option<Exit> {
        let writer = &mut self.writers[index];
        let mut acknowledgements = writer.acknowledgements.iter();
        let heard = *acknowledgements.find(|(pending, _)| *pending == frontier)?;
        writer.acknowledgements.remove(&heard);
        writer.heard = writer.heard.max(Some(frontier));
        self.hear(Fact::Durable {
            partition: store_partition(index),
            frontier,
            sequence: heard.1,
        })
    }

    fn prepare(&mut self, shape: &Shape, world: &mut World, sink: usize) -> Option<Exit> {
        let fenced = self.generation < world.sink.generation;
        if let Err(reason) = self.admit(shape, world.sink.generation) {
            return self.hear(Fact::Failed(reason));
        }
        for batch in self.to_prepare(sink) {
            world.sink.prepare(sink, self.execution, batch);
            world.ledger.wrote_fenced |= fenced;
        }
        if shape.sabotage == Some(Sabotage::PublishEarly) {
            world.sink.publish(shape, sink, |_, _| true);
        }
        self.confirm(sink)
    }

    /// What a partition of the sink has not prepared of the epochs that are over.
    fn to_prepare(&self, sink: usize) -> Vec<Batch> {
        let worker = &self.workers[sink];
        let epochs = self.outputs[sink].prepared..worker.ended();
        let batches = epochs.map(|epoch| Batch {
            epoch: self.epoch(epoch),
            first: worker.positions[epoch],
            end: worker.positions[epoch + 1],
        });
        batches.filter(|batch| batch.first < batch.end).collect()
    }

    /// A partition of the sink has prepared all that there is.
    fn confirm(&mut self, sink: usize) -> Option<Exit> {
        let frontier = self.workers[sink].frontier(self.resume);
        self.outputs[sink].prepared = self.workers[sink].ended();
        self.outputs[sink].heard = Some(frontier);
        self.hear(Fact::Prepared {
            sink: sink_partition(sink),
            frontier,
        })
    }

    fn commit(&mut self, shape: &Shape, world: &mut World) -> Option<Exit> {
        let fenced = self.generation < world.store.generation;
        let commit = self.commit.take()?;
        if let Err(reason) = self.admit(shape, world.store.generation) {
            return self.hear(Fact::Failed(reason));
        }
        let epoch = commit.epoch;
        let commits = &mut world.store.history.commits;
        commits.retain(|earlier| earlier.execution != self.execution);
        commits.push(commit);
        self.path.commit(epoch);
        world.ledger.wrote_fenced |= fenced;
        world.ledger.committed(self, epoch);
        self.hear(Fact::Committed { epoch })
    }

    fn publish(&mut self, shape: &Shape, world: &mut World, sink: usize) -> Option<Exit> {
        let through = self.outputs[sink].publish.take()?;
        let fenced = self.generation < world.sink.generation;
        if let Err(reason) = self.admit(shape, world.sink.generation) {
            return self.hear(Fact::Failed(reason));
        }
        world.ledger.wrote_fenced |= fenced;
        let execution = self.execution;
        world
            .sink
            .publish(shape, sink, |by, epoch| by == execution && epoch <= through);
        self.hear(Fact::Published {
            sink: sink_partition(sink),
            through,
        })
    }

    fn collect(&mut self, shape: &Shape, world: &mut World, index: usize) -> Option<Exit> {
        let through = self.writers[index].collect.take()?;
        let partition = world.store.partition(store_partition(index));
        let fenced = self.generation < partition.generation;
        if let Err(reason) = self.admit(shape, partition.generation) {
            return self.hear(Fact::Failed(reason));
        }
        world.ledger.wrote_fenced |= fenced;
        let mut path = self.path.clone();
        if shape.sabotage == Some(Sabotage::CollectAhead) {
            path.commit(self.epoch(self.over));
        }
        partition.collect(&path, through);
        None
    }

    /// Asked before anything is taken over.
    fn may_fence(&self, shape: &Shape, recorded: Generation) -> Result<(), Abort> {
        if shape.sabotage == Some(Sabotage::IgnoreFence) {
            return Ok(());
        }
        lease::may_fence(self.generation, recorded)
    }

    /// Asked in every transaction.
    fn admit(&self, shape: &Shape, recorded: Generation) -> Result<(), Abort> {
        if shape.sabotage == Some(Sabotage::IgnoreFence) {
            return Ok(());
        }
        lease::admit(self.generation, recorded)
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

    /// Lets everything be known that changes nothing durable, in a world without delays.
    pub(super) fn settle(&mut self, shape: &Shape, world: &World) -> Option<Exit> {
        if shape.delays || !self.is_open() {
            return None;
        }
        let mut exit = None;
        for worker in 0..self.workers.len() {
            if self.workers[worker].reported < self.frontier() {
                exit = exit.or(self.report(worker));
            }
        }
        for index in 0..self.writers.len() {
            if self.writers[index].queue.is_empty() {
                let sequence = world.store.sequence(index);
                exit = exit.or(self.acknowledge(shape, index, sequence));
            }
            if !world.store.has_garbage(index, &self.path) {
                self.writers[index].collect = None;
            }
        }
        for sink in 0..self.outputs.len() {
            let is_news = self.outputs[sink].heard < Some(self.workers[sink].frontier(self.resume));
            if is_news && self.to_prepare(sink).is_empty() {
                exit = exit.or(self.confirm(sink));
            }
        }
        exit
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

fn store_partition(index: usize) -> StorePartition {
    StorePartition(u32::try_from(index).unwrap())
}

fn sink_partition(index: usize) -> SinkPartition {
    SinkPartition(u32::try_from(index).unwrap())
}
