//! What can be changed within a transaction. Each change also corrects the seal.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{OptionalExtension, Params, Statement, Transaction};

use super::error::{Attempt, Result, StoreError};
use super::history::{Commit, Execution, Witness, document_digest};
use super::record::Record;
use super::seal::{Seal, number};
use crate::frame::{Digest, Identity, encode};
use crate::id::{Epoch, ExecutionId};

const PAGE: usize = 4_096;

const INSERT: &str = "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
const REMOVE: &str = "DELETE FROM snapshots \
     WHERE step = ?1 AND key = ?2 AND execution = ?3 AND epoch = ?4 \
     RETURNING execution, epoch, substr(frame, -8)";
const REMOVE_TOMBSTONE: &str = "DELETE FROM snapshots \
     WHERE step = ?1 AND key = ?2 AND execution = ?3 AND epoch = ?4 AND frame IS NULL \
     RETURNING execution, epoch, substr(frame, -8)";
const REMOVE_OLDER: &str = "DELETE FROM snapshots WHERE step = ?1 AND key = ?2 \
     AND (execution < ?3 OR (execution = ?3 AND epoch < ?4)) \
     RETURNING execution, epoch, substr(frame, -8)";

/// The numbers that steps have within a file, so that not every row repeats the name.
#[derive(Debug, Default)]
pub(super) struct Steps {
    numbers: BTreeMap<String, i64>,
    names: BTreeMap<i64, String>,
}

impl Steps {
    pub(super) fn read(connection: &rusqlite::Connection, attempt: Attempt<'_>) -> Result<Self> {
        let mut steps = Self::default();
        let read = |steps: &mut Self| {
            let mut statement = connection.prepare("SELECT step, name FROM steps")?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                steps.insert(row.get(0)?, row.get(1)?);
            }
            Ok(())
        };
        read(&mut steps).map_err(attempt.sqlite())?;
        Ok(steps)
    }

    pub(super) fn name(&self, number: i64) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// The checksums of their rows, as the seal has them.
    pub(super) fn checksums(&self) -> impl Iterator<Item = u64> {
        self.names
            .iter()
            .map(|(number, name)| step_digest(*number, name))
    }

    fn insert(&mut self, number: i64, name: String) {
        self.names.insert(number, name.clone());
        self.numbers.insert(name, number);
    }
}

fn step_digest(number: i64, name: &str) -> u64 {
    Digest::new()
        .text("step")
        .number(number.cast_unsigned())
        .text(name)
        .finish()
}

/// A key that was written, and so may supersede what there is of it.
#[derive(Debug)]
pub(super) struct Touched {
    step: i64,
    key: String,
    forgotten: bool,
}

/// A row to remove.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) step: i64,
    pub(super) key: String,
    pub(super) execution: ExecutionId,
    pub(super) epoch: Epoch,
}

/// A transaction being made.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    statements: Statements<'a>,
    pub(super) attempt: Attempt<'a>,
    pub(super) steps: Steps,
    pub(super) seal: Seal,
    /// What was written.
    pub(super) touched: Vec<(Epoch, Touched)>,
    /// About how many pages it takes.
    pages: usize,
}

/// Statements, each prepared once per transaction.
#[derive(Debug)]
struct Statements<'a> {
    transaction: &'a Transaction<'a>,
    prepared: BTreeMap<&'static str, Statement<'a>>,
}

