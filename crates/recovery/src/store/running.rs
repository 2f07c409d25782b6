//! A store that is written to, by the one run that has the lease.

use std::path::Path;

use super::changes::Changes;
use super::error::{Result, StoreError};
use super::history::{Commit, Execution, Manifest, Witness};
use super::layout::partition_of;
use super::lease::{Claim, Lease};
use super::partition::{Collected, Partition, Work};
use super::path::CommittedPath;
use super::reader::Reader;
use super::record::Record;
use super::sweep::Swept;
use crate::id::{Epoch, ExecutionId, Generation, StorePartition};

/// A store to write to. Dropping it without [`close`](Self::close) is what a crash does.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
    lease: Lease,
    /// What every transaction is written as.
    generation: Generation,
}

/// What is known of an execution when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The first epoch it runs.
    pub resume: Epoch,
    /// How many workers it has.
    pub workers: u32,
    /// The time, in microseconds since 1970 UTC; for people only.
    pub started: i64,
    /// Whose store it is from now on.
    pub manifest: &'a Manifest,
}

impl Store {
    /// Opens a store and takes it over: from here on nobody else writes to it.
    ///
    /// Gives [`StoreError::Busy`] while another program has a file locked; asking again is safe.
    pub fn open(path: &Path, claim: Claim) -> Result<Self> {
        // A look first: a lock is left in no directory that isn't a store.
        let directory = Reader::open(path)?.directory;
        let lease = Lease::take(&directory, claim)?;
        Self::over(Reader::of(directory)?, lease, Generation(0))
    }

    /// Takes a store over, with a generation after those it had and `after` another.
    pub(super) fn over(reader: Reader, lease: Lease, after: Generation) -> Result<Self> {
        let generation = Generation(reader.generation.max(after).0 + 1);
        let mut store = Self {
            reader,
            lease,
            generation,
        };
        store.claim()?;
        Ok(store)
    }

    /// What is in it. Of history, as it was last written.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The lease, to renew it from another thread.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The generation this run writes as.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Which file a key is in.
    pub fn partition_of(&self, step: &str, key: &str) -> StorePartition {
        partition_of(step, key, self.reader.partition_count())
    }

    /// Registers a new execution, and the dataflow it runs.
    pub fn begin_execution(&mut self, beginning: Beginning<'_>) -> Result<ExecutionId> {
        if let Some(commit) = self.reader.committed()
            && beginning.resume <= commit.epoch
        {
            return Err(StoreError::Misuse(format!(
                "an execution begins at epoch {}, and {} is committed",
                beginning.resume, commit.epoch
            )));
        }
        let last = self.reader.history.executions.last();
        let execution = Execution {
            id: ExecutionId(last.map_or(1, |last| last.id.0 + 1)),
            resume: beginning.resume,
            generation: self.generation,
            workers: beginning.workers,
            started: beginning.started,
            committed: None,
        };
        let document = serde_json::to_string(beginning.manifest)
            .map_err(|error| StoreError::Misuse(format!("the manifest: {error}")))?;
        fail_point!("execution-begin");
        let generation = self.generation;
        self.home_mut()
            .write(generation, "begin an execution", |changes| {
                changes.add_execution(&execution)?;
                changes.set_document(&document)
            })?;
        self.reader.history.executions.push(execution);
        self.reader.history.document = Some(document);
        Ok(execution.id)
    }

    /// Writes snapshots, all of which must be of this partition.
    pub fn append(
        &mut self,
        partition: StorePartition,
        execution: ExecutionId,
        records: &[Record],
    ) -> Result<()> {
        let work = Work {
            records,
            collect: None,
        };
        self.apply(partition, execution, &work, None).map(|_| ())
    }

    /// Makes all epochs up to this one history. Their rows must have been written.
    pub fn commit(&mut self, execution: ExecutionId, epoch: Epoch) -> Result<()> {
        let home = self.reader.home().identity.number;
        self.apply(home, execution, &Work::default(), Some(epoch))
            .map(|_| ())
    }

    /// Removes from a partition what rows up to `bound` have superseded. More than is
    /// committed is never removed.
    pub fn collect(&mut self, partition: StorePartition, bound: Epoch) -> Result<Collected> {
        let work = Work {
            records: &[],
            collect: Some(bound),
        };
        let execution = self.current()?.id;
        self.apply(partition, execution, &work, None)
    }

    /// Removes all that no resume needs: rows off the path, rows that were superseded on it, and
    /// tombstones. Goes through everything once, so it is for the start, when what was touched
    /// last is no longer known.
    pub fn sweep(&mut self, path: &CommittedPath) -> Result<Swept> {
        let mut swept = Swept::default();
        for partition in &mut self.reader.partitions {
            swept += partition.sweep(self.generation, path)?;
        }
        Ok(swept)
    }

    /// Leaves the store in order and gives it back.
    pub fn close(mut self) -> Result<()> {
        let committed = self.reader.committed();
        let generation = self.generation;
        for partition in self.reader.partitions.iter_mut().skip(1) {
            partition.write(generation, "close the store", |changes| {
                changes.seal.committed = committed;
                Ok(())
            })?;
            partition.write_back("TRUNCATE")?;
        }
        fail_point!("close-home");
        self.write_home("close the store", |changes| {
            changes.seal.closed = true;
            Ok(())
        })?;
        self.reader.partitions[0].write_back("TRUNCATE")?;
        self.lease.sync()
    }

