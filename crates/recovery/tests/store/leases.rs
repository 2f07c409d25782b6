//! One writer at a time.

use millstream_recovery::id::{Epoch, StorePartition};
use millstream_recovery::store::{Claim, Reader, Store, StoreError, observe};

use crate::support::{begin, kept, new_store, open, pairs, row_count, states, try_write, write};

#[test]
fn a_second_run_is_refused_and_names_the_first() {
    let directory = new_store(2);
    let store = open(&directory);
    let error = Store::open(directory.path(), Claim::IfFree).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert_eq!(error.exit_code(), 73);
    assert_eq!(
        error.to_string(),
        format!(
            "The store in `{}` is in use by another run (process {}). Stop that one first.",
            directory.path().canonicalize().unwrap().display(),
            std::process::id()
        )
    );
    // The refused one has changed nothing.
    assert_eq!(
        Reader::open(directory.path()).unwrap().generation(),
        store.generation()
    );
    store.close().unwrap();
    let store = open(&directory);
    assert_eq!(store.generation().0, 2);
}

#[test]
fn a_run_that_died_holds_nobody_up() {
    let directory = new_store(2);
    drop(open(&directory));
    assert_eq!(open(&directory).generation().0, 2);
}

#[test]
fn a_heartbeat_can_be_seen() {
    let directory = new_store(1);
    assert!(!observe(directory.path()).unwrap().is_held);
    let store = open(&directory);
    let lease = store.lease();
    lease.beat(41).unwrap();
    let seen = observe(directory.path()).unwrap();
    assert!(seen.is_held);
    assert_eq!(seen.heartbeat, 41);
    assert_eq!(seen.process, u64::from(std::process::id()));
    lease.beat(42).unwrap();
    assert_eq!(observe(directory.path()).unwrap().heartbeat, 42);
    // A beat doesn't touch what the file says of home.
    drop((store, lease));
    open(&directory);
}

#[test]
fn a_run_that_was_taken_over_writes_nothing() {
    let directory = new_store(3);
    let mut stalled = open(&directory);
    let execution = begin(&mut stalled, 1);
    write(
        &mut stalled,
        execution,
        vec![kept("a", 1, "one"), kept("b", 1, "one")],
    );
    stalled.commit(execution, Epoch(1)).unwrap();
    write(&mut stalled, execution, vec![kept("a", 2, "orphan")]);
    assert!(!stalled.lease().is_lost().unwrap());

    let mut heir = Store::open(directory.path(), Claim::ByForce).unwrap();
    assert!(stalled.lease().is_lost().unwrap());
    let rows = || -> Vec<_> { (0..3).map(|it| row_count(directory.path(), it)).collect() };
    let before = rows();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let error = try_write(&mut stalled, execution, vec![kept(key, 2, "late")]).unwrap_err();
        assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
        assert_eq!(error.exit_code(), 73);
    }
    for partition in 0..3 {
        let error = stalled
            .collect(StorePartition(partition), Epoch(1))
            .unwrap_err();
        assert!(matches!(error, StoreError::Fenced { .. }));
    }
    let error = stalled.commit(execution, Epoch(2)).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }));
    let error = stalled.close().unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }));
    assert_eq!(rows(), before);

    // The heir goes on as if nobody else were there.
    let execution = begin(&mut heir, 2);
    write(&mut heir, execution, vec![kept("b", 2, "two")]);
    heir.commit(execution, Epoch(2)).unwrap();
    heir.close().unwrap();
    assert_eq!(
        states(directory.path()),
        pairs(&[("a", "one"), ("b", "two")])
    );
}

#[test]
fn of_two_that_take_over_one_writes() {
    let directory = new_store(2);
    let _stalled = open(&directory);
    let mut first = Store::open(directory.path(), Claim::ByForce).unwrap();
    let mut second = Store::open(directory.path(), Claim::ByForce).unwrap();
    begin(&mut second, 1);
    let manifest = crate::support::manifest();
    let error = first
        .begin_execution(millstream_recovery::store::Beginning {
            resume: Epoch(1),
            workers: 1,
            started: 0,
            manifest: &manifest,
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }));
}

#[test]
fn what_was_committed_is_not_written_again() {
    let directory = new_store(1);
    let mut store = open(&directory);
    let home = StorePartition(0);
    let error = store
        .append(home, millstream_recovery::id::ExecutionId(1), &[])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Internal error of the recovery store: no execution has begun. Please report it."
    );
    let execution = begin(&mut store, 3);
    for epoch in [2, u64::MAX] {
        let error = store
            .append(home, execution, &[kept("a", epoch, "")])
            .unwrap_err();
        assert!(matches!(error, StoreError::Misuse(_)));
    }
    store.append(home, execution, &[kept("a", 3, "")]).unwrap();
    store.commit(execution, Epoch(4)).unwrap();
    for epoch in [3, 4] {
        let error = store
            .append(home, execution, &[kept("a", epoch, "")])
            .unwrap_err();
        assert!(matches!(error, StoreError::Misuse(_)));
        assert!(store.commit(execution, Epoch(epoch)).is_err());
    }
    store.append(home, execution, &[kept("a", 5, "")]).unwrap();
}

/// It goes on until it is fenced, so it may commit while the heir is already looking.
#[test]
fn an_heir_knows_the_last_commit_of_the_run_before() {
    for _ in 0..10 {
        let directory = new_store(3);
        let mut slow = open(&directory);
        let execution = begin(&mut slow, 1);
        let working = std::thread::spawn(move || {
            let epochs = (1..).take_while(|epoch| slow.commit(execution, Epoch(*epoch)).is_ok());
            epochs.last()
        });
        std::thread::sleep(std::time::Duration::from_millis(5));
        let heir = loop {
            match Store::open(directory.path(), Claim::ByForce) {
                Err(StoreError::Busy { .. }) => {}
                heir => break heir.unwrap(),
            }
        };
        let last = working.join().unwrap();
        let known = heir.reader().committed();
        assert_eq!(known.map(|commit| commit.epoch.0), last);
    }
}
