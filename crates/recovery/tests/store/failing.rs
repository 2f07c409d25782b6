//! The process dies at a named point, once and again, and the run after that ends as if nothing
//! had happened: nothing is lost and nothing counted twice.
//!
//! The run that dies is this test binary, started again for the test [`child`]. It counts items
//! by key, forgets a key when it is complete, and keeps its position like any source. How many
//! items make an epoch differs from execution to execution, so that the same numbers of epochs
//! stand for other items after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use millstream_recovery::id::{Epoch, StateKey, StepId, WorkerIndex};
use millstream_recovery::store::{
    Claim, Patience, Reader, Record, Report, State, Store, StoreError, Writer, WriterOptions, init,
    verify,
};
use tempfile::TempDir;

use crate::support::{begin, path_of, row_count, try_contents};

const DIRECTORY: &str = "MILLSTREAM_TEST_DIRECTORY";
const FAILPOINT: &str = "MILLSTREAM_FAILPOINT";
const ITEMS: u64 = 48;
const COMPLETE: u64 = 4;

const POINTS: [&str; 21] = [
    "directory-sync",
    "init-partition",
    "init-finish",
    "init-finished",
    "claim-partition",
    "lease-rename",
    "lease-renamed",
    "lease-witness",
    "lease-sync",
    "load-row",
    "sweep-chunk",
    "execution-begin",
    "partition-appended",
    "partition-collected",
    "partition-commit",
    "partition-committed",
    "writer-home",
    "log-write-back",
    "log-written-back",
    "close-home",
    // None of them: a run without a crash.
    "nowhere",
];

/// What has been read, and what is counted of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    offset: u64,
    counts: BTreeMap<String, u64>,
}

impl Progress {
    /// What it should be, by going through all items.
    fn of(offset: u64) -> Self {
        let mut progress = Self::default();
        while progress.offset < offset {
            progress.count_next();
        }
        progress
    }

    fn count_next(&mut self) -> String {
        let key = (self.offset * 7 % 11).to_string();
        self.offset += 1;
        let count = self.counts.entry(key.clone()).or_default();
        *count += 1;
        if *count == COMPLETE {
            self.counts.remove(&key);
        }
        key
    }

    fn load(reader: &Reader) -> Self {
        let mut progress = Self::default();
        for ((step, key), (_, _, state)) in try_contents(reader).unwrap() {
            let number = String::from_utf8(state).unwrap().parse().unwrap();
            if step == "source" {
                progress.offset = number;
            } else {
                progress.counts.insert(key, number);
            }
        }
        progress
    }
}

fn record(step: &str, key: &str, epoch: u64, number: Option<u64>) -> Record {
    Record {
        step: StepId(step.to_owned()),
        key: StateKey(key.to_owned()),
        epoch: Epoch(epoch),
        state: number.map(|number| State {
            codec: millstream_recovery::frame::Codec::Native,
            payload: number.to_string().into_bytes(),
        }),
    }
}

/// Not a test of its own: what the others start.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    match Reader::open(directory) {
        Err(error) if is_unmade(&error) => init(directory, 2).unwrap(),
        other => drop(other.unwrap()),
    }
    let stalled = Store::open(directory, Claim::IfFree).unwrap();
    let mut store = Store::open(directory, Claim::ByForce).unwrap();
    let mut progress = Progress::load(store.reader());
    let path = path_of(store.reader().executions());
    store.sweep(&path).unwrap();
    let committed = store.reader().committed();
    let mut epoch = committed.map_or(0, |commit| commit.epoch.0);
    let execution = begin(&mut store, epoch + 1);
    let batch = 1 + execution.0 % 3 * 3;

    let (sender, reports) = channel();
    let options = WriterOptions {
        execution,
        room: 1 << 20,
    };
    let policy = |_, _| Patience::GiveUp;
    let report = move |report| {
        let _ = sender.send(report);
    };
    let writer = Writer::start(store, options, policy, report).unwrap();
    let handle = writer.handle();
    while progress.offset < ITEMS {
        epoch += 1;
        let mut keys: Vec<_> = (0..batch.min(ITEMS - progress.offset))
            .map(|_| progress.count_next())
            .collect();
        keys.sort();
        keys.dedup();
        let mut records = vec![record("source", "0", epoch, Some(progress.offset))];
        for key in keys {
            records.push(record(
                "count",
                &key,
                epoch,
                progress.counts.get(&key).copied(),
            ));
        }
        handle.append(records).unwrap();
        handle.close_epoch(WorkerIndex(0), Epoch(epoch)).unwrap();
        let is_durable = |report| matches!(report, Report::Durable { .. });
        assert!(reports.iter().any(is_durable));
        handle.commit(Epoch(epoch)).unwrap();
        handle.collect(Epoch(epoch)).unwrap();
    }
    writer.finish().unwrap().close().unwrap();
    drop(stalled);
}

