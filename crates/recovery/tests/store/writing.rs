//! The writer on its own thread.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_recovery::frame::MAX_PAYLOAD;
use millstream_recovery::id::{Epoch, ExecutionId, WorkerIndex};
use millstream_recovery::store::{
    Claim, Patience, Report, RetryPolicy, Store, StoreError, Trouble, Writer, WriterOptions,
};
use rusqlite::{Connection, TransactionBehavior};
use tempfile::TempDir;

use crate::support::{
    begin, begun, forgotten, kept, open, pairs, part, path_of, row_count, states,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(
    store: Store,
    execution: ExecutionId,
    policy: impl RetryPolicy + 'static,
) -> (Writer, Receiver<Report>) {
    let (sender, receiver) = channel();
    let options = WriterOptions {
        execution,
        room: 64 * 1024,
    };
    let writer = Writer::start(store, options, policy, move |report| {
        let _ = sender.send(report);
    });
    (writer.unwrap(), receiver)
}

fn give_up(_: Trouble, _: u32) -> Patience {
    Patience::GiveUp
}

fn wait_shortly(_: Trouble, _: u32) -> Patience {
    Patience::Wait(Duration::from_millis(1))
}

fn next(reports: &Receiver<Report>) -> Report {
    reports.recv_timeout(PATIENCE).unwrap()
}

fn durable(report: Report) -> (u32, u64) {
    match report {
        Report::Durable { worker, epoch } => (worker.0, epoch.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_reported_is_durable() {
    let (directory, store, execution) = begun(3);
    let (writer, reports) = start(store, execution, give_up);
    let handle = writer.handle();
    for epoch in 1..=3 {
        for (worker, key) in [(0, "a"), (1, "b")] {
            let state = format!("{key}{epoch}");
            handle.append(vec![kept(key, epoch, &state)]).unwrap();
            handle
                .close_epoch(WorkerIndex(worker), Epoch(epoch))
                .unwrap();
        }
        let mut closed = [durable(next(&reports)), durable(next(&reports))];
        closed.sort_unstable();
        assert_eq!(closed, [(0, epoch), (1, epoch)]);
        handle.commit(Epoch(epoch)).unwrap();
        assert!(matches!(next(&reports), Report::Committed(Epoch(it)) if it == epoch));
        let copy = crate::support::copy(directory.path());
        let expected = [("a", format!("a{epoch}")), ("b", format!("b{epoch}"))];
        let expected = expected
            .each_ref()
            .map(|(key, state)| (*key, state.as_str()));
        assert_eq!(states(copy.path()), pairs(&expected));
    }
    writer.finish().unwrap().close().unwrap();
}

#[test]
fn garbage_goes_with_the_next_snapshots_and_at_the_end() {
    let (directory, store, execution) = begun(2);
    let (writer, reports) = start(store, execution, give_up);
    let handle = writer.handle();
    let mut collected = 0;
    for epoch in 1..=10 {
        let records = (0..50).map(|key| kept(&key.to_string(), epoch, "state"));
        handle.append(records.collect()).unwrap();
        handle.close_epoch(WorkerIndex(0), Epoch(epoch)).unwrap();
        loop {
            match next(&reports) {
                Report::Durable { .. } => break,
                Report::Collected(it) => collected += it.removed,
                Report::Committed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        handle.commit(Epoch(epoch)).unwrap();
        handle.collect(Epoch(epoch)).unwrap();
    }
    handle.append(vec![forgotten("7", 11)]).unwrap();
    handle.commit(Epoch(11)).unwrap();
    handle.collect(Epoch(11)).unwrap();
    let store = writer.finish().unwrap();
    collected += reports
        .iter()
        .map(|report| match report {
            Report::Collected(it) => it.removed,
            _ => 0,
        })
        .sum::<usize>();
    assert_eq!(collected, 9 * 50 + 2);
    store.close().unwrap();
    assert_eq!(
        (0..2)
            .map(|it| row_count(directory.path(), it))
            .sum::<i64>(),
        49
    );
}

#[test]
fn finishing_writes_all_that_was_handed_over() {
    let (directory, store, execution) = begun(2);
    let (writer, _reports) = start(store, execution, give_up);
    let handle = writer.handle();
    for key in 0..1_000 {
        handle
            .append(vec![kept(&key.to_string(), 1, "state")])
            .unwrap();
    }
    handle.commit(Epoch(1)).unwrap();
    let store = writer.finish().unwrap();
    assert!(matches!(handle.append(vec![]), Err(StoreError::Stopped)));
    store.close().unwrap();
    assert_eq!(states(directory.path()).len(), 1_000);
}

#[test]
fn workers_wait_only_when_there_is_no_room() {
    let (directory, store, execution) = begun(1);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let (writer, reports) = start(store, execution, wait_shortly);
    // While the file is locked, half of the room can be taken without waiting.
    let handle = writer.handle();
    for key in 0..32 {
        handle
            .append(vec![kept(&key.to_string(), 1, &"x".repeat(900))])
            .unwrap();
    }
    assert!(matches!(
        next(&reports),
        Report::Waiting {
            trouble: Trouble::Busy,
            attempt: 1,
            ..
        }
    ));
    // More than the room isn't taken until the file is free.
    let handed_over = Arc::new(Mutex::new(0));
    let count = Arc::clone(&handed_over);
    let worker = std::thread::spawn(move || {
        for key in 32..200 {
            handle
                .append(vec![kept(&key.to_string(), 1, &"x".repeat(900))])
                .unwrap();
            *count.lock().unwrap() += 1;
        }
        handle.commit(Epoch(1)).unwrap();
    });
    assert!(matches!(next(&reports), Report::Waiting { .. }));
    assert!(*handed_over.lock().unwrap() <= 64);
    drop(lock);
    worker.join().unwrap();
    writer.finish().unwrap().close().unwrap();
    assert_eq!(states(directory.path()).len(), 200);
}

#[test]
fn a_busy_file_is_waited_for_and_nothing_is_lost() {
    let (directory, store, execution) = begun(1);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let (writer, reports) = start(store, execution, wait_shortly);
    let handle = writer.handle();
    handle.append(vec![kept("a", 1, "a")]).unwrap();
    handle.commit(Epoch(1)).unwrap();
    for expected in 1..=3 {
        let Report::Waiting {
            trouble,
            attempt,
            error,
        } = next(&reports)
        else {
            panic!("it did not wait");
        };
        assert_eq!((trouble, attempt), (Trouble::Busy, expected));
        assert!(
            error.to_string().starts_with("Another program keeps `"),
            "{error}"
        );
    }
    drop(lock);
    writer.finish().unwrap().close().unwrap();
    assert_eq!(states(directory.path()), pairs(&[("a", "a")]));
}

#[test]
fn giving_up_is_reported_and_lets_the_workers_go() {
    let (directory, store, execution) = begun(1);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let policy = |_, attempt| match attempt {
        1 | 2 => Patience::Wait(Duration::from_millis(1)),
        _ => Patience::GiveUp,
    };
    let (writer, reports) = start(store, execution, policy);
    let handle = writer.handle();
    while handle
        .append(vec![kept("a", 1, &"x".repeat(10_000))])
        .is_ok()
    {}
    let failure = reports
        .iter()
        .find_map(|report| match report {
            Report::Failed(error) => Some(error),
            _ => None,
        })
        .unwrap();
    assert!(matches!(*failure, StoreError::Busy { .. }));
    assert_eq!(failure.exit_code(), 74);
    drop(lock);
    let error = writer.finish().unwrap_err();
    assert_eq!(error.to_string(), failure.to_string());
    // The next run is not held up.
    assert_eq!(states(directory.path()), []);
    open(&directory).close().unwrap();
}

#[test]
fn a_run_that_was_taken_over_stops() {
    let (directory, store, execution) = begun(2);
    let (writer, reports) = start(store, execution, wait_shortly);
    let handle = writer.handle();
    let heir = Store::open(directory.path(), Claim::ByForce).unwrap();
    handle.append(vec![kept("a", 1, "late")]).unwrap();
    let Report::Failed(error) = next(&reports) else {
        panic!("it went on");
    };
    assert_eq!(error.exit_code(), 73);
    assert!(matches!(
        *writer.finish().unwrap_err(),
        StoreError::Fenced { .. }
    ));
    heir.close().unwrap();
    assert_eq!(
        (0..2)
            .map(|it| row_count(directory.path(), it))
            .sum::<i64>(),
        0
    );
}

#[test]
fn dropping_a_writer_is_a_crash() {
    let (directory, store, execution) = begun(1);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let forever = |_, _| Patience::Wait(Duration::from_secs(3_600));
    let (writer, reports) = start(store, execution, forever);
    writer.handle().append(vec![kept("a", 1, "a")]).unwrap();
    assert!(matches!(next(&reports), Report::Waiting { .. }));
    drop(writer);
    drop(lock);
    assert!(
        reports
            .iter()
            .any(|report| matches!(report, Report::Failed(_)))
    );
    let mut store = open(&directory);
    let path = path_of(store.reader().executions());
    store.sweep(&path).unwrap();
    assert_eq!(row_count(directory.path(), 0), 0);
}

#[test]
fn a_full_disk_is_waited_for_and_what_was_committed_stays() {
    let (directory, mut store, execution) = begun(1);
    crate::support::write(&mut store, execution, vec![kept("a", 1, "before")]);
    store.commit(execution, Epoch(1)).unwrap();
    store.limit_pages(60).unwrap();
    let policy = |trouble, attempt| {
        assert_eq!(trouble, Trouble::Full);
        match attempt {
            1..=4 => Patience::Wait(Duration::from_millis(1)),
            _ => Patience::GiveUp,
        }
    };
    let (writer, reports) = start(store, execution, policy);
    let handle = writer.handle();
    for epoch in 2.. {
        let record = kept(&epoch.to_string(), epoch, &"x".repeat(50_000));
        if handle.append(vec![record]).is_err() || handle.commit(Epoch(epoch)).is_err() {
            break;
        }
    }
    let error = writer.finish().unwrap_err();
    assert!(matches!(*error, StoreError::Full { .. }), "{error}");
    assert_eq!(error.exit_code(), 74);
    let mut committed = 1;
    let mut waits = 0;
    for report in reports {
        match report {
            Report::Committed(epoch) => committed = epoch.0,
            Report::Waiting { .. } => waits += 1,
            _ => {}
        }
    }
    assert_eq!(waits, 4);
    assert!(committed >= 2);
    // With more space, the next run has all that was committed and goes on.
    let mut store = open(&directory);
    assert_eq!(store.reader().committed().unwrap().epoch, Epoch(committed));
    let execution = begin(&mut store, committed + 1);
    crate::support::write(
        &mut store,
        execution,
        vec![kept("a", committed + 1, "after")],
    );
    store.commit(execution, Epoch(committed + 1)).unwrap();
    store.close().unwrap();
    let states = states(directory.path());
    assert_eq!(states.len() as u64, committed);
    assert!(states.contains(&("a".to_owned(), "after".to_owned())));
}

/// A small file system of its own, gone with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(options: &str) -> Self {
        let disk = Self(TempDir::new().unwrap());
        disk.mount(options);
        disk
    }

    fn mount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(self.0.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "mounts a file system, which takes root"]
fn a_disk_of_one_mebibyte_fills_and_grows() {
    let disk = SmallDisk::new("size=1m");
    let directory = disk.0.path().join("store");
    millstream_recovery::store::init(&directory, 1).unwrap();
    let mut store = Store::open(&directory, Claim::IfFree).unwrap();
    let execution = begin(&mut store, 1);
    let (writer, reports) = start(store, execution, wait_shortly);
    let handle = writer.handle();
    let worker = std::thread::spawn(move || {
        for epoch in 1..=100 {
            let key = epoch.to_string();
            handle
                .append(vec![kept(&key, epoch, &"x".repeat(20_000))])
                .unwrap();
            handle.commit(Epoch(epoch)).unwrap();
        }
    });
    let mut full = 0;
    while full < 5 {
        if let Report::Waiting { trouble, .. } = next(&reports) {
            assert_eq!(trouble, Trouble::Full);
            full += 1;
        }
    }
    disk.mount("remount,size=16m");
    worker.join().unwrap();
    writer.finish().unwrap().close().unwrap();
    assert_eq!(states(&directory).len(), 100);
}

#[test]
fn a_state_that_is_too_large_is_refused_where_it_is_handed_over() {
    let (_directory, store, execution) = begun(1);
    let (writer, _reports) = start(store, execution, give_up);
    let mut record = kept("big", 1, "");
    record.state.as_mut().unwrap().payload = vec![0; MAX_PAYLOAD + 1];
    let error = writer.handle().append(vec![record]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    assert_eq!(error.exit_code(), 70);
    writer.handle().append(vec![kept("small", 1, "")]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn writer_that_panics_tells_so_and_takes_nothing_more() {
    let (_directory, store, execution) = begun(2);
    let (sender, reports) = channel();
    let options = WriterOptions {
        execution,
        room: 64 * 1024,
    };
    let writer = Writer::start(store, options, give_up, move |report| {
        assert!(!matches!(report, Report::Durable { .. }), "too much");
        sender.send(report).unwrap();
    });
    let writer = writer.unwrap();
    let handle = writer.handle();
    handle.close_epoch(WorkerIndex(0), Epoch(1)).unwrap();
    let Report::Failed(error) = next(&reports) else {
        panic!("no failure was reported");
    };
    assert!(matches!(*error, StoreError::Panicked(_)), "{error:?}");
    assert_eq!(error.exit_code(), 70);
    let told = "the thread `millstream-store` panicked: too much";
    assert!(error.to_string().contains(told), "{error}");
    writer.finish().unwrap_err();
    let refused = handle.commit(Epoch(1));
    assert!(matches!(refused, Err(StoreError::Stopped)), "{refused:?}");
}
