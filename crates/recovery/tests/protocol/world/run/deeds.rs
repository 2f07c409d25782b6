//! What a run does, to itself and to what is durable.

use std::collections::BTreeMap;

use millstream_recovery::id::{
    Generation, SinkPartition, StorePartition, WorkerIndex, WriteSequence,
};
use millstream_recovery::protocol::abort::Abort;
use millstream_recovery::protocol::coordinator::{Fact, Frontier};
use millstream_recovery::protocol::lease;

use super::{Exit, Run, Worker};
use crate::world::durable::{Batch, Record, Subject};
use crate::world::{Key, Sabotage, Shape, Step, World};

impl Run {
    /// Takes over one more partition of the store. After the last, opens the sink and loads.
    pub(in crate::world) fn fence(&mut self, shape: &Shape, world: &mut World) -> Option<Exit> {
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
            written: 0,
            reported: Frontier::At(self.resume),
        });
        self.workers = workers.collect();
        self.odd = loaded.odd.into_iter().collect();
        None
    }

    /// Does one thing.
    pub(in crate::world) fn take(
        &mut self,
        shape: &Shape,
        world: &mut World,
        step: Step,
    ) -> Option<Exit> {
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
            Step::Output { worker, .. } => self.output(world, worker),
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

    /// An acknowledgement is lost.
    pub(in crate::world) fn forget(&mut self, partition: usize, lost: Frontier) -> Option<Exit> {
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
        if !shape.plain_sink || (items == 0 && of.written == epoch) {
            of.written = epoch + 1;
        }
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

    /// The plain sink writes what a worker has for it. Nobody can keep it from writing twice.
    fn output(&mut self, world: &mut World, worker: usize) -> Option<Exit> {
        let of = &mut self.workers[worker];
        world
            .sink
            .write(worker, of.positions[of.written], of.position());
        of.written = of.ended();
        None
    }

    fn report(&mut self, worker: usize) -> Option<Exit> {
        let frontier = self.passed(worker);
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

    /// Lets everything be known that changes nothing durable, in a world without delays.
    pub(in crate::world) fn settle(&mut self, shape: &Shape, world: &World) -> Option<Exit> {
        if shape.delays || !self.is_open() {
            return None;
        }
        let mut exit = None;
        for worker in 0..self.workers.len() {
            if self.workers[worker].reported < self.passed(worker) {
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

fn store_partition(index: usize) -> StorePartition {
    StorePartition(u32::try_from(index).unwrap())
}

fn sink_partition(index: usize) -> SinkPartition {
    SinkPartition(u32::try_from(index).unwrap())
}
