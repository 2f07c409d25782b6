//! The seal of a file: what is in it, in one row that changes with every transaction.
//!
//! It counts all rows of all other tables and sums their checksums. Addition forgets the order,
//! so a row costs the same to add or to take away whatever else is there; and it still takes
//! 64 bits of luck for another set of rows to come to the same sum.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::error::{Attempt, Result, StoreError};
use super::history::Commit;
use crate::frame::Digest;
use crate::id::{Epoch, ExecutionId, Generation, StorePartition};

/// Which file of which store it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileIdentity {
    /// Random, and the same in all files of a store.
    pub(super) store: String,
    pub(super) number: StorePartition,
    pub(super) count: u32,
}

impl FileIdentity {
    pub(super) fn read(connection: &Connection, path: &Path) -> Result<Self> {
        let read = |row: &Row<'_>| {
            Ok(Self {
                store: row.get(0)?,
                number: StorePartition(row.get(1)?),
                count: row.get(2)?,
            })
        };
        connection
            .query_row("SELECT store, number, count FROM identity", (), read)
            .map_err(Attempt::new(path, "read which partition this is").sqlite())
    }

    pub(super) fn write(&self, connection: &Connection, path: &Path) -> Result<()> {
        connection
            .execute(
                "INSERT INTO identity VALUES (0, ?, ?, ?)",
                (&self.store, self.number.0, self.count),
            )
            .map_err(Attempt::new(path, "write which partition this is").sqlite())?;
        Ok(())
    }
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    /// Who may write.
    pub(super) generation: Generation,
    /// How many transactions there have been.
    pub(super) sequence: u64,
    /// How many rows there are.
    pub(super) records: u64,
    /// The sum of their checksums.
    pub(super) total: u64,
    /// The last commit in home that this file has heard of.
    pub(super) committed: Option<Commit>,
    /// Whether its last writer left it in order, so that nothing is in the log only.
    pub(super) closed: bool,
}

impl Seal {
    /// That of a file without rows.
    pub(super) fn new() -> Self {
        Self {
            generation: Generation(0),
            sequence: 0,
            records: 0,
            total: 0,
            committed: None,
            closed: true,
        }
    }

    pub(super) fn add(&mut self, checksum: u64) {
        self.records = self.records.wrapping_add(1);
        self.total = self.total.wrapping_add(checksum);
    }

    pub(super) fn remove(&mut self, checksum: u64) {
        self.records = self.records.wrapping_sub(1);
        self.total = self.total.wrapping_sub(checksum);
    }

    pub(super) fn read(
        connection: &Connection,
        identity: &FileIdentity,
        path: &Path,
    ) -> Result<Self> {
        let read = |row: &Row<'_>| {
            let execution: Option<i64> = row.get(4)?;
            let epoch: Option<i64> = row.get(5)?;
            let seal = Self {
                generation: Generation(number(row, 0)?),
                sequence: number(row, 1)?,
                records: number(row, 2)?,
                total: number(row, 3)?,
                committed: execution.zip(epoch).map(|(execution, epoch)| Commit {
                    execution: ExecutionId(execution.cast_unsigned()),
                    epoch: Epoch(epoch.cast_unsigned()),
                }),
                closed: row.get(6)?,
            };
            Ok((seal, number(row, 7)?))
        };
        let (seal, digest) = connection
            .query_row(
                "SELECT generation, sequence, records, total, execution, epoch, closed, digest FROM seal",
                (),
                read,
            )
            .map_err(Attempt::new(path, "read the seal").sqlite())?;
        if digest != seal.digest(identity) {
            return Err(StoreError::corrupt(path, "its seal does not match"));
        }
        Ok(seal)
    }

    pub(super) fn write(
        &self,
        connection: &Connection,
        identity: &FileIdentity,
        path: &Path,
    ) -> Result<()> {
        connection
            .prepare("INSERT OR REPLACE INTO seal VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?)")
            .and_then(|mut statement| {
                statement.execute((
                    self.generation.0.cast_signed(),
                    self.sequence.cast_signed(),
                    self.records.cast_signed(),
                    self.total.cast_signed(),
                    self.committed.map(|it| it.execution.0.cast_signed()),
                    self.committed.map(|it| it.epoch.0.cast_signed()),
                    self.closed,
                    self.digest(identity).cast_signed(),
                ))
            })
            .map_err(Attempt::new(path, "write the seal").sqlite())?;
        Ok(())
    }

    /// The checksum of the seal itself, which also binds which file it is on.
    fn digest(&self, identity: &FileIdentity) -> u64 {
        let committed = self
            .committed
            .map_or((0, 0, 0), |it| (1, it.execution.0, it.epoch.0));
        Digest::new()
            .text(&identity.store)
            .number(identity.number.0.into())
            .number(identity.count.into())
            .number(self.generation.0)
            .number(self.sequence)
            .number(self.records)
            .number(self.total)
            .number(committed.0)
            .number(committed.1)
            .number(committed.2)
            .number(self.closed.into())
            .finish()
    }
}

/// SQLite's integers have a sign; ours are bit patterns or never that large.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
