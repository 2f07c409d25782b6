//! A world in which a dataflow runs, crashes, and is started again.
//!
//! Every worker reads a list of keys, its part of the input. A keyed step keeps, per key,
//! whether the number of its items is odd: a key with an even number has no state, so there
//! are tombstones. A two-phase sink, with a partition per worker, writes the items, and so may
//! a plain one, which knows no epochs. Source positions and key state go to the partitions of
//! a store.
//!
//! What is durable is apart from what is in the memory of a [`Run`], and a crash loses the
//! latter. A run may also be taken for dead, and go on while the next one has begun. Epochs
//! end where they like, so that a replay cuts the input at other places.
//!
//! All that can happen next is a list of [`Step`]s. Each leads closer to the end or uses up a
//! fault, so every history is finite.

mod durable;
mod ledger;
mod run;

use millstream_recovery::id::{Epoch, ExecutionId};
use millstream_recovery::protocol::coordinator::{Fact, Frontier};
use millstream_recovery::protocol::lease::{self, Decision, Heartbeat, Lock};
use millstream_recovery::protocol::manifest::Execution;
use millstream_recovery::protocol::partitions;
use millstream_recovery::protocol::path::CommittedPath;

pub(crate) use durable::{Batch, Loaded, Sink, Store};
pub(crate) use ledger::Ledger;
pub(crate) use run::{Exit, Run};

/// What items are: only their key matters.
pub(crate) type Key = u8;

/// What a world is made of, and what may happen in it.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub(crate) struct Shape {
    /// The input of each worker.
    pub(crate) inputs: Vec<Vec<Key>>,
    /// How many partitions the store has.
    pub(crate) partitions: usize,
    /// In how many epochs each execution reads the rest of the input.
    pub(crate) epochs: usize,
    /// Whether there is a sink that writes at once, beside the one with two phases.
    pub(crate) plain_sink: bool,
    /// How often a run dies.
    pub(crate) crashes: u8,
    /// How often a run is taken for dead, and goes on.
    pub(crate) stalls: u8,
    /// How often a run is asked to drain.
    pub(crate) drains: u8,
    /// Whether acknowledgements of the store take their time, and overtake each other.
    pub(crate) delays: bool,
    /// How many of them are lost.
    pub(crate) losses: u8,
    /// Whether a partition may write any number of the records it was handed.
    pub(crate) partial_writes: bool,
    /// Whether partitions count what they have seen.
    pub(crate) sequences: bool,
    /// What is done wrong, to see that it is noticed.
    pub(crate) sabotage: Option<Sabotage>,
}

/// Ways to break the rules outside of the protocol's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Positions are loaded from the newest record, whoever wrote it.
    LoadNewestPosition,
    /// After two executions, the next begins at the first epoch again.
    ForgetHistory,
    /// A crash takes the commits with it.
    LoseCommits,
    /// Garbage is collected as if the epochs in flight were committed.
    CollectAhead,
    /// Nobody compares generations.
    IgnoreFence,
    /// Sinks publish what they have only prepared.
    PublishEarly,
    /// Sinks forget what they have published.
    PublishAgain,
    /// Sinks that open discard what was committed but not published.
    DiscardCommitted,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The dataflow is started.
    Start,
    /// A new run takes over one more partition of the store. After the last, it begins.
    Fence { run: ExecutionId },
    /// A worker reads this many items and ends its epoch; maybe it was its last.
    Turn {
        run: ExecutionId,
        worker: usize,
        items: usize,
        finish: bool,
    },
    /// The plain sink of a worker writes all epochs that are over.
    Output { run: ExecutionId, worker: usize },
    /// A worker notices how far all have come.
    Report { run: ExecutionId, worker: usize },
    /// A partition makes this many records durable.
    Write {
        run: ExecutionId,
        partition: usize,
        records: usize,
    },
    /// The coordinator hears that a partition has come so far.
    Hear {
        run: ExecutionId,
        partition: usize,
        frontier: Frontier,
    },
    /// The coordinator will never hear it.
    Lose {
        run: ExecutionId,
        partition: usize,
        frontier: Frontier,
    },
    /// A partition of the sink prepares all epochs that are over.
    Prepare { run: ExecutionId, sink: usize },
    /// The commit record becomes durable.
    Commit { run: ExecutionId },
    /// A partition of the sink publishes.
    Publish { run: ExecutionId, sink: usize },
    /// A partition of the store deletes its garbage.
    Collect { run: ExecutionId, partition: usize },
    /// The user wants to stop.
    Drain,
    /// The run dies.
    Crash,
    /// The run is taken for dead.
    Stall,
}

impl Step {
    /// Whether it is a fault, which need not happen.
    pub(crate) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Drain | Self::Crash | Self::Stall | Self::Lose { .. }
        )
    }
}

/// Everything there is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) sink: Sink,
    /// Those that go on. All but the newest were taken for dead.
    pub(crate) runs: Vec<Run>,
    /// What really happened, as nobody in the world can know.
    pub(crate) ledger: Ledger,
    crashes: u8,
    stalls: u8,
    drains: u8,
    losses: u8,
}