    /// One transaction of one partition; in home it can also be the commit.
    pub(super) fn apply(
        &mut self,
        partition: StorePartition,
        execution: ExecutionId,
        work: &Work<'_>,
        commit: Option<Epoch>,
    ) -> Result<Collected> {
        let committed = self.check_order(execution, work.records, commit)?;
        let work = Work {
            records: work.records,
            collect: work
                .collect
                .and_then(|bound| committed.map(|committed| bound.min(committed))),
        };
        let generation = self.generation;
        let before = self.reader.committed();
        let Some(epoch) = commit else {
            return self
                .partition_mut(partition)?
                .apply(generation, execution, &work, |changes| {
                    changes.seal.committed = before;
                    Ok(())
                });
        };
        let witnesses = self.witnesses()?;
        let mut sequence = 0;
        let collected = self
            .home_mut()
            .apply(generation, execution, &work, |changes| {
                changes.set_commit(Commit { execution, epoch })?;
                set_witnesses(changes, &witnesses)?;
                sequence = changes.seal.sequence + 1;
                Ok(())
            })?;
        if let Some(current) = self.reader.history.executions.last_mut() {
            current.committed = Some(epoch);
        }
        self.lease.witness(self.reader.store_id(), sequence)?;
        Ok(collected)
    }

    /// Writes rows of any execution as they are, with a history of their own.
    pub(super) fn fill(
        &mut self,
        partition: StorePartition,
        work: impl FnOnce(&mut Changes<'_>) -> Result<()>,
    ) -> Result<()> {
        let generation = self.generation;
        self.partition_mut(partition)?
            .write(generation, "fill the store", work)
    }

    /// Whether collecting up to `bound` would look at anything in a partition.
    pub(super) fn has_touched(&self, partition: StorePartition, bound: Epoch) -> bool {
        let partition = self.reader.partitions.get(partition.0 as usize);
        partition.is_some_and(|partition| partition.has_touched(bound))
    }

    /// Limits the size of every file, as a disk would.
    #[doc(hidden)]
    pub fn limit_pages(&mut self, pages: u32) -> Result<()> {
        for partition in &self.reader.partitions {
            partition.limit_pages(pages)?;
        }
        Ok(())
    }

    /// Forgets the files without writing to them again.
    pub(super) fn abandon(self) {
        for partition in &self.reader.partitions {
            // It can't fail but for a misuse of SQLite, and there is nothing left to do if so.
            let _ = partition.leave_log(true);
        }
    }

    fn claim(&mut self) -> Result<()> {
        let generation = self.generation;
        let was_closed = self.reader.home().seal()?.closed;
        let committed = self.reader.committed();
        fail_point!("claim-partition");
        self.home_mut().claim(generation, committed)?;
        // From here on nobody else commits, and someone may have since we looked.
        self.reader.history = self.reader.home().history()?;
        let committed = self.reader.committed();
        for partition in self.reader.partitions.iter_mut().skip(1) {
            fail_point!("claim-partition");
            partition.claim(generation, committed)?;
        }
        self.reader.generation = self.generation;
        // Home is last, since it says how far the others have come.
        self.write_home("take the store over", |_| Ok(()))?;
        // That a run is on must be in the file itself, where no copy can be without it.
        if was_closed && !self.reader.partitions[0].write_back("FULL")? {
            return Err(StoreError::Busy {
                path: self.reader.home().path.clone(),
                doing: "take the store over",
            });
        }
        self.lease.sync()
    }

    /// Writes to home how far all have come, and to the lease how far home has.
    fn write_home(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&mut Changes<'_>) -> Result<()>,
    ) -> Result<()> {
        let witnesses = self.witnesses()?;
        let generation = self.generation;
        let sequence = self.home_mut().write(generation, doing, |changes| {
            set_witnesses(changes, &witnesses)?;
            work(changes)?;
            Ok(changes.seal.sequence + 1)
        })?;
        self.lease.witness(self.reader.store_id(), sequence)
    }

    fn witnesses(&self) -> Result<Vec<Witness>> {
        let others = self.reader.partitions.iter().skip(1);
        others
            .map(|partition| {
                Ok(Witness {
                    partition: partition.identity.number,
                    sequence: partition.seal()?.sequence,
                })
            })
            .collect()
    }

    /// What was committed is never written again, and commits only go on.
    fn check_order(
        &self,
        execution: ExecutionId,
        records: &[Record],
        commit: Option<Epoch>,
    ) -> Result<Option<Epoch>> {
        let current = self.current()?;
        if current.id != execution {
            return Err(StoreError::Misuse(format!(
                "execution {execution} writes while {} runs",
                current.id
            )));
        }
        let first = current
            .committed
            .map_or(current.resume, Epoch::next)
            .max(current.resume);
        let is_open = |epoch: Epoch| epoch >= first && i64::try_from(epoch.0).is_ok();
        let refused = records
            .iter()
            .map(|record| record.epoch)
            .chain(commit)
            .find(|epoch| !is_open(*epoch));
        match refused {
            None => Ok(current.committed),
            Some(epoch) => Err(StoreError::Misuse(format!(
                "epoch {epoch} of execution {execution} is written after it was closed; the \
                 first open one is {first}"
            ))),
        }
    }

    /// The execution that this run has begun.
    fn current(&self) -> Result<&Execution> {
        self.reader
            .history
            .executions
            .last()
            .filter(|execution| execution.generation == self.generation)
            .ok_or_else(|| StoreError::Misuse("no execution has begun".to_owned()))
    }

    fn home_mut(&mut self) -> &mut Partition {
        &mut self.reader.partitions[0]
    }

    fn partition_mut(&mut self, number: StorePartition) -> Result<&mut Partition> {
        self.reader
            .partitions
            .get_mut(number.0 as usize)
            .ok_or_else(|| StoreError::Misuse(format!("there is no partition {number}")))
    }
}

fn set_witnesses(changes: &mut Changes<'_>, witnesses: &[Witness]) -> Result<()> {
    for witness in witnesses {
        changes.set_witness(*witness)?;
    }
    Ok(())
}
