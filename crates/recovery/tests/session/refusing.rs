//! Stores that a dataflow may not begin on, which stay as they are.

use millstream_recovery::id::FlowId;
use millstream_recovery::session::{ErrorKind, Opening, SessionError, open};
use millstream_recovery::store::Reader;
use tempfile::TempDir;

use crate::support::{COUNT, Run, SOURCE, flow, new_store, opening, part};

fn used_store() -> TempDir {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1), (COUNT, "b", 1), (SOURCE, "p", 2)]);
    run.finish();
    directory
}

/// Refuses, and has written nothing.
fn refusal(opening: Opening) -> SessionError {
    let look = || {
        let reader = Reader::open(&opening.directory).unwrap();
        (reader.generation(), reader.executions().to_vec())
    };
    let before = look();
    let error = open(opening.clone()).unwrap_err();
    assert_eq!(look(), before);
    error
}

#[test]
fn gone_step_is_named_with_its_keys() {
    let directory = used_store();
    let error = refusal(Opening {
        flow: flow(&[SOURCE]),
        ..opening(directory.path())
    });
    assert_eq!(error.exit_code(), 78);
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(
        error.to_string().contains("`flow.count` (2 keys)"),
        "{error}"
    );
}

#[test]
fn another_dataflow_is_refused() {
    let directory = used_store();
    let mut another = opening(directory.path());
    another.flow.id = FlowId("another".to_owned());
    let error = refusal(another);
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("`another`"), "{error}");
}

#[test]
fn incomplete_stores_are_told_apart() {
    let empty = TempDir::new().unwrap();
    for directory in [empty.path().to_owned(), empty.path().join("none")] {
        let error = open(opening(&directory)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoPartitions);
        assert_eq!(error.exit_code(), 76);
    }

    let directory = used_store();
    let old = TempDir::new().unwrap();
    let copy = old.path().join("part-1.sqlite3");
    std::fs::copy(part(directory.path(), 1), &copy).unwrap();
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 2), (COUNT, "b", 2), (COUNT, "c", 2)]);
    run.finish();

    std::fs::remove_file(part(directory.path(), 1)).unwrap();
    let error = open(opening(directory.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingPartitions);
    assert_eq!(error.exit_code(), 76);

    std::fs::copy(&copy, part(directory.path(), 1)).unwrap();
    let error = open(opening(directory.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InconsistentPartitions);
    assert_eq!(error.exit_code(), 76);
}

#[test]
fn damaged_row_is_refused_and_not_swept_away() {
    let directory = used_store();
    // As if it were of an execution that never committed: it looks like garbage.
    rusqlite::Connection::open(part(directory.path(), 0))
        .unwrap()
        .execute_batch("UPDATE snapshots SET execution = 9")
        .unwrap();
    rusqlite::Connection::open(part(directory.path(), 1))
        .unwrap()
        .execute_batch("UPDATE snapshots SET execution = 9")
        .unwrap();
    let error = refusal(opening(directory.path()));
    assert_eq!(error.kind(), ErrorKind::InconsistentPartitions);
    assert_eq!(error.exit_code(), 76);
}
