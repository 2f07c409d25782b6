//! What home keeps once per store: the manifest, the executions, their commits, and how far
//! each other file had come.

use std::path::Path;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::error::{Attempt, Result, StoreError};
use super::seal::number;
use crate::frame::{Codec, Digest};
use crate::id::{Epoch, ExecutionId, Generation, StorePartition};

/// Up to where an execution became history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commit {
    /// The execution.
    pub execution: ExecutionId,
    /// The last epoch that is durable everywhere.
    pub epoch: Epoch,
}

/// One run of the dataflow on this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Its number, from 1.
    pub id: ExecutionId,
    /// The first epoch it ran.
    pub resume: Epoch,
    /// The generation it wrote as.
    pub generation: Generation,
    /// How many workers it had.
    pub workers: u32,
    /// When it began, in microseconds since 1970 UTC; for people only.
    pub started: i64,
    /// The last epoch it committed, if any.
    pub committed: Option<Epoch>,
}

/// Whose store it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The dataflow.
    pub flow: String,
    /// Its steps that keep something.
    pub steps: Vec<ManifestStep>,
    /// Steps that had state when the execution began, as they were then. Until it commits, the
    /// state in the store is of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<ManifestStep>,
}

/// A step that keeps something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStep {
    /// Its name.
    pub id: String,
    /// What it keeps.
    pub kind: StepKind,
    /// What a state is, in a few words.
    #[serde(default)]
    pub form: String,
    /// The version of the form of its state, as its author counts.
    pub schema: u32,
}

/// What a step keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Positions in what it reads.
    Source,
    /// A state per key.
    State,
    /// Positions in what it writes.
    Sink,
}

impl Serialize for Codec {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        [Self::Native, Self::Pickle]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown codec `{name}`")))
    }
}

impl Execution {
    pub(super) fn digest(&self) -> u64 {
        Digest::new()
            .text("execution")
            .number(self.id.0)
            .number(self.resume.0)
            .number(self.generation.0)
            .number(self.workers.into())
            .number(self.started.cast_unsigned())
            .finish()
    }
}

impl Commit {
    pub(super) fn digest(&self) -> u64 {
        Digest::new()
            .text("commit")
            .number(self.execution.0)
            .number(self.epoch.0)
            .finish()
    }
}

pub(super) fn document_digest(document: &str) -> u64 {
    Digest::new().text("manifest").text(document).finish()
}

/// How far a file had come when home was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) partition: StorePartition,
    pub(super) sequence: u64,
}

impl Witness {
    pub(super) fn digest(&self) -> u64 {
        Digest::new()
            .text("witness")
            .number(self.partition.0.into())
            .number(self.sequence)
            .finish()
    }
}

/// All that home keeps, each row checked by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    /// As it was written.
    pub(super) document: Option<String>,
    /// In their order.
    pub(super) executions: Vec<Execution>,
    pub(super) witnesses: Vec<Witness>,
}

impl History {
    pub(super) fn read(connection: &Connection, path: &Path) -> Result<Self> {
        let document = rows(
            connection,
            path,
            "SELECT document, digest FROM manifest",
            |row| Ok((row.get::<_, String>(0)?, number(row, 1)?)),
            |document| document_digest(document),
        )?;
        let mut executions = rows(
            connection,
            path,
            "SELECT execution, resume, generation, workers, started, digest \
             FROM executions ORDER BY execution",
            |row| {
                let execution = Execution {
                    id: ExecutionId(number(row, 0)?),
                    resume: Epoch(number(row, 1)?),
                    generation: Generation(number(row, 2)?),
                    workers: row.get(3)?,
                    started: row.get(4)?,
                    committed: None,
                };
                Ok((execution, number(row, 5)?))
            },
            Execution::digest,
        )?;
        let commits = rows(
            connection,
            path,
            "SELECT execution, epoch, digest FROM commits",
            |row| {
                let commit = Commit {
                    execution: ExecutionId(number(row, 0)?),
                    epoch: Epoch(number(row, 1)?),
                };
                Ok((commit, number(row, 2)?))
            },
            Commit::digest,
        )?;
        for commit in commits {
            let execution = executions
                .binary_search_by_key(&commit.execution, |it| it.id)
                .map_err(|_| StoreError::corrupt(path, "it has a commit of no execution"))?;
            executions[execution].committed = Some(commit.epoch);
        }
        let witnesses = rows(
            connection,
            path,
            "SELECT number, sequence, digest FROM witness ORDER BY number",
            |row| {
                let witness = Witness {
                    partition: StorePartition(row.get(0)?),
                    sequence: number(row, 1)?,
                };
                Ok((witness, number(row, 2)?))
            },
            Witness::digest,
        )?;
        Ok(Self {
            document: document.into_iter().next(),
            executions,
            witnesses,
        })
    }

    pub(super) fn manifest(&self, path: &Path) -> Result<Option<Manifest>> {
        self.document
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| StoreError::corrupt(path, format!("its manifest: {error}")))
    }

    /// The last commit. Executions only ever go on from where the one before them got to.
    pub(super) fn committed(&self) -> Option<Commit> {
        self.executions.iter().rev().find_map(|execution| {
            let epoch = execution.committed?;
            Some(Commit {
                execution: execution.id,
                epoch,
            })
        })
    }

    /// The checksums of all rows, as the seal of home has them.
    pub(super) fn checksums(&self) -> impl Iterator<Item = u64> {
        let executions = self.executions.iter().flat_map(|execution| {
            let commit = execution.committed.map(|epoch| Commit {
                execution: execution.id,
                epoch,
            });
            std::iter::once(execution.digest()).chain(commit.map(|commit| commit.digest()))
        });
        self.document
            .iter()
            .map(|document| document_digest(document))
            .chain(executions)
            .chain(self.witnesses.iter().map(Witness::digest))
    }
}

/// All rows of a small table, each compared with its digest.
fn rows<T>(
    connection: &Connection,
    path: &Path,
    query: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<(T, u64)>,
    digest: impl Fn(&T) -> u64,
) -> Result<Vec<T>> {
    let attempt = Attempt::new(path, "read the history of the store");
    let mut statement = connection.prepare(query).map_err(attempt.sqlite())?;
    let rows = statement
        .query_map((), |row| read(row))
        .map_err(attempt.sqlite())?;
    let mut all = Vec::new();
    for row in rows {
        let (row, expected) = row.map_err(attempt.sqlite())?;
        if digest(&row) != expected {
            return Err(StoreError::corrupt(
                path,
                "a row of its history does not match its checksum",
            ));
        }
        all.push(row);
    }
    Ok(all)
}
