//! A store on its own thread, so that workers don't wait for the disk.
//!
//! Workers hand over records and go on; they wait only while more is queued than there is room
//! for. The writer takes all that has queued at a time and makes one transaction of it per file,
//! so that the slower the disk, the more is written at once. Home comes last, with the commit:
//! what it makes history is durable in the other files by then.
//!
//! A disk that is busy or full is asked about, again and again, at a [`RetryPolicy`]. Any other
//! failure ends the writer: after a failed write or sync it can't be known what the disk holds,
//! and asking the same file again may be told that all is well. The next run finds out from the
//! files.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_threads::{contain, panic_point};

use super::error::{Attempt, Result, StoreError};
use super::layout::{HOME, partition_of};
use super::partition::{Collected, Work};
use super::queue::{Queue, Request};
use super::record::Record;
use super::running::Store;
use crate::id::{Epoch, ExecutionId, StorePartition, WorkerIndex};

/// What keeps the writer from writing, and may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Another program has a file locked.
    Busy,
    /// The disk is full.
    Full,
}

/// What to do about a [`Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Try again after so long.
    Wait(Duration),
    /// Stop the run.
    GiveUp,
}

/// Decides how long to try.
pub trait RetryPolicy: Send {
    /// Called after the `attempt`-th failure in a row, counted from 1.
    fn after(&mut self, trouble: Trouble, attempt: u32) -> Patience;
}

impl<F: FnMut(Trouble, u32) -> Patience + Send> RetryPolicy for F {
    fn after(&mut self, trouble: Trouble, attempt: u32) -> Patience {
        self(trouble, attempt)
    }
}

/// What the writer tells, from its thread.
#[derive(Debug, Clone)]
pub enum Report {
    /// All that a worker had for an epoch is durable.
    Durable {
        /// The worker.
        worker: WorkerIndex,
        /// The epoch.
        epoch: Epoch,
    },
    /// All epochs up to this one are history.
    Committed(Epoch),
    /// Garbage was collected.
    Collected(Collected),
    /// Something could not be written and will be tried again.
    Waiting {
        /// Why not.
        trouble: Trouble,
        /// How often in a row by now.
        attempt: u32,
        /// What happened, for people.
        error: Arc<StoreError>,
    },
    /// The writer has stopped. Nothing of what isn't reported durable can be relied on.
    Failed(Arc<StoreError>),
}

/// How a writer is to be.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// The execution it writes.
    pub execution: ExecutionId,
    /// How many bytes may wait to be written.
    pub room: usize,
}

/// The thread that writes. Dropping it stops it as soon as it can, like a crash.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<std::result::Result<Store, Arc<StoreError>>>>,
}

/// Where workers hand over what is to be written.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    queue: Arc<Queue>,
}

