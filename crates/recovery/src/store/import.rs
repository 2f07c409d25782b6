//! A store from text, as [`export`](mod@super::export) writes it.

use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{Attempt, Result, StoreError};
use super::export::{EXPORT_FORMAT, Header, SnapshotLine, Trailer};
use super::filling::Filling;
use super::history::{Execution, History};
use crate::frame::{Identity, decode, encode};
use crate::id::{Epoch, ExecutionId, Generation};

/// Makes a new store from an export, in any number of files. Gives the number of snapshots.
pub fn import(input: &mut dyn BufRead, path: &Path, partitions: u32) -> Result<u64> {
    let mut lines = Lines {
        input,
        path,
        number: 0,
        text: String::new(),
    };
    let header: Header = lines.next()?.ok_or_else(|| lines.refuse("it is empty"))?;
    if header.millstream_export != EXPORT_FORMAT {
        return Err(lines.refuse(format!(
            "it is in format {}, and this millstream reads {EXPORT_FORMAT}",
            header.millstream_export
        )));
    }
    let document = header.manifest.as_ref().map(serde_json::to_string);
    let history = History {
        document: document
            .transpose()
            .map_err(|error| lines.refuse(error.to_string()))?,
        executions: header.executions.iter().map(Execution::from).collect(),
        witnesses: Vec::new(),
    };
    let mut filling = Filling::begin(path, partitions, Generation(header.generation))?;
    loop {
        match lines.next()? {
            Some(Line::Snapshot(line)) => put(&mut filling, &line, &lines)?,
            Some(Line::Trailer(trailer)) => {
                if trailer != Trailer::new(filling.sum()) {
                    return Err(
                        lines.refuse("the lines before it are not those that were exported")
                    );
                }
                break;
            }
            None => return Err(lines.refuse("the export is cut short")),
        }
    }
    if lines.next::<serde_json::Value>()?.is_some() {
        return Err(lines.refuse("it comes after the end"));
    }
    let (rows, _) = filling.sum();
    filling.finish(&history)?;
    Ok(rows)
}

fn put(filling: &mut Filling, line: &SnapshotLine<'_>, lines: &Lines<'_>) -> Result<()> {
    let identity = Identity {
        step: &line.step,
        key: &line.key,
        execution: ExecutionId(line.execution),
        epoch: Epoch(line.epoch),
    };
    let (Some(codec), Some(state)) = (line.codec, &line.state) else {
        if line.codec.is_some() || line.state.is_some() {
            return Err(lines.refuse("it has only one of `codec` and `state`"));
        }
        return filling.put(&identity, identity.tombstone(), None);
    };
    let payload = STANDARD
        .decode(state)
        .map_err(|_| lines.refuse("its `state` is not base64"))?;
    let frame =
        encode(&identity, codec, &payload).map_err(|error| lines.refuse(error.to_string()))?;
    let checksum = decode(&identity, &frame)
        .map_err(|error| lines.refuse(error.to_string()))?
        .checksum;
    filling.put(&identity, checksum, Some(frame))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Snapshot(SnapshotLine<'static>),
    Trailer(Trailer),
}

/// The lines of the input.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    /// Of the store, which errors are told with.
    path: &'a Path,
    /// That of the last line, from 1.
    number: usize,
    text: String,
}

impl Lines<'_> {
    fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>> {
        self.text.clear();
        self.number += 1;
        let length = self
            .input
            .read_line(&mut self.text)
            .map_err(Attempt::new(self.path, "read the export").io())?;
        if length == 0 {
            return Ok(None);
        }
        serde_json::from_str(&self.text)
            .map(Some)
            .map_err(|error| self.refuse(error.to_string()))
    }

    fn refuse(&self, why: impl Into<String>) -> StoreError {
        StoreError::Import {
            line: self.number,
            why: why.into(),
        }
    }
}
