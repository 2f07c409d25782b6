//! A store that can't be written, for a while or for good.

use std::time::Duration;

use millstream_recovery::id::{Epoch, WorkerIndex};
use millstream_recovery::protocol::retry::RetryPolicy;
use millstream_recovery::session::{Event, Opening, Stopped, open};
use millstream_recovery::store::Trouble;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::support::{COUNT, PATIENCE, Run, kept, new_store, opening, part, resumed, states};

fn lock(connection: &mut Connection) -> Transaction<'_> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap()
}

#[test]
fn busy_file_is_waited_for() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1)]);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = lock(&mut other);
    run.record(&[(COUNT, "a", 2), (COUNT, "b", 2)]);
    run.pass();
    loop {
        if let Event::Waiting {
            trouble, attempt, ..
        } = run.event()
        {
            assert_eq!(trouble, Trouble::Busy);
            if attempt == 2 {
                break;
            }
        }
    }
    drop(lock);
    run.wait_for_commit(2);
    assert_eq!(run.finish(), Some(2));
}

#[test]
fn busy_file_is_waited_for_at_the_start() {
    let directory = new_store(2);
    let mut other = Connection::open(part(directory.path(), 1)).unwrap();
    let lock = lock(&mut other);
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| open(opening(directory.path())).unwrap());
        std::thread::sleep(Duration::from_millis(400));
        drop(lock);
        assert_eq!(opened.join().unwrap().start().epoch, Epoch(1));
    });
}

#[test]
fn busy_file_does_not_keep_a_run_from_ending_once_all_is_committed() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1)]);
    run.session.finished(WorkerIndex(0), Epoch(1));
    let mut other = Connection::open(part(directory.path(), 1)).unwrap();
    let lock = lock(&mut other);
    let committed = run.session.finish(PATIENCE).unwrap();
    assert_eq!(committed, Some(Epoch(1)));
    drop(lock);
    let whole = states(&[(COUNT, "a", 1)]);
    assert_eq!(resumed(opening(directory.path())), (2, whole));
}

#[test]
fn store_that_stays_busy_is_told_of_once() {
    let directory = new_store(2);
    let mut run = Run::begin(Opening {
        retry: RetryPolicy {
            delays: vec![Duration::from_millis(1)],
            busy_for: Duration::from_millis(2),
            ..RetryPolicy::default()
        },
        ..opening(directory.path())
    });
    run.commit(&[(COUNT, "a", 1)]);
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = lock(&mut other);
    run.record(&[(COUNT, "a", 2), (COUNT, "b", 2)]);
    run.pass();
    let failure = run.failure();
    assert_eq!(failure.exit_code(), 74);
    let late = run.session.record(vec![kept(COUNT, "a", 2, 9)]);
    assert_eq!(late, Err(Stopped));
    let error = run.session.finish(PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), failure.to_string());
    assert!(run.events.iter().next().is_none());
    drop(lock);
    let whole = states(&[(COUNT, "a", 1)]);
    assert_eq!(resumed(opening(directory.path())), (2, whole));
}

/// Whoever waits for room is let go when there will be none.
#[test]
fn workers_that_wait_for_room_are_let_go() {
    let directory = new_store(1);
    let run = Run::begin(Opening {
        room: 1_000,
        ..opening(directory.path())
    });
    let mut other = Connection::open(part(directory.path(), 0)).unwrap();
    let lock = lock(&mut other);
    let session = run.session.clone();
    let worker = std::thread::spawn(move || {
        for epoch in 1.. {
            let record = kept(COUNT, &epoch.to_string(), epoch, epoch);
            if session.record(vec![record]).is_err() {
                return;
            }
        }
    });
    while !matches!(run.event(), Event::Waiting { .. }) {}
    run.session.abandon();
    worker.join().unwrap();
    drop(lock);
    assert_eq!(resumed(opening(directory.path())).0, 1);
}
