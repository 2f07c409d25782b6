//! Damage: what was changed is refused, or changes nothing.

use std::fs;
use std::path::Path;

use millstream_recovery::id::Epoch;
use millstream_recovery::store::{Claim, Reader, Store, StoreError};
use tempfile::TempDir;

use crate::support::{
    Contents, begin, begun, collect_all, copy, forgotten, kept, meddle, open, path_of,
    try_contents, try_write, write,
};

/// A store with something of everything, as a crash left it: rows in the files and rows in the
/// logs, orphans, tombstones, states of more than a page.
fn crashed(partitions: u32) -> TempDir {
    let (directory, mut store, execution) = begun(partitions);
    for epoch in 1..=2 {
        let records = (0..60).map(|key| kept(&format!("key {key}"), epoch, &"state ".repeat(key)));
        write(&mut store, execution, records.collect());
        store.commit(execution, Epoch(epoch)).unwrap();
    }
    collect_all(&mut store, 1);
    write(
        &mut store,
        execution,
        vec![kept("orphan", 3, "of the first")],
    );
    store.close().unwrap();

    let mut store = open(&directory);
    let execution = begin(&mut store, 3);
    for epoch in 3..=4 {
        let key = format!("key {epoch}");
        write(
            &mut store,
            execution,
            vec![forgotten("key 1", epoch), kept(&key, epoch, "late")],
        );
        store.commit(execution, Epoch(epoch)).unwrap();
    }
    write(
        &mut store,
        execution,
        vec![kept("orphan", 5, "of the second")],
    );
    copy(directory.path())
}

fn outcome(directory: &Path) -> Result<Contents, StoreError> {
    try_contents(&Reader::open(directory)?)
}

/// Asserts that the store is refused, or gives what it gave before.
fn assert_harmless(directory: &Path, expected: &Contents, what: &str) -> bool {
    match outcome(directory) {
        Ok(contents) => {
            assert_eq!(&contents, expected, "{what}");
            false
        }
        Err(error) => {
            assert!([72, 74, 76].contains(&error.exit_code()), "{what}: {error}");
            true
        }
    }
}

/// Numbers that look random and are the same each time.
fn pseudo_random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    }
}

