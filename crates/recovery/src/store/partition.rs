//! One file of the store, and the one way to write to it.
//!
//! Every write is a transaction that first takes the write lock of the file, then compares the
//! generation in the seal with that of the writer, and last writes the seal anew. So whoever was
//! taken over can't write, and the seal is never of other rows than those beside it.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::changes::{Changes, Steps, Touched};
use super::connection;
use super::error::{Attempt, Result, StoreError};
use super::history::{Commit, History};
use super::record::Record;
use super::seal::{FileIdentity, Seal};
use crate::id::{Epoch, ExecutionId, Generation};
use crate::protocol::abort::Abort;
use crate::protocol::lease::{admit, may_fence};

/// The log is written back once about so many pages are in it.
const LOG_PAGES: usize = 1_000;

/// One file of the store.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) identity: FileIdentity,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// `None` until needed, and again after a transaction that failed.
    steps: Option<Steps>,
    /// The keys written since they were last collected, by the epoch of what was written. So
    /// what can be superseded is known without a search. Lost in a crash, after which
    /// [`sweep`](super::sweep) looks at everything once.
    touched: BTreeMap<Epoch, Vec<Touched>>,
    /// About how many pages were written to the log since it was last written back.
    log_pages: usize,
}

/// What goes into one transaction of one file.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    pub(super) records: &'a [Record],
    /// Remove what is superseded by what was written up to this epoch.
    pub(super) collect: Option<Epoch>,
}

impl Work<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.collect.is_none()
    }
}

/// What collecting garbage took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many keys were looked at: those written since the last time.
    pub examined: usize,
    /// How many rows went.
    pub removed: usize,
}

impl AddAssign for Collected {
    fn add_assign(&mut self, other: Self) {
        self.examined += other.examined;
        self.removed += other.removed;
    }
}

