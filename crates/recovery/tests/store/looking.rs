//! Inspecting and verifying.

use std::fs;

use millstream_recovery::id::{Epoch, Generation, StepId, StorePartition};
use millstream_recovery::store::{Reader, StepUsage, StoreError, inspect, partition_of, verify};
use tempfile::TempDir;

use crate::support::{
    begin, begun, copy, forgotten, kept, manifest, meddle, open, part, path_of, write,
};

fn used(partitions: u32) -> TempDir {
    let (directory, mut store, execution) = begun(partitions);
    let mut other = kept("x", 1, "12345");
    other.step = StepId("flow.sum".to_owned());
    write(
        &mut store,
        execution,
        vec![kept("a", 1, "123"), kept("b", 1, "1234"), other],
    );
    store.commit(execution, Epoch(1)).unwrap();
    write(
        &mut store,
        execution,
        vec![kept("a", 2, "1"), forgotten("b", 2)],
    );
    store.commit(execution, Epoch(2)).unwrap();
    write(&mut store, execution, vec![kept("c", 3, "orphan")]);
    drop(store);
    directory
}

#[test]
fn an_inspection_tells_what_a_resume_would_load() {
    let directory = used(2);
    let reader = Reader::open(directory.path()).unwrap();
    let found = inspect(&reader, &path_of(reader.executions())).unwrap();
    assert_eq!(found.manifest, Some(manifest()));
    assert_eq!(found.generation, Generation(1));
    assert_eq!(found.executions, reader.executions());
    assert_eq!(found.executions[0].committed, Some(Epoch(2)));
    let usage = |step: &str, keys, bytes| StepUsage {
        step: StepId(step.to_owned()),
        keys,
        bytes,
    };
    assert_eq!(
        found.steps,
        [usage("flow.count", 1, 1), usage("flow.sum", 1, 5)]
    );
    assert_eq!(found.files.len(), 2);
    assert_eq!(found.files.iter().map(|file| file.rows).sum::<u64>(), 6);
    assert!(
        found
            .files
            .iter()
            .all(|file| file.bytes > 4_096 && file.sequence > 0)
    );
    assert_eq!(found.files[1].partition, StorePartition(1));
}

#[test]
fn a_store_can_be_looked_at_while_it_is_used() {
    let directory = used(3);
    let mut store = open(&directory);
    let execution = begin(&mut store, 3);
    for epoch in 3..20 {
        write(&mut store, execution, vec![kept("a", epoch, "state")]);
        let reader = Reader::open(directory.path()).unwrap();
        inspect(&reader, &path_of(reader.executions())).unwrap();
        store.commit(execution, Epoch(epoch)).unwrap();
        assert!(verify(directory.path()).is_sound());
    }
    store.close().unwrap();
}

#[test]
fn a_sound_store_is_verified() {
    let directory = used(2);
    let found = verify(directory.path());
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!(found.rows, 6);
}

#[test]
fn all_that_is_wrong_is_told() {
    let directory = used(3);
    for partition in 0..3 {
        meddle(
            directory.path(),
            partition,
            "UPDATE seal SET total = total + 1",
        );
    }
    fs::remove_file(part(directory.path(), 1)).unwrap();
    let found = verify(directory.path());
    let mut told: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("part-0.sqlite3") && told[1].contains("part-2.sqlite3"));

    let directory = used(3);
    meddle(
        directory.path(),
        2,
        "DELETE FROM snapshots; UPDATE steps SET name = 'other'",
    );
    fs::remove_file(part(directory.path(), 1)).unwrap();
    let found = verify(directory.path());
    assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    assert!(matches!(
        found.problems[0],
        StoreError::MissingPartitions { .. }
    ));
    assert!(matches!(found.problems[1], StoreError::Corrupt { .. }));
}

#[test]
fn an_older_copy_is_told() {
    let directory = used(2);
    let older = copy(directory.path());
    let StorePartition(number) = partition_of("flow.count", "a", 2);
    let mut store = open(&directory);
    let execution = begin(&mut store, 3);
    write(&mut store, execution, vec![kept("a", 3, "newer")]);
    store.commit(execution, Epoch(3)).unwrap();
    store.close().unwrap();
    fs::copy(part(older.path(), number), part(directory.path(), number)).unwrap();
    let found = verify(directory.path());
    assert!(
        matches!(found.problems[..], [StoreError::Inconsistent { .. }]),
        "{:?}",
        found.problems
    );
}