fn is_unmade(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::DirectoryMissing { .. }
            | StoreError::NoPartitions { .. }
            | StoreError::HalfMade { .. }
    )
}

/// Runs until the end or the crash; gives whether it was a crash.
fn run(directory: &Path, (point, count): (&str, usize)) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["failing::child", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FAILPOINT, format!("{point}:{count}"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("panicked"), "{point}:{count}: {told}");
    !output.status.success()
}

/// How far the store has got; and whether it is all right.
fn check(directory: &Path, what: &str) -> u64 {
    let reader = match Reader::open(directory) {
        Ok(reader) => reader,
        Err(error) if is_unmade(&error) => return 0,
        Err(error) => panic!("{what}: {error}"),
    };
    let progress = Progress::load(&reader);
    assert_eq!(progress, Progress::of(progress.offset), "{what}");
    progress.offset
}

#[test]
fn two_crashes_at_any_points_change_nothing() {
    let mut crashes = 0;
    for (index, point) in POINTS.iter().enumerate() {
        let mut crashes_here = 0;
        // From the making of the store on, and from the middle of a run that died.
        for begin_at in [None, Some(17)] {
            let mut count = 1;
            loop {
                // Another crash, somewhere early in the run that follows.
                let second = (index * 5 + count * 3) % POINTS.len();
                let second = (POINTS[second], count % 3 + 1);
                let (is_crash, is_another) = crash_twice(begin_at, (point, count), second);
                crashes_here += u32::from(is_crash);
                crashes += u32::from(is_crash) + u32::from(is_another);
                if !is_crash {
                    break;
                }
                count += 1 + count / 4;
            }
        }
        assert!(
            crashes_here > 0 || *point == "nowhere",
            "{point} was never passed"
        );
    }
    assert!(crashes > 200, "only {crashes} crashes");
}

/// Crashes at two points, and goes on to the end. Gives which of the two were come to.
fn crash_twice(
    begin_at: Option<usize>,
    first: (&str, usize),
    second: (&str, usize),
) -> (bool, bool) {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("store");
    let what = format!("{begin_at:?}, {first:?}, {second:?}");
    if let Some(count) = begin_at {
        assert!(run(&directory, ("partition-commit", count)), "{what}");
    }
    let mut offset = check(&directory, &what);
    let is_crash = [first, second].map(|crash| {
        let is_crash = run(&directory, crash);
        let then = check(&directory, &what);
        assert!(
            then >= offset,
            "{what}: it went back from {offset} to {then}"
        );
        offset = then;
        is_crash
    });
    assert!(!run(&directory, ("nowhere", 1)), "{what}");
    assert_eq!(check(&directory, &what), ITEMS, "{what}");
    assert_clean(&directory, &what);
    is_crash.into()
}

/// Runs with the `count`-th call of a kind failing, or the process killed before it; gives
/// whether it came to that.
fn run_with_fault(directory: &Path, call: &str, fault: &str, count: usize) -> bool {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:{fault}:when={count}"))
        .arg(std::env::current_exe().unwrap())
        .args(["failing::child", "--exact"])
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    !output.status.success()
}

#[test]
#[ignore = "takes strace, and minutes"]
fn system_calls_that_fail_change_nothing() {
    let mut failures = 0;
    for call in [
        "pwrite64",
        "fdatasync",
        "fsync",
        "ftruncate",
        "rename",
        "unlink",
    ] {
        for fault in ["error=EIO", "error=ENOSPC", "signal=SIGKILL"] {
            let mut count = 1;
            let mut passed = 0;
            // A fault that is no failure, of a call for which there is another way, isn't the
            // last one.
            while passed < 3 {
                let what = format!("{call}, {fault}, {count}");
                let parent = TempDir::new().unwrap();
                let directory = parent.path().join("store");
                let is_failure = run_with_fault(&directory, call, fault, count);
                let offset = check(&directory, &what);
                run_with_fault(&directory, call, fault, count / 3 + 1);
                let then = check(&directory, &what);
                assert!(
                    then >= offset,
                    "{what}: it went back from {offset} to {then}"
                );
                assert!(!run(&directory, ("nowhere", 1)), "{what}");
                assert_eq!(check(&directory, &what), ITEMS, "{what}");
                assert_clean(&directory, &what);
                failures += usize::from(is_failure);
                passed = if is_failure { 0 } else { passed + 1 };
                count += 1 + count / 6;
            }
        }
    }
    assert!(failures > 100, "only {failures} failures");
}

/// Asserts that a run without a crash has left nothing lying about.
fn assert_clean(directory: &Path, what: &str) {
    let found = verify(directory);
    assert!(found.is_sound(), "{what}: {:?}", found.problems);
    let rows: i64 = (0..2).map(|it| row_count(directory, it)).sum();
    let live = Progress::of(ITEMS).counts.len() + 1;
    assert_eq!(usize::try_from(rows).unwrap(), live, "{what}");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["lock", "part-0.sqlite3", "part-1.sqlite3"],
        "{what}"
    );
}