impl World {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            store: Store::new(shape.partitions),
            sink: Sink::new(shape.inputs.len()),
            runs: Vec::new(),
            ledger: Ledger::new(shape.inputs.len()),
            crashes: shape.crashes,
            stalls: shape.stalls,
            drains: shape.drains,
            losses: shape.losses,
        }
    }

    /// All that can happen next.
    pub(crate) fn steps(&self, shape: &Shape) -> Vec<Step> {
        let mut steps = Vec::new();
        for run in &self.runs {
            run.steps(shape, &mut steps);
            if self.losses > 0 {
                run.losses(&mut steps);
            }
        }
        match self.current() {
            None if self.ledger.is_done || self.ledger.was_refused => {}
            None => steps.push(Step::Start),
            Some(run) => {
                let may = [
                    (self.crashes > 0, Step::Crash),
                    (self.stalls > 0, Step::Stall),
                    (self.drains > 0 && run.may_drain(), Step::Drain),
                ];
                steps.extend(
                    may.into_iter()
                        .filter(|(may, _)| *may)
                        .map(|(_, step)| step),
                );
            }
        }
        steps
    }

    /// Lets a step happen.
    pub(crate) fn take(&mut self, shape: &Shape, step: Step) {
        match step {
            Step::Start => self.start(shape),
            Step::Crash => {
                self.crashes -= 1;
                self.runs.pop();
                if shape.sabotage == Some(Sabotage::LoseCommits) {
                    self.store.history.commits.clear();
                }
            }
            Step::Stall => {
                self.stalls -= 1;
                if let Some(run) = self.runs.last_mut() {
                    run.is_stalled = true;
                }
            }
            Step::Drain => {
                self.drains -= 1;
                self.on_newest(shape, |run, _| run.hear(Fact::DrainAsked));
            }

            Step::Lose {
                run,
                partition,
                frontier,
            } => {
                self.losses -= 1;
                self.on(shape, run, |run, _| run.forget(partition, frontier));
            }
            Step::Turn { run, .. }
            | Step::Fence { run }
            | Step::Output { run, .. }
            | Step::Report { run, .. }
            | Step::Write { run, .. }
            | Step::Hear { run, .. }
            | Step::Prepare { run, .. }
            | Step::Commit { run }
            | Step::Publish { run, .. }
            | Step::Collect { run, .. } => {
                self.on(shape, run, |run, world| run.take(shape, world, step));
            }
        }
    }

    /// What a start would load now.
    pub(crate) fn load(&self, shape: &Shape) -> Option<Loaded> {
        let path = CommittedPath::new(&self.store.history).ok()?;
        Some(self.store.load(shape, &path))
    }

    /// The run that nobody has taken for dead.
    fn current(&self) -> Option<&Run> {
        self.runs.last().filter(|run| !run.is_stalled)
    }

    fn start(&mut self, shape: &Shape) {
        let lock = if self.runs.is_empty() {
            Lock::Ours
        } else {
            Lock::Taken
        };
        let holding = self.store.holding();
        let Decision::TakeOver(generation) = lease::decide(lock, holding, Heartbeat::Still) else {
            self.ledger.was_refused = true;
            return;
        };
        let found = self.store.found();
        let checked = partitions::check_current(&self.store.history, holding.generation, &found);
        let checked = checked.and_then(|path| {
            partitions::check_published(&path, self.sink.progress())?;
            Ok(path)
        });
        let Ok(mut path) = checked else {
            self.ledger.was_refused = true;
            return;
        };
        let id = path.next_execution();
        let resume = match shape.sabotage {
            Some(Sabotage::ForgetHistory) if id > ExecutionId(1) => Epoch::FIRST,
            _ => path.resume_epoch(),
        };
        path.begin(id, resume);
        self.store.generation = generation;
        self.store.history.executions.push(Execution { id, resume });
        self.ledger.resumed(resume);
        self.runs.push(Run::new(shape, id, generation, path));
        if self.runs.len() == 1 {
            // Nobody is there who could do anything in between.
            for _ in 0..shape.partitions {
                self.on_newest(shape, |run, world| run.fence(shape, world));
            }
        }
    }

    fn on_newest(&mut self, shape: &Shape, act: impl FnOnce(&mut Run, &mut Self) -> Option<Exit>) {
        if let Some(id) = self.runs.last().map(|run| run.execution) {
            self.on(shape, id, act);
        }
    }

    /// Lets one run act upon the rest of the world, and maybe end.
    fn on(
        &mut self,
        shape: &Shape,
        id: ExecutionId,
        act: impl FnOnce(&mut Run, &mut Self) -> Option<Exit>,
    ) {
        let Some(index) = self.runs.iter().position(|run| run.execution == id) else {
            return;
        };
        let mut run = self.runs.remove(index);
        let exit = act(&mut run, self);
        match exit.or_else(|| run.settle(shape, self)) {
            None => self.runs.insert(index, run),
            Some(Exit::Aborted) => self.ledger.was_turned_away = true,
            Some(Exit::Zero) => {
                let is_newest = self.store.history.newest() == Some(id);
                let published = self.sink.published_through();
                self.ledger.ended(&run, is_newest, &published);
            }
        }
    }
}
