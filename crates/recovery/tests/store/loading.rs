//! What a resume loads.

use std::collections::BTreeMap;

use millstream_recovery::frame::Codec;
use millstream_recovery::id::{Epoch, ExecutionId, StateKey, StepId, WorkerIndex};
use millstream_recovery::store::{Reader, Record, State, StoreError, partition_of};

use crate::support::{
    begin, begun, contents, copy, forgotten, kept, manifest, new_store, open, pairs, path_of,
    states, write,
};

#[test]
fn the_newest_committed_state_of_each_key_is_loaded() {
    let (directory, mut store, execution) = begun(3);
    write(
        &mut store,
        execution,
        vec![kept("a", 1, "a1"), kept("b", 1, "b1"), kept("c", 1, "c1")],
    );
    write(
        &mut store,
        execution,
        vec![kept("a", 2, "a2"), forgotten("b", 2)],
    );
    store.commit(execution, Epoch(2)).unwrap();
    // Beyond the commit, whatever the order in which it arrives.
    write(
        &mut store,
        execution,
        vec![kept("a", 4, "a4"), forgotten("c", 3), kept("d", 3, "d3")],
    );
    drop(store);
    assert_eq!(states(directory.path()), pairs(&[("a", "a2"), ("c", "c1")]));
    assert_eq!(
        contents(directory.path())[&("flow.count".to_owned(), "a".to_owned())],
        (1, 2, b"a2".to_vec())
    );
}

#[test]
fn what_an_execution_wrote_beyond_its_commit_never_counts() {
    // The peer's D1: a row of a dead execution is taken for one of the next, whose epochs have
    // the same numbers.
    let directory = new_store(2);
    let mut store = open(&directory);
    let first = begin(&mut store, 1);
    write(&mut store, first, vec![kept("k", 1, "five, of the first")]);
    drop(store);
    let mut store = open(&directory);
    let second = begin(&mut store, 1);
    write(&mut store, second, vec![kept("other", 1, "one")]);
    store.commit(second, Epoch(1)).unwrap();
    drop(store);
    assert_eq!(states(directory.path()), pairs(&[("other", "one")]));
    // Nor does it come back when a later execution commits beyond it.
    let mut store = open(&directory);
    let third = begin(&mut store, 2);
    write(&mut store, third, vec![kept("k", 2, "five")]);
    store.commit(third, Epoch(2)).unwrap();
    store.close().unwrap();
    assert_eq!(
        states(directory.path()),
        pairs(&[("k", "five"), ("other", "one")])
    );
}