impl Partition {
    /// Opens a file, to read until it is [claimed](Self::claim).
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = connection::open(path)?;
        let partition = Self {
            identity: FileIdentity::read(&connection, path)?,
            path: path.to_owned(),
            connection,
            steps: None,
            touched: BTreeMap::new(),
            log_pages: 0,
        };
        partition.leave_log(true)?;
        // Binds the identity too, so that it may be believed from here on.
        partition.seal()?;
        Ok(partition)
    }

    /// Whether collecting up to `bound` would look at anything.
    pub(super) fn has_touched(&self, bound: Epoch) -> bool {
        self.touched
            .first_key_value()
            .is_some_and(|(first, _)| *first <= bound)
    }

    pub(super) fn seal(&self) -> Result<Seal> {
        Seal::read(&self.connection, &self.identity, &self.path)
    }

    pub(super) fn history(&self) -> Result<History> {
        History::read(&self.connection, &self.path)
    }

    /// Several reads of one moment of the file; nothing to do if it is held at one.
    pub(super) fn snapshot(&self) -> Result<Option<Transaction<'_>>> {
        if !self.connection.is_autocommit() {
            return Ok(None);
        }
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)
            .map(Some)
            .map_err(Attempt::new(&self.path, "read the store file").sqlite())
    }

    /// Stays at this moment, whatever is written to the file.
    pub(super) fn hold(&self) -> Result<()> {
        // The moment is that of the first read.
        self.connection
            .execute_batch("BEGIN; SELECT count(*) FROM identity")
            .map_err(Attempt::new(&self.path, "read the store file").sqlite())
    }

    /// Undoes [`hold`](Self::hold).
    pub(super) fn let_go(&self) -> Result<()> {
        self.connection
            .execute_batch("ROLLBACK")
            .map_err(Attempt::new(&self.path, "read the store file").sqlite())
    }

    /// Whether to leave the log as it is when the file is closed: when only looking, and when
    /// the disk failed, after which nothing that touches the file may be trusted.
    pub(super) fn leave_log(&self, leave: bool) -> Result<()> {
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)
            .map(|_| ())
            .map_err(Attempt::new(&self.path, "open the store file").sqlite())
    }

    /// Limits the size of the file, as a disk would.
    pub(super) fn limit_pages(&self, pages: u32) -> Result<()> {
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(Attempt::new(&self.path, "limit the store file").sqlite())
    }

    /// Raises the generation, so that nobody of an older one writes any more.
    pub(super) fn claim(&mut self, ours: Generation, committed: Option<Commit>) -> Result<u64> {
        self.leave_log(false)?;
        self.transact("take the store over", |changes| {
            let theirs = changes.seal.generation;
            if theirs == ours || may_fence(ours, theirs).is_err() {
                return Err(fenced(changes.attempt.path, ours, theirs));
            }
            changes.seal.generation = ours;
            changes.seal.committed = committed;
            changes.seal.closed = false;
            Ok(changes.seal.sequence + 1)
        })
    }

    /// A transaction of the writer of generation `ours`.
    pub(super) fn write<T>(
        &mut self,
        ours: Generation,
        doing: &'static str,
        work: impl FnOnce(&mut Changes<'_>) -> Result<T>,
    ) -> Result<T> {
        self.transact(doing, |changes| {
            let theirs = changes.seal.generation;
            match admit(ours, theirs) {
                Ok(()) => work(changes),
                Err(Abort::Fenced { .. }) => Err(fenced(changes.attempt.path, ours, theirs)),
                Err(_) => Err(StoreError::corrupt(
                    changes.attempt.path,
                    "it has become older while it was open",
                )),
            }
        })
    }

    /// Writes records and removes what is superseded, in one transaction.
    pub(super) fn apply(
        &mut self,
        ours: Generation,
        execution: ExecutionId,
        work: &Work<'_>,
        and: impl FnOnce(&mut Changes<'_>) -> Result<()>,
    ) -> Result<Collected> {
        // Taken out, since the transaction borrows the partition.
        let mut touched = std::mem::take(&mut self.touched);
        let collected = self.write(ours, "write snapshots", |changes| {
            changes.append(execution, work.records)?;
            fail_point!("partition-appended");
            let mut collected = Collected::default();
            if let Some(bound) = work.collect {
                for (epoch, keys) in touched.range(..=bound) {
                    collected.examined += keys.len();
                    collected.removed += changes.collect(execution, *epoch, keys)?;
                }
                fail_point!("partition-collected");
            }
            and(changes)?;
            Ok((collected, std::mem::take(&mut changes.touched)))
        });
        if let (Ok(_), Some(bound)) = (&collected, work.collect) {
            touched = touched.split_off(&bound.next());
        }
        self.touched = touched;
        let (collected, written) = collected?;
        for (epoch, key) in written {
            self.touched.entry(epoch).or_default().push(key);
        }
        Ok(collected)
    }

    fn transact<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&mut Changes<'_>) -> Result<T>,
    ) -> Result<T> {
        let attempt = Attempt::new(&self.path, doing);
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .map_err(attempt.sqlite())?;
        let seal = Seal::read(&transaction, &self.identity, &self.path)?;
        // Gone if anything fails, as the transaction may have numbered steps that aren't there.
        let steps = match self.steps.take() {
            Some(steps) => steps,
            None => Steps::read(&transaction, attempt)?,
        };
        let mut changes = Changes::new(&transaction, attempt, steps, seal);
        let result = work(&mut changes)?;
        let (steps, mut seal, pages) = changes.finish();
        seal.sequence += 1;
        seal.write(&transaction, &self.identity, &self.path)?;
        fail_point!("partition-commit");
        transaction.commit().map_err(attempt.sqlite())?;
        fail_point!("partition-committed");
        self.steps = Some(steps);
        self.log_pages += pages;
        if self.log_pages >= LOG_PAGES {
            self.write_back("PASSIVE")?;
        }
        Ok(result)
    }

    /// Writes the log back into the file. That others look at the file, or that there is no
    /// space, only leaves the log longer; whether all was written back is the answer.
    pub(super) fn write_back(&mut self, mode: &str) -> Result<bool> {
        let attempt = Attempt::new(&self.path, "write the log of the store file back");
        self.log_pages = 0;
        fail_point!("log-write-back");
        let outcome = self
            .connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| {
                let busy: bool = row.get(0)?;
                let pages: i64 = row.get(1)?;
                let written: i64 = row.get(2)?;
                Ok(!busy && pages == written)
            })
            .map_err(attempt.sqlite());
        fail_point!("log-written-back");
        match outcome {
            Err(StoreError::Busy { .. } | StoreError::Full { .. }) => Ok(false),
            other => other,
        }
    }
}

fn fenced(path: &Path, ours: Generation, theirs: Generation) -> StoreError {
    StoreError::Fenced {
        path: path.to_owned(),
        ours,
        theirs,
    }
}
