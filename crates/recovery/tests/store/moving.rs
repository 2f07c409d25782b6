//! Repartitioning, exporting and importing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_recovery::frame::Codec;
use millstream_recovery::id::{Epoch, StateKey, StepId};
use millstream_recovery::store::{
    Claim, Reader, Record, State, Store, StoreError, backup, export, import, repartition, verify,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{
    Contents, begin, begun, collect_all, contents, forgotten, kept, manifest, new_store, open,
    path_of, states, write,
};

fn used(partitions: u32) -> TempDir {
    let (directory, mut store, execution) = begun(partitions);
    for epoch in 1..=3 {
        let records = (0..30).map(|key| match (key + epoch) % 5 {
            0 => forgotten(&key.to_string(), epoch),
            _ => kept(&key.to_string(), epoch, &format!("state {key} of {epoch}")),
        });
        write(&mut store, execution, records.collect());
        store.commit(execution, Epoch(epoch)).unwrap();
    }
    write(&mut store, execution, vec![kept("orphan", 4, "")]);
    drop(store);
    let mut store = open(&directory);
    begin(&mut store, 4);
    store.close().unwrap();
    directory
}

/// Asserts that a store is as another, and goes on like one.
fn assert_same(path: &std::path::Path, partitions: u32, original: &TempDir, expected: &Contents) {
    let reader = Reader::open(path).unwrap();
    let before = Reader::open(original.path()).unwrap();
    assert_eq!(reader.partition_count(), partitions);
    assert_ne!(reader.store_id(), before.store_id());
    assert_eq!(reader.executions(), before.executions());
    assert_eq!(reader.manifest().unwrap(), before.manifest().unwrap());
    assert!(reader.generation() > before.generation());
    assert_eq!(&contents(path), expected);
    let found = verify(path);
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!(found.rows, verify(original.path()).rows);
    drop(reader);
    let mut store = Store::open(path, Claim::IfFree).unwrap();
    let path_before = path_of(store.reader().executions());
    store.sweep(&path_before).unwrap();
    let execution = begin(&mut store, 4);
    write(&mut store, execution, vec![kept("new", 4, "state")]);
    store.commit(execution, Epoch(4)).unwrap();
    store.close().unwrap();
    assert_eq!(states(path).len(), expected.len() + 1);
}

#[test]
fn a_store_can_have_another_number_of_files() {
    for (from, to) in [(1, 3), (3, 1), (3, 8), (8, 3), (2, 2)] {
        let directory = used(from);
        let expected = contents(directory.path());
        let parent = TempDir::new().unwrap();
        let target = parent.path().join("new");
        let rows = repartition(directory.path(), &target, to).unwrap();
        assert_eq!(rows, 91);
        assert_same(&target, to, &directory, &expected);
        assert_eq!(contents(directory.path()), expected);
    }
}

#[test]
fn a_store_in_use_is_not_repartitioned() {
    let directory = used(1);
    let parent = TempDir::new().unwrap();
    let target = parent.path().join("new");
    let store = open(&directory);
    let error = repartition(directory.path(), &target, 2).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(!target.exists());
    drop(store);
    let error = repartition(directory.path(), directory.path(), 2).unwrap_err();
    assert!(
        matches!(error, StoreError::AlreadyInitialised { .. }),
        "{error}"
    );
    repartition(directory.path(), &target, 2).unwrap();
}

fn export_of(directory: &TempDir) -> String {
    let mut text = Vec::new();
    let reader = Reader::open(directory.path()).unwrap();
    assert_eq!(
        export(&reader, &mut text).unwrap(),
        verify(directory.path()).rows
    );
    String::from_utf8(text).unwrap()
}

#[test]
fn an_export_is_lines_of_json() {
    let (directory, mut store, execution) = begun(1);
    write(
        &mut store,
        execution,
        vec![kept("a", 1, "state"), forgotten("b", 1)],
    );
    store.commit(execution, Epoch(1)).unwrap();
    store.close().unwrap();
    let text = export_of(&directory);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            r#"{"millstream_export":1,"generation":1,"manifest":{"flow":"flow","steps":[{"id":"flow.count","kind":"state","form":"a count","schema":1}]},"executions":[{"id":1,"resume":1,"generation":1,"workers":1,"started":0,"committed":1}]}"#,
            r#"{"step":"flow.count","key":"a","execution":1,"epoch":1,"codec":"pickle","state":"c3RhdGU="}"#,
            r#"{"step":"flow.count","key":"b","execution":1,"epoch":1,"codec":null,"state":null}"#,
        ]
    );
    assert!(lines[3].starts_with(r#"{"snapshots":2,"sum":""#));
    assert_eq!(lines.len(), 4);
}

#[test]
fn an_export_can_be_imported() {
    let directory = used(3);
    let text = export_of(&directory);
    let expected = contents(directory.path());
    for partitions in [1, 3, 4] {
        let target = TempDir::new().unwrap();
        let rows = import(&mut text.as_bytes(), target.path(), partitions).unwrap();
        assert_eq!(rows, 91);
        assert_same(target.path(), partitions, &directory, &expected);
    }
    // A store that was never used too.
    let unused = export_of(&new_store(2));
    let target = TempDir::new().unwrap();
    assert_eq!(import(&mut unused.as_bytes(), target.path(), 1).unwrap(), 0);
    Reader::open(target.path()).unwrap();
}

#[test]
fn an_export_that_was_changed_is_refused_with_its_line() {
    let directory = used(1);
    let text = export_of(&directory);
    let lines: Vec<_> = text.lines().collect();
    let changed = [
        (String::new(), 1),
        ("{}\n".to_owned(), 1),
        (
            text.replacen("\"millstream_export\":1", "\"millstream_export\":2", 1),
            1,
        ),
        (lines[..20].join("\n"), 21),
        (text[..text.len() / 2].to_owned(), 0),
        (text.replacen("\"epoch\":3", "\"epoch\":2", 1), 0),
        (text.replacen("\"state\":\"", "\"state\":\"!", 1), 0),
        (
            text.replacen(
                "\"codec\":\"pickle\",\"state\"",
                "\"codec\":null,\"state\"",
                1,
            ),
            0,
        ),
        (format!("{text}{{}}\n"), lines.len() + 1),
    ];
    for (changed, expected) in changed {
        let target = TempDir::new().unwrap();
        let error = import(&mut changed.as_bytes(), target.path(), 2).unwrap_err();
        let StoreError::Import { line, .. } = &error else {
            panic!("{error}");
        };
        assert!(expected == 0 || *line == expected, "{error}");
        assert_eq!(error.exit_code(), 76);
        // It never becomes a store, and doesn't stand in the way of one.
        assert!(Reader::open(target.path()).is_err());
        import(&mut text.as_bytes(), target.path(), 2).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_records_survive_all_moves(
        rows in prop::collection::vec(
            (".{0,3}", ".{0,3}", 1_u64..6, prop::option::of(prop::collection::vec(any::<u8>(), 0..40))),
            0..40,
        ),
        counts in (1_u32..5, 1_u32..5, 1_u32..5),
    ) {
        let directory = new_store(counts.0);
        let mut store = open(&directory);
        let execution = begin(&mut store, 1);
        for (step, key, epoch, payload) in rows {
            let state = payload.map(|payload| State { codec: Codec::Native, payload });
            let record = Record {
                step: StepId(step),
                key: StateKey(key),
                epoch: Epoch(epoch),
                state,
            };
            write(&mut store, execution, vec![record]);
        }
        store.commit(execution, Epoch(4)).unwrap();
        store.close().unwrap();
        let expected = contents(directory.path());
        let parent = TempDir::new().unwrap();
        let second = parent.path().join("second");
        repartition(directory.path(), &second, counts.1).unwrap();
        prop_assert_eq!(&contents(&second), &expected);
        let mut text = Vec::new();
        export(&Reader::open(&second).unwrap(), &mut text).unwrap();
        let third = parent.path().join("third");
        import(&mut text.as_slice(), &third, counts.2).unwrap();
        prop_assert_eq!(&contents(&third), &expected);
        prop_assert_eq!(Reader::open(&third).unwrap().manifest().unwrap(), Some(manifest()));
    }
}

#[test]
fn a_store_in_use_can_be_backed_up_and_exported() {
    let (directory, mut store, execution) = begun(3);
    let write_epoch = move |store: &mut Store, epoch| {
        let records = (0..20).map(|key| kept(&key.to_string(), epoch, &epoch.to_string()));
        write(store, execution, records.collect());
        store.commit(execution, Epoch(epoch)).unwrap();
        collect_all(store, epoch);
    };
    write_epoch(&mut store, 1);
    let is_enough = Arc::new(AtomicBool::new(false));
    let running = std::thread::spawn({
        let is_enough = Arc::clone(&is_enough);
        move || {
            let mut epoch = 1;
            while !is_enough.load(Ordering::Relaxed) {
                epoch += 1;
                write_epoch(&mut store, epoch);
            }
            store.close().unwrap();
            epoch
        }
    });
    // All keys of all files are of one epoch, which is the committed one.
    let assert_of_a_moment = |path: &std::path::Path| {
        let reader = Reader::open(path).unwrap();
        let committed = reader.committed().unwrap().epoch;
        let contents = crate::support::try_contents(&reader).unwrap();
        assert_eq!(contents.len(), 20);
        for (_, epoch, state) in contents.values() {
            assert_eq!(
                (*epoch, state.as_slice()),
                (committed.0, committed.0.to_string().as_bytes())
            );
        }
        committed.0
    };
    let mut last = 0;
    for round in 0..20 {
        let parent = TempDir::new().unwrap();
        let target = parent.path().join("backup");
        if round % 2 == 0 {
            backup(directory.path(), &target).unwrap();
        } else {
            let mut text = Vec::new();
            export(&Reader::open(directory.path()).unwrap(), &mut text).unwrap();
            import(&mut text.as_slice(), &target, 2).unwrap();
        }
        let committed = assert_of_a_moment(&target);
        assert!(committed >= last);
        last = committed;
        assert_of_a_moment(directory.path());
    }
    is_enough.store(true, Ordering::Relaxed);
    assert!(running.join().unwrap() > 20);
}
