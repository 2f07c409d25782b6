//! Removing what no resume needs.

use millstream_recovery::id::Epoch;
use millstream_recovery::store::Swept;

use crate::support::{
    begun, collect_all, contents, forgotten, kept, open, pairs, path_of, row_count, states, write,
};

#[test]
fn what_is_superseded_goes_and_nothing_else() {
    let (directory, mut store, execution) = begun(1);
    for epoch in 1..=5 {
        write(
            &mut store,
            execution,
            vec![kept("a", epoch, &format!("a{epoch}"))],
        );
    }
    write(&mut store, execution, vec![kept("b", 2, "b2")]);
    assert_eq!(collect_all(&mut store, 5), (0, 0), "nothing is committed");
    store.commit(execution, Epoch(3)).unwrap();
    // The rows of epochs 4 and 5 are not committed, so that of 3 is needed.
    collect_all(&mut store, 5);
    assert_eq!(row_count(directory.path(), 0), 4);
    assert_eq!(states(directory.path()), pairs(&[("a", "a3"), ("b", "b2")]));
    store.commit(execution, Epoch(5)).unwrap();
    // Asked to keep more, it does.
    collect_all(&mut store, 4);
    assert_eq!(row_count(directory.path(), 0), 3);
    collect_all(&mut store, 5);
    assert_eq!(row_count(directory.path(), 0), 2);
    assert_eq!(states(directory.path()), pairs(&[("a", "a5"), ("b", "b2")]));
}

#[test]
fn a_tombstone_goes_once_it_hides_nothing() {
    let (directory, mut store, execution) = begun(1);
    for key in 0..500 {
        write(
            &mut store,
            execution,
            vec![kept(&key.to_string(), 1, "once")],
        );
    }
    store.commit(execution, Epoch(1)).unwrap();
    for key in 0..500 {
        write(&mut store, execution, vec![forgotten(&key.to_string(), 2)]);
    }
    collect_all(&mut store, 2);
    assert_eq!(
        row_count(directory.path(), 0),
        1_000,
        "the forgetting is not committed"
    );
    store.commit(execution, Epoch(2)).unwrap();
    // One comes back before the garbage is collected.
    write(&mut store, execution, vec![kept("7", 3, "again")]);
    collect_all(&mut store, 2);
    assert_eq!(row_count(directory.path(), 0), 1);
    store.commit(execution, Epoch(3)).unwrap();
    collect_all(&mut store, 3);
    assert_eq!(states(directory.path()), pairs(&[("7", "again")]));
}

#[test]
fn collecting_costs_what_was_written() {
    let (_directory, mut store, execution) = begun(2);
    let records = (0..5_000).map(|key| kept(&key.to_string(), 1, "state"));
    write(&mut store, execution, records.collect());
    store.commit(execution, Epoch(1)).unwrap();
    assert_eq!(collect_all(&mut store, 1), (5_000, 0));
    for epoch in 2..10 {
        write(&mut store, execution, vec![kept("7", epoch, "state")]);
        store.commit(execution, Epoch(epoch)).unwrap();
        assert_eq!(collect_all(&mut store, epoch), (1, 1));
    }
    assert_eq!(collect_all(&mut store, 10), (0, 0));
}

#[test]
fn the_store_is_no_larger_than_its_state_asks_for() {
    let (directory, mut store, execution) = begun(1);
    for epoch in 1..=400 {
        let records = (0..20).map(|key| kept(&(key + epoch % 7).to_string(), epoch, "some state"));
        write(&mut store, execution, records.collect());
        store.commit(execution, Epoch(epoch)).unwrap();
        collect_all(&mut store, epoch);
    }
    assert_eq!(row_count(directory.path(), 0), 26);
    store.close().unwrap();
    let size = std::fs::metadata(crate::support::part(directory.path(), 0))
        .unwrap()
        .len();
    assert!(size < 100_000, "{size}");
}

#[test]
fn a_sweep_leaves_what_a_resume_loads() {
    let (directory, mut store, execution) = begun(2);
    let mut records = Vec::new();
    for key in 0..40 {
        records.push(kept(&key.to_string(), 1, "old"));
        records.push(match key % 4 {
            0 => forgotten(&key.to_string(), 2),
            _ => kept(&key.to_string(), 2, "new"),
        });
        // Beyond the commit.
        records.push(kept(&key.to_string(), 3, "orphan"));
    }
    write(&mut store, execution, records);
    store.commit(execution, Epoch(2)).unwrap();
    drop(store);
    let before = contents(directory.path());
    assert_eq!(before.len(), 30);

    let mut store = open(&directory);
    let path = path_of(store.reader().executions());
    let swept = store.sweep(&path).unwrap();
    assert_eq!(
        swept,
        Swept {
            orphans: 40,
            superseded: 50
        }
    );
    assert_eq!(store.sweep(&path).unwrap(), Swept::default());
    let rows: i64 = (0..2).map(|it| row_count(directory.path(), it)).sum();
    assert_eq!(rows, 30);
    store.close().unwrap();
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_sweep_goes_on_through_more_than_one_transaction_holds() {
    let (directory, mut store, execution) = begun(1);
    for epoch in 1..=3 {
        let records = (0..9_000).map(|key| kept(&key.to_string(), epoch, "state"));
        write(&mut store, execution, records.collect());
    }
    store.commit(execution, Epoch(2)).unwrap();
    let path = path_of(store.reader().executions());
    let swept = store.sweep(&path).unwrap();
    assert_eq!((swept.orphans, swept.superseded), (9_000, 9_000));
    assert_eq!(contents(directory.path()).len(), 9_000);
}