fn flip_bits(partitions: u32, flips_per_file: usize) {
    let golden = crashed(partitions);
    // Reading makes no difference to the files: each flip starts from the same ones.
    let expected = outcome(copy(golden.path()).path()).unwrap();
    assert!(expected.len() >= 59);
    let mut names: Vec<_> = fs::read_dir(golden.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-shm"))
        .collect();
    names.sort();
    let mut random = pseudo_random(u64::from(partitions));
    let mut refused = 0;
    let scratch = copy(golden.path());
    let restore = |changed: &str| {
        for name in &names {
            let shared = scratch.path().join(format!("{name}-shm"));
            if shared.exists() {
                fs::remove_file(shared).unwrap();
            }
        }
        fs::copy(golden.path().join(changed), scratch.path().join(changed)).unwrap();
    };
    for name in &names {
        let original = fs::read(golden.path().join(name)).unwrap();
        if original.is_empty() {
            continue;
        }
        for flip in 0..flips_per_file {
            // The first bytes of a file say how to read the rest of it.
            let byte = match flip % 4 {
                0 => random(original.len().min(120)),
                _ => random(original.len()),
            };
            let bit = random(8);
            let mut changed = original.clone();
            changed[byte] ^= 1 << bit;
            fs::write(scratch.path().join(name), &changed).unwrap();
            let what = format!("bit {bit} of byte {byte} of {name}");
            refused += usize::from(assert_harmless(scratch.path(), &expected, &what));
            restore(name);
        }
    }
    assert!(
        refused > flips_per_file,
        "only {refused} flips were noticed"
    );
}

#[test]
fn flipped_bits_of_a_store_of_one_file() {
    flip_bits(1, 400);
}

#[test]
fn flipped_bits_of_a_store_of_three_files() {
    flip_bits(3, 150);
}

/// What a run makes of a store: it loads, sweeps, writes, commits and leaves.
fn go_on(directory: &Path) -> Result<Contents, StoreError> {
    outcome(directory)?;
    let mut store = Store::open(directory, Claim::IfFree)?;
    let path = path_of(store.reader().executions());
    store.sweep(&path)?;
    let execution = begin(&mut store, 5);
    // Enough to use pages that were free.
    let records = (0..40).map(|key| kept(&format!("new {key}"), 5, &"state ".repeat(40 + key)));
    try_write(&mut store, execution, records.collect())?;
    store.commit(execution, Epoch(5))?;
    store.close()?;
    outcome(directory)
}

#[test]
fn flipped_bits_of_a_store_that_goes_on() {
    let golden = crashed(1);
    let expected = go_on(copy(golden.path()).path()).unwrap();
    let mut random = pseudo_random(7);
    let mut refused = 0;
    for flip in 0..240 {
        let name = ["part-0.sqlite3", "part-0.sqlite3-wal"][flip % 2];
        let directory = copy(golden.path());
        let mut bytes = fs::read(golden.path().join(name)).unwrap();
        let byte = random(bytes.len());
        let bit = random(8);
        bytes[byte] ^= 1 << bit;
        fs::write(directory.path().join(name), &bytes).unwrap();
        match go_on(directory.path()) {
            Ok(contents) => assert_eq!(contents, expected, "bit {bit} of byte {byte} of {name}"),
            Err(error) => {
                assert!([74, 76].contains(&error.exit_code()), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "only {refused} flips were noticed");
}

#[test]
#[ignore = "ten thousand flips take minutes; for the nightly run"]
fn ten_thousand_flipped_bits() {
    flip_bits(1, 2_000);
    flip_bits(3, 1_000);
}

#[test]
fn truncated_files_and_lost_ones() {
    for partitions in [1, 3] {
        let golden = crashed(partitions);
        let expected = outcome(copy(golden.path()).path()).unwrap();
        for entry in fs::read_dir(golden.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let original = fs::read(golden.path().join(&name)).unwrap();
            let lengths = (0..original.len())
                .step_by(2_048)
                .chain([original.len().saturating_sub(1)]);
            for length in lengths {
                let directory = copy(golden.path());
                fs::write(directory.path().join(&name), &original[..length]).unwrap();
                let what = format!("{name} cut to {length}");
                assert_harmless(directory.path(), &expected, &what);
            }
            let directory = copy(golden.path());
            fs::remove_file(directory.path().join(&name)).unwrap();
            assert_harmless(directory.path(), &expected, &format!("{name} lost"));
        }
    }
}

#[test]
fn exchanged_changed_added_and_lost_rows() {
    let exchanged = [
        // States of two keys, of two epochs, of two executions.
        "UPDATE snapshots SET frame = (SELECT frame FROM snapshots WHERE key = 'key 2' AND epoch = 2) \
         WHERE key = 'key 9' AND epoch = 2",
        "UPDATE snapshots SET key = CASE key WHEN 'key 8' THEN 'key 9x' ELSE 'key 8x' END \
         WHERE key IN ('key 8', 'key 9')",
        "UPDATE snapshots SET epoch = 3 WHERE key = 'key 9' AND epoch = 2",
        "UPDATE snapshots SET execution = 2, epoch = 4 WHERE key = 'orphan' AND execution = 1",
        "UPDATE snapshots SET frame = NULL WHERE key = 'key 9' AND epoch = 2",
        "UPDATE snapshots SET epoch = 2 WHERE frame IS NULL AND epoch = 4 AND execution = 2",
        "UPDATE snapshots SET frame = zeroblob(40) WHERE key = 'key 9'",
        "UPDATE steps SET name = 'flow.other'",
        "DELETE FROM snapshots WHERE key = 'key 9'",
        "DELETE FROM snapshots WHERE frame IS NULL",
        "DELETE FROM snapshots",
        "INSERT INTO snapshots VALUES (1, 'new', 1, 1, NULL)",
        "UPDATE commits SET epoch = 5 WHERE execution = 2",
        "DELETE FROM commits WHERE execution = 2",
        "DELETE FROM executions WHERE execution = 2",
        "DELETE FROM commits WHERE execution = 2; DELETE FROM executions WHERE execution = 2",
        "UPDATE executions SET resume = 2 WHERE execution = 2",
        "UPDATE seal SET records = records - 1",
        "UPDATE seal SET generation = 0",
        "UPDATE manifest SET document = replace(document, 'flow', 'folw')",
        "DELETE FROM manifest",
        "UPDATE identity SET count = 2",
    ];
    let golden = crashed(1);
    for change in exchanged {
        let directory = copy(golden.path());
        meddle(directory.path(), 0, change);
        let error = outcome(directory.path()).expect_err(change);
        assert_eq!(error.exit_code(), 76, "{change}: {error}");
    }
}

#[test]
fn a_damaged_record_is_named() {
    let directory = crashed(1);
    meddle(
        directory.path(),
        0,
        "UPDATE snapshots SET frame = (SELECT frame FROM snapshots WHERE key = 'key 2' AND epoch = 2) \
         WHERE key = 'key 9' AND epoch = 2",
    );
    let error = outcome(directory.path()).unwrap_err();
    let path = crate::support::part(&directory.path().canonicalize().unwrap(), 0);
    assert_eq!(
        error.to_string(),
        format!(
            "The store file `{}` is damaged: the snapshot of step `flow.count`, key `key 9`, \
             epoch 2 of execution 1 cannot be used: its checksum does not match. Restore the \
             whole store from a backup.",
            path.display()
        )
    );
}

#[test]
fn a_state_that_is_too_large_is_refused_with_its_step_and_key() {
    let (_directory, mut store, execution) = begun(1);
    let mut record = kept("big", 1, "");
    // All zeros, which the system gives without making them.
    record.state.as_mut().unwrap().payload = vec![0; millstream_recovery::frame::MAX_PAYLOAD + 1];
    let error = try_write(&mut store, execution, vec![record]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The state of step `flow.count`, key `big` cannot be kept: it is 536870913 bytes, and \
         the most is 536870912. Keep less in one key."
    );
}
