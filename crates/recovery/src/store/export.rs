//! A store as text, for other tools and other times. The other way is [`import`](super::import).
//!
//! Each line is a JSON object. The first tells of the store:
//!
//! ```json
//! {"millstream_export": 1, "generation": 2,
//!  "manifest": {"flow": "…", "steps": [{"id": "…", "kind": "state", "schema": 1}]},
//!  "executions": [{"id": 1, "resume": 1, "generation": 1, "workers": 2, "started": 0, "committed": 7}]}
//! ```
//!
//! Then comes one line per snapshot, in no order that means anything. `state` is base64;
//! `codec` and `state` are `null` where the key was forgotten:
//!
//! ```json
//! {"step": "…", "key": "…", "execution": 1, "epoch": 7, "codec": "pickle", "state": "gASVAg=="}
//! ```
//!
//! Snapshots that don't count are exported too; which do is told by the executions. The last
//! line says how many snapshots there were, and the sum of the checksums that they have in a
//! store, so that what was cut short or changed isn't imported:
//!
//! ```json
//! {"snapshots": 1, "sum": "89abcdef01234567"}
//! ```

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::{Attempt, Result, StoreError};
use super::history::{Execution, Manifest};
use super::load::Checked;
use super::reader::Reader;
use super::seal::Seal;
use crate::frame::Codec;
use crate::id::{Epoch, ExecutionId, Generation};

/// The version of the format.
pub(super) const EXPORT_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) millstream_export: u32,
    pub(super) generation: u64,
    pub(super) manifest: Option<Manifest>,
    pub(super) executions: Vec<ExecutionLine>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ExecutionLine {
    id: u64,
    resume: u64,
    generation: u64,
    workers: u32,
    started: i64,
    committed: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotLine<'a> {
    pub(super) step: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) execution: u64,
    pub(super) epoch: u64,
    pub(super) codec: Option<Codec>,
    pub(super) state: Option<String>,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    pub(super) snapshots: u64,
    /// In hexadecimal: not all readers of JSON have 64 bits.
    pub(super) sum: String,
}

impl Trailer {
    pub(super) fn new((snapshots, sum): (u64, u64)) -> Self {
        Self {
            snapshots,
            sum: format!("{sum:016x}"),
        }
    }
}

impl From<&Execution> for ExecutionLine {
    fn from(execution: &Execution) -> Self {
        Self {
            id: execution.id.0,
            resume: execution.resume.0,
            generation: execution.generation.0,
            workers: execution.workers,
            started: execution.started,
            committed: execution.committed.map(|epoch| epoch.0),
        }
    }
}

impl From<&ExecutionLine> for Execution {
    fn from(line: &ExecutionLine) -> Self {
        Self {
            id: ExecutionId(line.id),
            resume: Epoch(line.resume),
            generation: Generation(line.generation),
            workers: line.workers,
            started: line.started,
            committed: line.committed.map(Epoch),
        }
    }
}

/// Writes all of a store as text. Gives the number of snapshots.
pub fn export(reader: &Reader, output: &mut dyn Write) -> Result<u64> {
    let header = Header {
        millstream_export: EXPORT_FORMAT,
        generation: reader.generation().0,
        manifest: reader.manifest()?,
        executions: reader.executions().iter().map(Into::into).collect(),
    };
    let attempt = Attempt::new(reader.directory.path(), "write the export of the store");
    write_line(output, &header, attempt)?;
    let mut sum = Seal::new();
    for partition in &reader.partitions {
        partition.visit::<StoreError>(&mut |row: Checked<'_>| {
            sum.add(row.checksum);
            let line = SnapshotLine {
                step: row.identity.step.into(),
                key: row.identity.key.into(),
                execution: row.identity.execution.0,
                epoch: row.identity.epoch.0,
                codec: row.state.map(|(codec, _)| codec),
                state: row.state.map(|(_, payload)| STANDARD.encode(payload)),
            };
            write_line(output, &line, attempt)
        })?;
    }
    let trailer = Trailer::new((sum.records, sum.total));
    write_line(output, &trailer, attempt)?;
    output.flush().map_err(attempt.io())?;
    Ok(sum.records)
}

fn write_line(output: &mut dyn Write, line: &impl Serialize, attempt: Attempt<'_>) -> Result<()> {
    serde_json::to_writer(&mut *output, line)
        .map_err(io::Error::from)
        .and_then(|()| output.write_all(b"\n"))
        .map_err(attempt.io())
}
