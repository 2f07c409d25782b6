//! One run at a time.

use std::time::Duration;

use millstream_recovery::session::{DEFAULT_SILENCE, Event, Opening, open};

use crate::support::{COUNT, Run, eventually, log, new_store, opening, resumed, states};

#[test]
fn second_run_is_refused_while_the_first_is_alive() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    let error = open(opening(directory.path())).unwrap_err();
    assert_eq!(error.exit_code(), 73);
    assert!(error.to_string().contains("generation 1"), "{error}");
    // The first has not noticed.
    run.commit(&[(COUNT, "a", 1)]);
    assert_eq!(run.finish(), Some(1));
}

#[test]
fn store_that_is_being_loaded_is_in_use() {
    let directory = new_store(2);
    let opened = open(opening(directory.path())).unwrap();
    let error = open(opening(directory.path())).unwrap_err();
    assert_eq!(error.exit_code(), 73);
    drop(opened);
    assert_eq!(resumed(opening(directory.path())).0, 1);
}

/// It beats too seldom for the one that looks, as if it had been stopped.
#[test]
fn stopped_run_is_taken_over_and_writes_nothing_more() {
    let directory = new_store(2);
    let (events, on_event) = log();
    let opened = open(opening(directory.path())).unwrap();
    let stopped = opened.run(on_event).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut heir = Run::begin(Opening {
        silence: Duration::from_millis(100),
        ..opening(directory.path())
    });
    let failures = || {
        let events = events.lock().unwrap();
        let failures = events.iter().filter_map(|event| match event {
            Event::Failed(error) => Some(error.exit_code()),
            _ => None,
        });
        failures.collect::<Vec<_>>()
    };
    eventually("the stopped run was not told", || !failures().is_empty());
    assert_eq!(failures(), [73]);
    // What it still hands over goes nowhere, and it fails once.
    let record = crate::support::kept(COUNT, "a", 1, 100);
    eventually("the stopped run goes on", || {
        stopped.record(vec![record.clone()]).is_err()
    });
    let error = stopped.finish(DEFAULT_SILENCE).unwrap_err();
    assert_eq!(error.exit_code(), 73);
    assert_eq!(failures(), [73]);
    heir.commit(&[(COUNT, "b", 1)]);
    assert_eq!(heir.finish(), Some(1));
    let whole = states(&[(COUNT, "b", 1)]);
    assert_eq!(resumed(opening(directory.path())), (2, whole));
}
