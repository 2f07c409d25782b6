//! Making a store.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use millstream_recovery::store::{Claim, Reader, Store, StoreError, init};
use tempfile::TempDir;

use crate::support::{copy, new_store, part};

#[test]
fn a_new_store_is_whole_and_empty() {
    let directory = new_store(3);
    let reader = Reader::open(directory.path()).unwrap();
    assert_eq!(reader.partition_count(), 3);
    assert_eq!(reader.executions(), []);
    assert_eq!(reader.manifest().unwrap(), None);
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["lock", "part-0.sqlite3", "part-1.sqlite3", "part-2.sqlite3"]
    );
}

#[test]
fn only_the_user_may_read_it() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("deep/store");
    init(&directory, 2).unwrap();
    let store = Store::open(&directory, Claim::IfFree).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.clone()), 0o700);
    let mut seen = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(entry.unwrap().path()), 0o600);
        seen += 1;
    }
    assert!(seen >= 7, "files, logs, indexes of the logs, and the lock");
    drop(store);
}

#[test]
fn a_store_is_not_made_over_another() {
    let directory = new_store(2);
    let before = fs::read(part(directory.path(), 0)).unwrap();
    let error = init(directory.path(), 2).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyInitialised { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "The directory `{}` already holds a recovery store. Use it as it is, or remove it \
             first if its state is no longer wanted.",
            directory.path().display()
        )
    );
    assert_eq!(error.exit_code(), 64);
    assert_eq!(fs::read(part(directory.path(), 0)).unwrap(), before);
    Reader::open(directory.path()).unwrap();
}

#[test]
fn a_store_has_partitions() {
    let directory = TempDir::new().unwrap();
    let error = init(directory.path(), 0).unwrap_err();
    assert!(matches!(error, StoreError::PartitionCount { .. }));
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::NoPartitions { .. }));
}

#[test]
fn a_making_that_was_cut_short_is_told_and_can_be_made_again() {
    let directory = new_store(3);
    fs::write(directory.path().join("unfinished"), "").unwrap();
    fs::remove_file(part(directory.path(), 2)).unwrap();
    fs::write(part(directory.path(), 1), "").unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::HalfMade { .. }));
    assert_eq!(error.exit_code(), 76);
    let error = Store::open(directory.path(), Claim::IfFree).unwrap_err();
    assert!(matches!(error, StoreError::HalfMade { .. }));
    init(directory.path(), 2).unwrap();
    let reader = Reader::open(directory.path()).unwrap();
    assert_eq!(reader.partition_count(), 2);
}

#[test]
fn a_new_store_is_whole_without_its_logs_and_lock() {
    let directory = copy(new_store(2).path());
    fs::remove_file(directory.path().join("lock")).unwrap();
    Store::open(directory.path(), Claim::IfFree).unwrap();
}
