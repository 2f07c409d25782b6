//! A disk that is busy or full.

use millstream_recovery::id::Epoch;
use millstream_recovery::store::{Claim, Store, StoreError};
use rusqlite::{Connection, TransactionBehavior};

use crate::support::{begun, kept, new_store, open, pairs, part, states, try_write, write};

#[test]
fn a_locked_file_is_busy_and_can_be_written_later() {
    let (directory, mut store, execution) = begun(1);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let error = try_write(&mut store, execution, vec![kept("a", 1, "a")]).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(error.exit_code(), 74);
    assert!(matches!(
        store.commit(execution, Epoch(1)),
        Err(StoreError::Busy { .. })
    ));
    drop(lock);
    write(&mut store, execution, vec![kept("a", 1, "a")]);
    store.commit(execution, Epoch(1)).unwrap();
    assert_eq!(states(directory.path()), pairs(&[("a", "a")]));
}

#[test]
fn a_store_that_is_locked_when_it_is_opened_can_be_opened_later() {
    let directory = new_store(2);
    let mut other = Connection::open(part(directory.path(), 1)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let error = Store::open(directory.path(), Claim::IfFree).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(lock);
    open(&directory).close().unwrap();
}

#[test]
fn a_reader_holds_nobody_up() {
    let (directory, mut store, execution) = begun(1);
    let other = Connection::open(part(directory.path(), 0)).unwrap();
    let reading = other.unchecked_transaction().unwrap();
    let count = || -> i64 {
        reading
            .query_row("SELECT count(*) FROM snapshots", (), |row| row.get(0))
            .unwrap()
    };
    assert_eq!(count(), 0);
    for epoch in 1..=3 {
        let records = (0..2_000).map(|key| kept(&key.to_string(), epoch, "state"));
        write(&mut store, execution, records.collect());
        store.commit(execution, Epoch(epoch)).unwrap();
    }
    assert_eq!(count(), 0);
    store.close().unwrap();
}
