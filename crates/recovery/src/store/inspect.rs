//! What is in a store, for people who look after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::error::{Result, StoreError};
use super::history::{Execution, Manifest};
use super::layout::FORMAT;
use super::path::CommittedPath;
use super::reader::Reader;
use crate::id::{Generation, StepId, StorePartition, WorkerIndex};

/// What is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its random name.
    pub store: String,
    /// The version of its form.
    pub format: i64,
    /// How often it was taken over.
    pub generation: Generation,
    /// Whose it is.
    pub manifest: Option<Manifest>,
    /// All runs, in their order.
    pub executions: Vec<Execution>,
    /// What a resume would load, in the order of the step names.
    pub steps: Vec<StepUsage>,
    /// The files, in their order.
    pub files: Vec<FileUsage>,
}

/// What is kept for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUsage {
    /// The step.
    pub step: StepId,
    /// How many keys have a state.
    pub keys: u64,
    /// The size of their states.
    pub bytes: u64,
}

/// What a file takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUsage {
    /// Its number.
    pub partition: StorePartition,
    /// Where it is.
    pub path: PathBuf,
    /// Its size with its log.
    pub bytes: u64,
    /// How many snapshots it has, those that don't count too.
    pub rows: u64,
    /// How many transactions there have been.
    pub sequence: u64,
}

/// Looks at all of a store, and checks it on the way.
pub fn inspect(reader: &Reader, path: &CommittedPath) -> Result<Inspection> {
    let mut steps: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut files = Vec::new();
    for partition in &reader.partitions {
        let load = partition.load::<StoreError>(path, &|_, _| WorkerIndex(0), &mut |loaded| {
            // Rows come step by step, so the name is seldom new.
            if !steps.contains_key(loaded.step) {
                steps.insert(loaded.step.to_owned(), (0, 0));
            }
            if let Some((keys, bytes)) = steps.get_mut(loaded.step) {
                *keys += 1;
                *bytes += loaded.payload.len() as u64;
            }
            Ok(())
        })?;
        let mut log = partition.path.clone().into_os_string();
        log.push("-wal");
        let size = |path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        files.push(FileUsage {
            partition: partition.identity.number,
            path: partition.path.clone(),
            bytes: size(partition.path.clone()) + size(log.into()),
            rows: load.rows,
            sequence: partition.seal()?.sequence,
        });
    }
    let steps = steps.into_iter().map(|(step, (keys, bytes))| StepUsage {
        step: StepId(step),
        keys,
        bytes,
    });
    Ok(Inspection {
        store: reader.store_id().to_owned(),
        format: FORMAT,
        generation: reader.generation(),
        manifest: reader.manifest()?,
        executions: reader.executions().to_vec(),
        steps: steps.collect(),
        files,
    })
}