impl Writer {
    /// Moves a store to a thread of its own. `report` is called there, and should do no more
    /// than pass on what it is told, to a channel say.
    pub fn start(
        store: Store,
        options: WriterOptions,
        policy: impl RetryPolicy + 'static,
        report: impl FnMut(Report) + Send + 'static,
    ) -> Result<Self> {
        let directory = store.reader().directory.path().to_owned();
        let queue = Arc::new(Queue::new(options.room));
        let work = Writing {
            store,
            execution: options.execution,
            queue: Arc::clone(&queue),
            policy: Box::new(policy),
            report: Box::new(report),
            collect: None,
        };
        let thread = thread::Builder::new()
            .name("millstream-store".to_owned())
            .spawn(move || work.run())
            .map_err(|error: io::Error| {
                Attempt::new(&directory, "start the thread that writes the store").io()(error)
            })?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// A place to hand over.
    pub fn handle(&self) -> WriterHandle {
        WriterHandle {
            queue: Arc::clone(&self.queue),
        }
    }

    /// Writes all that was handed over and gives the store back. Handles accept nothing more.
    pub fn finish(mut self) -> std::result::Result<Store, Arc<StoreError>> {
        self.queue.close();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            // A panic while it failed, which the hook of the process has told about.
            _ => Err(Arc::new(StoreError::Stopped)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.abandon();
        if let Some(thread) = self.thread.take() {
            // Whatever it ended with was reported.
            let _ = thread.join();
        }
    }
}

impl WriterHandle {
    /// Hands over snapshots. Waits only while there is no room. States that are too large are
    /// refused here, where it is known whose they are.
    pub fn append(&self, records: Vec<Record>) -> Result<()> {
        for record in &records {
            record.check_size()?;
        }
        self.push(Request::Append(records))
    }

    /// Hands over snapshots as [`append`](Self::append) does, and never waits: for who has waited
    /// for room before.
    pub fn append_now(&self, records: Vec<Record>) -> Result<()> {
        for record in &records {
            record.check_size()?;
        }
        if self.queue.push_now(Request::Append(records)) {
            Ok(())
        } else {
            Err(StoreError::Stopped)
        }
    }

    /// Whether [`append`](Self::append) need not wait.
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Waits a while for that.
    pub fn await_room(&self, within: Duration) {
        self.queue.await_room(within);
    }

    /// Says that a worker has handed over all it has for an epoch; answered by
    /// [`Report::Durable`].
    pub fn close_epoch(&self, worker: WorkerIndex, epoch: Epoch) -> Result<()> {
        self.push(Request::Close { worker, epoch })
    }

    /// Makes all epochs up to this one history; answered by [`Report::Committed`]. To be asked
    /// once all workers were told that theirs are durable.
    pub fn commit(&self, epoch: Epoch) -> Result<()> {
        self.push(Request::Commit(epoch))
    }

    /// Removes what epochs up to this one have superseded, with the next snapshots that are
    /// written.
    pub fn collect(&self, epoch: Epoch) -> Result<()> {
        self.push(Request::Collect(epoch))
    }

    /// Stops the writer as soon as it can, like a crash.
    pub fn abandon(&self) {
        self.queue.abandon();
    }

    fn push(&self, request: Request) -> Result<()> {
        if self.queue.push(request) {
            Ok(())
        } else {
            Err(StoreError::Stopped)
        }
    }
}

/// What is written at once.
#[derive(Default)]
struct Group {
    /// By partition.
    records: Vec<Vec<Record>>,
    has_records: bool,
    closed: Vec<(WorkerIndex, Epoch)>,
    commit: Option<Epoch>,
    collect: Option<Epoch>,
    weight: usize,
}

impl Group {
    fn new(requests: VecDeque<Request>, partitions: u32) -> Self {
        let mut group = Self::default();
        group.records.resize_with(partitions as usize, Vec::new);
        for request in requests {
            group.weight += request.weight();
            match request {
                Request::Append(records) => {
                    for record in records {
                        let partition = partition_of(&record.step.0, &record.key.0, partitions);
                        group.records[partition.0 as usize].push(record);
                        group.has_records = true;
                    }
                }
                Request::Close { worker, epoch } => group.closed.push((worker, epoch)),
                Request::Commit(epoch) => group.commit = group.commit.max(Some(epoch)),
                Request::Collect(epoch) => group.collect = group.collect.max(Some(epoch)),
            }
        }
        for records in &mut group.records {
            // In the order of the file, so that neighbours go to the same page. Stable: of two
            // snapshots of one key and epoch the later one counts.
            records.sort_by(|a, b| (&a.step, &a.key, a.epoch).cmp(&(&b.step, &b.key, b.epoch)));
        }
        group
    }
}

/// What the thread owns.
struct Writing {
    store: Store,
    execution: ExecutionId,
    queue: Arc<Queue>,
    policy: Box<dyn RetryPolicy>,
    report: Box<dyn FnMut(Report) + Send>,
    /// What may be collected, with the next snapshots.
    collect: Option<Epoch>,
}

impl Writing {
    fn run(mut self) -> std::result::Result<Store, Arc<StoreError>> {
        // Nobody may be left waiting for this thread, however it ends.
        let _closing = Closing(Arc::clone(&self.queue));
        let written = contain(|| self.write_all());
        match written.unwrap_or_else(|panic| Err(StoreError::Panicked(panic))) {
            Ok(()) => Ok(self.store),
            Err(error) => {
                let error = Arc::new(error);
                self.store.abandon();
                (self.report)(Report::Failed(Arc::clone(&error)));
                Err(error)
            }
        }
    }

    fn write_all(&mut self) -> Result<()> {
        let partitions = self.store.reader().partition_count();
        while let Some(requests) = self.queue.take() {
            let group = Group::new(requests, partitions);
            let weight = group.weight;
            self.write(group)?;
            self.queue.free(weight);
        }
        if self.queue.is_abandoned() {
            return Err(StoreError::Stopped);
        }
        self.collect_rest(partitions)
    }

    fn write(&mut self, group: Group) -> Result<()> {
        panic_point!("write");
        self.collect = self.collect.max(group.collect);
        let mut collected = Collected::default();
        // A transaction only to collect garbage is one more wait for the disk.
        let collect = self.collect.filter(|_| group.has_records);
        let committed = self.store.reader().committed().map(|commit| commit.epoch);
        for (number, records) in (0..).map(StorePartition).zip(&group.records).skip(1) {
            let work = Work {
                records,
                collect: collect.filter(|bound| self.store.has_touched(number, *bound)),
            };
            if !work.is_empty() {
                collected += self.persist(number, &work, None)?;
            }
        }
        fail_point!("writer-home");
        let work = Work {
            records: &group.records[HOME.0 as usize],
            collect: self
                .collect
                .filter(|bound| self.store.has_touched(HOME, *bound)),
        };
        if group.commit.is_some() || !work.records.is_empty() || collect.is_some() {
            collected += self.persist(HOME, &work, group.commit)?;
        }
        // No more than was committed has been collected.
        if collect.is_some() && collect <= committed {
            self.collect = None;
        }
        for (worker, epoch) in group.closed {
            (self.report)(Report::Durable { worker, epoch });
        }
        if let Some(epoch) = group.commit {
            (self.report)(Report::Committed(epoch));
        }
        if collected != Collected::default() {
            (self.report)(Report::Collected(collected));
        }
        Ok(())
    }

    fn collect_rest(&mut self, partitions: u32) -> Result<()> {
        let work = Work {
            records: &[],
            collect: self.collect.take(),
        };
        if work.collect.is_none() {
            return Ok(());
        }
        let mut collected = Collected::default();
        for number in (0..partitions).map(StorePartition) {
            collected += self.persist(number, &work, None)?;
        }
        (self.report)(Report::Collected(collected));
        Ok(())
    }

    /// One transaction, tried as long as the policy says.
    fn persist(
        &mut self,
        partition: StorePartition,
        work: &Work<'_>,
        commit: Option<Epoch>,
    ) -> Result<Collected> {
        let mut attempt = 0;
        loop {
            let error = match self.store.apply(partition, self.execution, work, commit) {
                Ok(collected) => return Ok(collected),
                Err(error) => error,
            };
            let trouble = match error {
                StoreError::Busy { .. } => Trouble::Busy,
                StoreError::Full { .. } => Trouble::Full,
                other => return Err(other),
            };
            attempt += 1;
            let Patience::Wait(duration) = self.policy.after(trouble, attempt) else {
                return Err(error);
            };
            (self.report)(Report::Waiting {
                trouble,
                attempt,
                error: Arc::new(error),
            });
            if !self.queue.pause(duration) {
                return Err(StoreError::Stopped);
            }
        }
    }
}

/// Lets go of all who wait for the writer, however it ends.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
