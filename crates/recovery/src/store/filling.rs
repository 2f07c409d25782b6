//! Filling a new store with rows that exist already. It becomes a store only once all of them
//! were read back from it.

use std::path::Path;

use super::error::{Result, StoreError};
use super::history::{Commit, History};
use super::init::Making;
use super::layout::{HOME, partition_of};
use super::lease::{Claim, Lease};
use super::load::Checked;
use super::reader::Reader;
use super::running::Store;
use super::seal::Seal;
use crate::frame::Identity;
use crate::id::{Epoch, ExecutionId, Generation, StorePartition};

/// How much goes in one transaction.
const CHUNK: usize = 8 * 1024 * 1024;

/// Makes a new store of all that is in another, in any number of files. Gives the number of
/// snapshots.
pub(super) fn copy(reader: &Reader, to: &Path, partitions: u32) -> Result<u64> {
    let mut filling = Filling::begin(to, partitions, reader.generation())?;
    for partition in &reader.partitions {
        partition.visit::<StoreError>(&mut |row: Checked<'_>| {
            let frame = row.frame.map(<[u8]>::to_vec);
            filling.put(&row.identity, row.checksum, frame)
        })?;
    }
    let (rows, _) = filling.sum();
    filling.finish(&reader.history)?;
    Ok(rows)
}

/// A new store that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    making: Making,
    store: Store,
    partitions: u32,
    /// By partition.
    waiting: Vec<Vec<Row>>,
    weight: usize,
    /// What was put in.
    sum: Seal,
}

#[derive(Debug)]
struct Row {
    step: String,
    key: String,
    execution: ExecutionId,
    epoch: Epoch,
    frame: Option<Vec<u8>>,
}

impl Filling {
    /// Begins a new store, for a history that was written by generations up to this one.
    pub(super) fn begin(path: &Path, partitions: u32, generation: Generation) -> Result<Self> {
        let making = Making::begin(path, partitions)?;
        let directory = making.directory.clone();
        let lease = Lease::take(&directory, Claim::IfFree)?;
        let store = Store::over(Reader::of(directory)?, lease, generation)?;
        Ok(Self {
            making,
            store,
            partitions,
            waiting: (0..partitions).map(|_| Vec::new()).collect(),
            weight: 0,
            sum: Seal::new(),
        })
    }

    /// Adds a row that was checked, with its frame unless it is a tombstone.
    pub(super) fn put(
        &mut self,
        identity: &Identity<'_>,
        checksum: u64,
        frame: Option<Vec<u8>>,
    ) -> Result<()> {
        self.sum.add(checksum);
        self.weight += identity.step.len() + identity.key.len() + 64;
        self.weight += frame.as_ref().map_or(0, Vec::len);
        let partition = partition_of(identity.step, identity.key, self.partitions);
        self.waiting[partition.0 as usize].push(Row {
            step: identity.step.to_owned(),
            key: identity.key.to_owned(),
            execution: identity.execution,
            epoch: identity.epoch,
            frame,
        });
        if self.weight >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// What was put in so far: how many rows, and the sum of their checksums.
    pub(super) fn sum(&self) -> (u64, u64) {
        (self.sum.records, self.sum.total)
    }

    /// Adds the history, reads everything back, and makes it a store.
    pub(super) fn finish(mut self, history: &History) -> Result<()> {
        self.flush()?;
        self.store.fill(HOME, |changes| {
            if let Some(document) = &history.document {
                changes.set_document(document)?;
            }
            for execution in &history.executions {
                changes.add_execution(execution)?;
                if let Some(epoch) = execution.committed {
                    changes.set_commit(Commit {
                        execution: execution.id,
                        epoch,
                    })?;
                }
            }
            Ok(())
        })?;
        self.store.close()?;
        fail_point!("filling-closed");
        let reader = Reader::of(self.making.directory.clone())?;
        let mut found = Seal::new();
        for partition in &reader.partitions {
            partition.visit::<StoreError>(&mut |row: Checked<'_>| {
                found.add(row.checksum);
                Ok(())
            })?;
        }
        let is_same_history = (&reader.history.document, &reader.history.executions)
            == (&history.document, &history.executions);
        if found != self.sum || !is_same_history {
            return Err(StoreError::inconsistent(
                self.making.directory.path(),
                "what was read back is not what was written to it. The disk cannot be trusted.",
            ));
        }
        drop(reader);
        self.making.finish()
    }

    fn flush(&mut self) -> Result<()> {
        self.weight = 0;
        for (number, rows) in (0..).map(StorePartition).zip(&mut self.waiting) {
            if rows.is_empty() {
                continue;
            }
            let rows = std::mem::take(rows);
            self.store.fill(number, |changes| {
                for row in &rows {
                    let identity = Identity {
                        step: &row.step,
                        key: &row.key,
                        execution: row.execution,
                        epoch: row.epoch,
                    };
                    changes.put(&identity, row.frame.as_deref())?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