impl<'a> Statements<'a> {
    fn get(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'a>> {
        match self.prepared.entry(sql) {
            Entry::Occupied(prepared) => Ok(prepared.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(self.transaction.prepare(sql)?)),
        }
    }
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        attempt: Attempt<'a>,
        steps: Steps,
        seal: Seal,
    ) -> Self {
        Self {
            statements: Statements {
                transaction,
                prepared: BTreeMap::new(),
            },
            attempt,
            steps,
            seal,
            touched: Vec::new(),
            pages: 1,
        }
    }

    /// Lets go of the transaction, to be committed; with the steps and the seal as they are
    /// then, and the number of pages.
    pub(super) fn finish(self) -> (Steps, Seal, usize) {
        (self.steps, self.seal, self.pages)
    }

    /// Adds the snapshots of an execution. One that is there already is replaced.
    pub(super) fn append(&mut self, execution: ExecutionId, records: &[Record]) -> Result<()> {
        for record in records {
            let identity = Identity {
                step: &record.step.0,
                key: &record.key.0,
                execution,
                epoch: record.epoch,
            };
            let frame = match &record.state {
                None => None,
                Some(state) => {
                    let frame = encode(&identity, state.codec, &state.payload);
                    Some(frame.map_err(|source| record.too_large(source))?)
                }
            };
            let step = self.put(&identity, frame.as_deref())?;
            let touched = Touched {
                step,
                key: record.key.0.clone(),
                forgotten: frame.is_none(),
            };
            self.touched.push((record.epoch, touched));
        }
        Ok(())
    }

    /// Adds one row, framed already; a tombstone if there is no frame.
    pub(super) fn put(&mut self, identity: &Identity<'_>, frame: Option<&[u8]>) -> Result<i64> {
        let step = self.step(identity.step)?;
        let row = (
            step,
            identity.key,
            identity.execution.0.cast_signed(),
            identity.epoch.0.cast_signed(),
            frame,
        );
        if self.run(INSERT, row)? == 0 {
            self.remove(&Doomed {
                step,
                key: identity.key.to_owned(),
                execution: identity.execution,
                epoch: identity.epoch,
            })?;
            self.run(INSERT, row)?;
        }
        self.seal.add(checksum(identity, frame));
        self.pages += 1 + frame.map_or(0, <[u8]>::len) / PAGE;
        Ok(step)
    }

    /// Removes what the rows of an epoch have superseded, and those that only say that there
    /// is nothing any more.
    pub(super) fn collect(
        &mut self,
        execution: ExecutionId,
        epoch: Epoch,
        keys: &[Touched],
    ) -> Result<usize> {
        let mut removed = 0;
        for touched in keys {
            let (step, key) = (touched.step, &touched.key);
            removed += self.delete(REMOVE_OLDER, step, key, execution, epoch)?;
            // With nothing older beneath it, a tombstone has nothing left to hide. The key may
            // have come again within the epoch; then there is none.
            if touched.forgotten {
                removed += self.delete(REMOVE_TOMBSTONE, step, key, execution, epoch)?;
            }
        }
        Ok(removed)
    }

    /// Removes one row.
    pub(super) fn remove(&mut self, doomed: &Doomed) -> Result<usize> {
        self.delete(
            REMOVE,
            doomed.step,
            &doomed.key,
            doomed.execution,
            doomed.epoch,
        )
    }

    fn delete(
        &mut self,
        statement: &'static str,
        step: i64,
        key: &str,
        execution: ExecutionId,
        epoch: Epoch,
    ) -> Result<usize> {
        let attempt = self.attempt;
        let statement = self.statements.get(statement).map_err(attempt.sqlite())?;
        let bounds = (step, key, execution.0.cast_signed(), epoch.0.cast_signed());
        let mut rows = statement.query(bounds).map_err(attempt.sqlite())?;
        let mut removed = 0;
        while let Some(row) = rows.next().map_err(attempt.sqlite())? {
            let read = || {
                Ok((
                    ExecutionId(number(row, 0)?),
                    Epoch(number(row, 1)?),
                    row.get::<_, Option<Vec<u8>>>(2)?,
                ))
            };
            let (execution, epoch, tail) = read().map_err(attempt.sqlite())?;
            let name = self
                .steps
                .name(step)
                .ok_or_else(|| StoreError::corrupt(attempt.path, "it has rows of no step"))?;
            let identity = Identity {
                step: name,
                key,
                execution,
                epoch,
            };
            self.seal.remove(checksum(&identity, tail.as_deref()));
            self.pages += 1;
            removed += 1;
        }
        Ok(removed)
    }

    fn step(&mut self, name: &str) -> Result<i64> {
        if let Some(step) = self.steps.numbers.get(name) {
            return Ok(*step);
        }
        let step = self
            .steps
            .names
            .keys()
            .next_back()
            .map_or(1, |last| last + 1);
        self.execute("INSERT INTO steps VALUES (?, ?)", (step, name))?;
        self.seal.add(step_digest(step, name));
        self.steps.insert(step, name.to_owned());
        Ok(step)
    }

    pub(super) fn add_execution(&mut self, execution: &Execution) -> Result<()> {
        let digest = execution.digest();
        self.execute(
            "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?)",
            (
                execution.id.0.cast_signed(),
                execution.resume.0.cast_signed(),
                execution.generation.0.cast_signed(),
                execution.workers,
                execution.started,
                digest.cast_signed(),
            ),
        )?;
        self.seal.add(digest);
        Ok(())
    }

    pub(super) fn set_commit(&mut self, commit: Commit) -> Result<()> {
        let execution = commit.execution.0.cast_signed();
        self.replace(
            "SELECT digest FROM commits WHERE execution = ?",
            execution,
            commit.digest(),
        )?;
        self.execute(
            "INSERT OR REPLACE INTO commits VALUES (?, ?, ?)",
            (
                execution,
                commit.epoch.0.cast_signed(),
                commit.digest().cast_signed(),
            ),
        )
    }

    pub(super) fn set_document(&mut self, document: &str) -> Result<()> {
        let digest = document_digest(document);
        self.replace("SELECT digest FROM manifest WHERE only = ?", 0, digest)?;
        self.execute(
            "INSERT OR REPLACE INTO manifest VALUES (0, ?, ?)",
            (document, digest.cast_signed()),
        )
    }

    pub(super) fn set_witness(&mut self, witness: Witness) -> Result<()> {
        let number = i64::from(witness.partition.0);
        self.replace(
            "SELECT digest FROM witness WHERE number = ?",
            number,
            witness.digest(),
        )?;
        self.execute(
            "INSERT OR REPLACE INTO witness VALUES (?, ?, ?)",
            (
                number,
                witness.sequence.cast_signed(),
                witness.digest().cast_signed(),
            ),
        )
    }

    /// Corrects the seal for a row that takes the place of another, if there is one.
    fn replace(&mut self, query: &'static str, key: i64, digest: u64) -> Result<()> {
        let old = self
            .statements
            .get(query)
            .and_then(|statement| statement.query_row([key], |row| number(row, 0)).optional())
            .map_err(self.attempt.sqlite())?;
        if let Some(old) = old {
            self.seal.remove(old);
        }
        self.seal.add(digest);
        Ok(())
    }

    fn execute(&mut self, statement: &'static str, params: impl Params) -> Result<()> {
        self.pages += 1;
        self.run(statement, params).map(|_| ())
    }

    fn run(&mut self, statement: &'static str, params: impl Params) -> Result<usize> {
        self.statements
            .get(statement)
            .and_then(|statement| statement.execute(params))
            .map_err(self.attempt.sqlite())
    }
}

/// What the seal has for a row, given its frame or the end of it.
fn checksum(identity: &Identity<'_>, frame: Option<&[u8]>) -> u64 {
    match frame.map(<[u8]>::last_chunk) {
        None => identity.tombstone(),
        Some(Some(tail)) => u64::from_le_bytes(*tail),
        // Nothing that was written ends so early; the sum will tell.
        Some(None) => 0,
    }
}
