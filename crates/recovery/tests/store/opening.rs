//! What is refused when a store is opened, and in which words.

use std::fs;
use std::os::unix::fs::symlink;

use millstream_recovery::id::{Epoch, StorePartition};
use millstream_recovery::store::{Claim, Reader, Store, StoreError};
use tempfile::TempDir;

use crate::support::{begin, begun, copy, kept, meddle, new_store, open, part, write};

fn refusal(directory: &TempDir) -> StoreError {
    let error = Reader::open(directory.path()).unwrap_err();
    // Whoever wants to write is told the same, and nothing is changed.
    let again = Store::open(directory.path(), Claim::IfFree).unwrap_err();
    assert_eq!(error.to_string(), again.to_string());
    error
}

#[test]
fn a_directory_that_is_not_there() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("nowhere");
    let error = Store::open(&path, Claim::IfFree).unwrap_err();
    assert!(matches!(error, StoreError::DirectoryMissing { .. }));
    assert_eq!(error.exit_code(), 76);
    assert_eq!(
        error.to_string(),
        format!(
            "The recovery directory `{}` does not exist. Make a store there first, or correct \
             the path.",
            path.display()
        )
    );
    assert!(!path.exists());
}

#[test]
fn a_directory_without_a_store() {
    let directory = TempDir::new().unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::NoPartitions { .. }));
    assert_eq!(error.exit_code(), 76);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn missing_partitions_are_listed() {
    let directory = new_store(4);
    fs::remove_file(part(directory.path(), 1)).unwrap();
    fs::remove_file(part(directory.path(), 3)).unwrap();
    let error = refusal(&directory);
    let StoreError::MissingPartitions { missing, count, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(missing, &[StorePartition(1), StorePartition(3)]);
    assert_eq!(*count, 4);
    assert!(
        error
            .to_string()
            .contains("lacks 2 of its 4 partitions: part-1.sqlite3, part-3.sqlite3.")
    );
}

#[test]
fn two_copies_of_a_partition() {
    let directory = new_store(2);
    fs::copy(
        part(directory.path(), 1),
        directory.path().join("part-1 (copy).sqlite3"),
    )
    .unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
    assert!(error.to_string().contains("are the same partition"));
}

#[test]
fn files_of_two_stores() {
    let (directory, other) = (new_store(2), new_store(2));
    fs::copy(part(other.path(), 1), part(directory.path(), 1)).unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::Inconsistent { .. }));
    assert!(error.to_string().contains("are of different stores"));
}

#[test]
fn files_whose_names_were_exchanged() {
    let directory = new_store(2);
    let aside = directory.path().join("aside");
    fs::rename(part(directory.path(), 0), &aside).unwrap();
    fs::rename(part(directory.path(), 1), part(directory.path(), 0)).unwrap();
    fs::rename(&aside, part(directory.path(), 1)).unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::Inconsistent { .. }));
    assert!(error.to_string().contains("its name must be"));
}

#[test]
fn the_lock_of_another_store() {
    let (directory, other) = (new_store(1), new_store(1));
    fs::copy(other.path().join("lock"), directory.path().join("lock")).unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::Corrupt { .. }));
}

#[test]
fn files_that_are_no_partitions() {
    let whole = new_store(2);
    let file = fs::read(part(whole.path(), 1)).unwrap();
    let pages = [0, 1, 100, 512, 4_095, 4_096, 8_192];
    let cut = pages.map(|length| file[..length].to_vec());
    let garbage = [vec![0; 8_192], b"not a database at all".repeat(500)];
    for content in cut.into_iter().chain(garbage) {
        let directory = copy(whole.path());
        let path = part(directory.path(), 1);
        fs::write(&path, &content).unwrap();
        let error = refusal(&directory);
        let StoreError::Corrupt { path: told, .. } = &error else {
            panic!("{} bytes: {error:?}", content.len());
        };
        assert_eq!(told, &path.canonicalize().unwrap());
        assert_eq!(error.exit_code(), 76);
        assert_eq!(fs::read(&path).unwrap(), content, "it is left as it is");
    }
}

#[test]
fn a_format_of_the_future() {
    let directory = new_store(1);
    meddle(directory.path(), 0, "PRAGMA user_version = 2");
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::FormatTooNew { found: 2, .. }));
    assert_eq!(error.exit_code(), 72);
}

