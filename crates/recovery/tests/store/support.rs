//! Stores to test with, and what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use millstream_recovery::frame::Codec;
use millstream_recovery::id::{Epoch, ExecutionId, StateKey, StepId, StorePartition, WorkerIndex};
use millstream_recovery::store::{
    Beginning, Claim, CommittedPath, Execution, Manifest, ManifestStep, Reader, Record, Result,
    Segment, State, StepKind, Store, StoreError, init,
};
use tempfile::TempDir;

/// A directory with a new store.
pub(crate) fn new_store(partitions: u32) -> TempDir {
    let directory = TempDir::new().unwrap();
    init(directory.path(), partitions).unwrap();
    directory
}

pub(crate) fn open(directory: &TempDir) -> Store {
    Store::open(directory.path(), Claim::IfFree).unwrap()
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        flow: "flow".to_owned(),
        steps: vec![ManifestStep {
            id: "flow.count".to_owned(),
            kind: StepKind::State,
            form: "a count".to_owned(),
            schema: 1,
        }],
        found: Vec::new(),
    }
}

pub(crate) fn begin(store: &mut Store, resume: u64) -> ExecutionId {
    let manifest = manifest();
    store
        .begin_execution(Beginning {
            resume: Epoch(resume),
            workers: 1,
            started: 0,
            manifest: &manifest,
        })
        .unwrap()
}

/// A new store, and an execution that has begun on it.
pub(crate) fn begun(partitions: u32) -> (TempDir, Store, ExecutionId) {
    let directory = new_store(partitions);
    let mut store = open(&directory);
    let execution = begin(&mut store, 1);
    (directory, store, execution)
}

pub(crate) fn kept(key: &str, epoch: u64, state: &str) -> Record {
    Record {
        step: StepId("flow.count".to_owned()),
        key: StateKey(key.to_owned()),
        epoch: Epoch(epoch),
        state: Some(State {
            codec: Codec::Pickle,
            payload: state.as_bytes().to_vec(),
        }),
    }
}

pub(crate) fn forgotten(key: &str, epoch: u64) -> Record {
    Record {
        state: None,
        ..kept(key, epoch, "")
    }
}

/// Writes records to the partitions they are of.
pub(crate) fn try_write(
    store: &mut Store,
    execution: ExecutionId,
    records: Vec<Record>,
) -> Result<()> {
    let mut dealt: BTreeMap<StorePartition, Vec<Record>> = BTreeMap::new();
    for record in records {
        let partition = store.partition_of(&record.step.0, &record.key.0);
        dealt.entry(partition).or_default().push(record);
    }
    for (partition, records) in dealt {
        store.append(partition, execution, &records)?;
    }
    Ok(())
}

pub(crate) fn write(store: &mut Store, execution: ExecutionId, records: Vec<Record>) {
    try_write(store, execution, records).unwrap();
}

pub(crate) fn collect_all(store: &mut Store, bound: u64) -> (usize, usize) {
    let mut sum = (0, 0);
    for partition in 0..store.reader().partition_count() {
        let collected = store
            .collect(StorePartition(partition), Epoch(bound))
            .unwrap();
        sum.0 += collected.examined;
        sum.1 += collected.removed;
    }
    sum
}

/// The committed path, by its definition: an execution counts up to its last commit, or up to
/// where a later one resumed.
pub(crate) fn path_of(executions: &[Execution]) -> CommittedPath {
    let mut end = u64::MAX;
    let mut segments = Vec::new();
    for execution in executions.iter().rev() {
        if let Some(committed) = execution.committed {
            segments.push(Segment {
                execution: execution.id,
                first: execution.resume,
                last: Epoch(committed.0.min(end - 1)),
            });
        }
        end = end.min(execution.resume.0);
    }
    segments.into_iter().collect()
}

pub(crate) type Contents = BTreeMap<(String, String), (u64, u64, Vec<u8>)>;

/// All that a resume would load.
pub(crate) fn try_contents(reader: &Reader) -> Result<Contents> {
    let path = path_of(reader.executions());
    let mut contents = Contents::new();
    reader.load(
        &path,
        |_, _| WorkerIndex(0),
        |loaded| {
            let key = (loaded.step.to_owned(), loaded.key.to_owned());
            let value = (loaded.execution.0, loaded.epoch.0, loaded.payload.to_vec());
            assert_eq!(contents.insert(key, value), None, "a key was loaded twice");
            Ok::<_, StoreError>(())
        },
    )?;
    Ok(contents)
}

pub(crate) fn contents(directory: &Path) -> Contents {
    try_contents(&Reader::open(directory).unwrap()).unwrap()
}

/// The states by key.
pub(crate) fn states(directory: &Path) -> Vec<(String, String)> {
    contents(directory)
        .into_iter()
        .map(|((_, key), (_, _, state))| (key, String::from_utf8(state).unwrap()))
        .collect()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, state)| ((*key).to_owned(), (*state).to_owned()))
        .collect()
}

/// The files as they are now, as a crash or a copy would leave them.
///
/// By another process: closing a file here would drop the locks that SQLite has on it.
pub(crate) fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let status = Command::new("cp")
        .arg("-a")
        .arg(directory.join("."))
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(status.success());
    copy
}

pub(crate) fn part(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("part-{number}.sqlite3"))
}

/// The rows in a file, all of them.
pub(crate) fn row_count(directory: &Path, partition: u32) -> i64 {
    rusqlite::Connection::open(part(directory, partition))
        .unwrap()
        .query_row("SELECT count(*) FROM snapshots", (), |row| row.get(0))
        .unwrap()
}

/// Changes a file behind the back of the store.
pub(crate) fn meddle(directory: &Path, partition: u32, sql: &str) {
    rusqlite::Connection::open(part(directory, partition))
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}