#[test]
fn each_key_goes_to_the_worker_that_the_caller_names() {
    let (directory, mut store, execution) = begun(2);
    let keys: Vec<_> = (0..20).map(|number| format!("key{number:02}")).collect();
    let records = keys.iter().map(|key| kept(key, 1, "state")).collect();
    write(&mut store, execution, records);
    store.commit(execution, Epoch(1)).unwrap();
    let route = |_: &str, key: &str| WorkerIndex(u32::from(key.ends_with('3')));
    let mut seen: BTreeMap<WorkerIndex, usize> = BTreeMap::new();
    let reader = Reader::open(directory.path()).unwrap();
    let load = reader
        .load(&path_of(reader.executions()), route, |loaded| {
            assert_eq!(loaded.worker, route(loaded.step, loaded.key));
            *seen.entry(loaded.worker).or_default() += 1;
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!((load.rows, load.live), (20, 20));
    assert_eq!(seen, [(WorkerIndex(0), 18), (WorkerIndex(1), 2)].into());
}

#[test]
fn any_step_key_and_state_is_kept() {
    let (directory, mut store, execution) = begun(3);
    let texts = [
        "",
        " ",
        "a\0b",
        "käse 🧀",
        "'; DROP TABLE snapshots; --",
        "file:x?mode=memory",
    ];
    let states = [vec![], vec![0], (0..=255).collect::<Vec<u8>>().repeat(64)];
    let mut expected = BTreeMap::new();
    for (step, text) in texts.iter().enumerate() {
        for key in texts {
            let payload = states[(step + key.len()) % states.len()].clone();
            expected.insert(((*text).to_owned(), key.to_owned()), payload.clone());
            let record = Record {
                step: StepId((*text).to_owned()),
                key: StateKey(key.to_owned()),
                epoch: Epoch(1),
                state: Some(State {
                    codec: Codec::Native,
                    payload,
                }),
            };
            write(&mut store, execution, vec![record]);
        }
    }
    store.commit(execution, Epoch(1)).unwrap();
    store.close().unwrap();
    let loaded: BTreeMap<_, _> = contents(directory.path())
        .into_iter()
        .map(|(key, (_, _, payload))| (key, payload))
        .collect();
    assert_eq!(loaded, expected);
}

#[test]
fn the_last_of_two_snapshots_of_one_epoch_counts() {
    let (directory, mut store, execution) = begun(1);
    write(
        &mut store,
        execution,
        vec![kept("a", 1, "first"), kept("b", 1, "first")],
    );
    write(
        &mut store,
        execution,
        vec![kept("a", 1, "second"), forgotten("b", 1)],
    );
    store.commit(execution, Epoch(1)).unwrap();
    assert_eq!(states(directory.path()), pairs(&[("a", "second")]));
}

#[test]
fn loading_visits_each_row_once() {
    let mut visited = Vec::new();
    for keys in [1_000_u64, 2_000] {
        let directory = new_store(2);
        let mut store = open(&directory);
        let execution = begin(&mut store, 1);
        for epoch in 1..=2 {
            let records = (0..keys).map(|key| kept(&key.to_string(), epoch, "state"));
            write(&mut store, execution, records.collect());
        }
        store.commit(execution, Epoch(2)).unwrap();
        let reader = Reader::open(directory.path()).unwrap();
        let load = reader
            .load(
                &path_of(reader.executions()),
                |_, _| WorkerIndex(0),
                |_| Ok::<_, StoreError>(()),
            )
            .unwrap();
        assert_eq!(load.live, keys);
        visited.push(load.rows);
    }
    assert_eq!(visited, [2_000, 4_000]);
}

#[test]
fn loading_needs_no_sorting() {
    let directory = new_store(1);
    let connection = rusqlite::Connection::open(crate::support::part(directory.path(), 0)).unwrap();
    let queries = [
        "SELECT step, key, execution, epoch, frame FROM snapshots \
         ORDER BY step, key, execution DESC, epoch DESC",
        "SELECT step, key, execution, epoch, frame IS NULL FROM snapshots \
         WHERE (step, key) >= (1, 'a') ORDER BY step, key, execution DESC, epoch DESC",
    ];
    for query in queries {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap();
        let plan: Vec<String> = statement
            .query_map((), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(!plan[0].contains("TEMP"), "{plan:?}");
    }
}

#[test]
fn an_error_of_the_caller_ends_the_load() {
    #[derive(Debug)]
    enum Mine {
        Store,
        Enough,
    }
    impl From<StoreError> for Mine {
        fn from(_: StoreError) -> Self {
            Self::Store
        }
    }
    let (_directory, mut store, execution) = begun(1);
    write(
        &mut store,
        execution,
        vec![kept("a", 1, ""), kept("b", 1, "")],
    );
    store.commit(execution, Epoch(1)).unwrap();
    let path = path_of(store.reader().executions());
    let result = store
        .reader()
        .load(&path, |_, _| WorkerIndex(0), |_| Err(Mine::Enough));
    assert!(matches!(result, Err(Mine::Enough)));
}

#[test]
fn history_is_kept() {
    let (directory, mut store, execution) = begun(2);
    store.commit(execution, Epoch(7)).unwrap();
    drop(store);
    let mut store = open(&directory);
    begin(&mut store, 8);
    for directory in [copy(directory.path()), directory] {
        let reader = Reader::open(directory.path()).unwrap();
        assert_eq!(reader.manifest().unwrap(), Some(manifest()));
        let told: Vec<_> = reader
            .executions()
            .iter()
            .map(|it| (it.id, it.resume, it.generation.0, it.workers, it.committed))
            .collect();
        assert_eq!(
            told,
            [
                (ExecutionId(1), Epoch(1), 1, 1, Some(Epoch(7))),
                (ExecutionId(2), Epoch(8), 2, 1, None)
            ]
        );
    }
}

#[test]
fn keys_are_spread_over_the_partitions() {
    let mut counts = [0; 8];
    for key in 0..8_000 {
        counts[partition_of("flow.count", &key.to_string(), 8).0 as usize] += 1;
    }
    assert!(
        counts.iter().all(|count| (850..1_150).contains(count)),
        "{counts:?}"
    );
}