#[test]
fn a_schema_that_does_more_than_ours() {
    let additions = [
        "CREATE TRIGGER more AFTER INSERT ON snapshots BEGIN DELETE FROM commits; END",
        "CREATE VIEW more AS SELECT * FROM snapshots",
        "CREATE TABLE more (a)",
        "CREATE INDEX more ON snapshots (epoch)",
        "DROP TABLE steps; CREATE VIEW steps AS SELECT 1 AS step, 'a' AS name",
        "ALTER TABLE snapshots ADD COLUMN more TEXT",
    ];
    for addition in additions {
        let directory = new_store(1);
        meddle(directory.path(), 0, addition);
        let error = refusal(&directory);
        assert!(
            matches!(&error, StoreError::Corrupt { what, .. } if what.contains("its tables")),
            "{error}"
        );
    }
}

#[test]
fn a_link_in_the_place_of_a_file() {
    let directory = new_store(1);
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(part(directory.path(), 0), &elsewhere).unwrap();
    symlink(&elsewhere, part(directory.path(), 0)).unwrap();
    assert_eq!(refusal(&directory).exit_code(), 74);
}

#[test]
fn a_link_to_the_directory_is_followed() {
    let directory = new_store(1);
    let parent = TempDir::new().unwrap();
    let link = parent.path().join("link");
    symlink(directory.path(), &link).unwrap();
    Store::open(&link, Claim::IfFree).unwrap().close().unwrap();
}

#[test]
fn an_older_copy_of_a_partition() {
    let (directory, mut store, execution) = begun(3);
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let write_all = |store: &mut Store, epoch| {
        let records = keys.map(|key| kept(key, epoch, "state")).to_vec();
        write(store, execution, records);
        store.commit(execution, Epoch(epoch)).unwrap();
    };
    write_all(&mut store, 1);
    let older = copy(directory.path());
    write_all(&mut store, 2);
    write_all(&mut store, 3);
    store.close().unwrap();
    for partition in 0..3 {
        let mixed = copy(directory.path());
        for suffix in ["", "-wal"] {
            let name = format!("part-{partition}.sqlite3{suffix}");
            fs::copy(older.path().join(&name), mixed.path().join(&name)).unwrap();
        }
        let error = refusal(&mixed);
        assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
        assert!(error.to_string().contains("older"), "{error}");
        assert_eq!(error.exit_code(), 76);
        // The other files know of home's last commit by themselves.
        fs::remove_file(mixed.path().join("lock")).unwrap();
        assert_eq!(refusal(&mixed).exit_code(), 76);
    }
}

#[test]
fn an_older_copy_of_home_that_was_left_in_order() {
    let (directory, mut store, execution) = begun(2);
    write(&mut store, execution, vec![kept("a", 1, "state")]);
    store.commit(execution, Epoch(1)).unwrap();
    store.close().unwrap();
    let older = copy(directory.path());
    let mut store = open(&directory);
    let execution = begin(&mut store, 2);
    store.commit(execution, Epoch(2)).unwrap();
    store.close().unwrap();
    fs::copy(part(older.path(), 0), part(directory.path(), 0)).unwrap();
    let with_lock = refusal(&directory);
    assert!(with_lock.to_string().contains("the file `lock` says"));
    // The other file has heard of the last commit.
    fs::remove_file(directory.path().join("lock")).unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("is an older copy than `part-1.sqlite3`"),
        "{error}"
    );
}

#[test]
fn a_lost_log() {
    for partitions in [1, 3] {
        let directory = new_store(partitions);
        let mut store = open(&directory);
        let execution = begin(&mut store, 1);
        for epoch in 1..=3 {
            write(&mut store, execution, vec![kept("a", epoch, "state")]);
            store.commit(execution, Epoch(epoch)).unwrap();
        }
        let crashed = copy(directory.path());
        // As many do: only what looks like a database.
        let copied = TempDir::new().unwrap();
        for partition in 0..partitions {
            fs::copy(
                part(crashed.path(), partition),
                part(copied.path(), partition),
            )
            .unwrap();
        }
        let error = refusal(&copied);
        assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
        // With the lock, but without the logs.
        for partition in 0..partitions {
            fs::remove_file(crashed.path().join(format!("part-{partition}.sqlite3-wal"))).unwrap();
        }
        let error = refusal(&crashed);
        assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
        assert!(error.to_string().contains("write-ahead log"), "{error}");
        // Closed, the same copy has everything.
        store.close().unwrap();
        let copied = TempDir::new().unwrap();
        for partition in 0..partitions {
            fs::copy(
                part(directory.path(), partition),
                part(copied.path(), partition),
            )
            .unwrap();
        }
        Reader::open(copied.path()).unwrap();
    }
}
