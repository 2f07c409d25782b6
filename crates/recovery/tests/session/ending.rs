//! How runs end, and go on.

use std::time::Duration;

use millstream_recovery::id::{Epoch, WorkerIndex};
use millstream_recovery::session::{Event, Opening, SessionError, Stopped, open};

use crate::support::{
    COUNT, PATIENCE, Run, SOURCE, eventually, kept, log, new_store, opening, resumed, row_count,
    states,
};

#[test]
fn finished_run_is_gone_on_with() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1), (SOURCE, "p", 1)]);
    run.record(&[(COUNT, "a", 2), (COUNT, "b", 1), (SOURCE, "p", 3)]);
    run.epoch += 1;
    assert_eq!(run.finish(), Some(2));
    // Nothing is there but what is needed.
    assert_eq!(row_count(directory.path()), 3);
    let whole = states(&[(COUNT, "a", 2), (COUNT, "b", 1), (SOURCE, "p", 3)]);
    assert_eq!(resumed(opening(directory.path())), (3, whole));
}

#[test]
fn run_that_did_nothing_changes_nothing() {
    let directory = new_store(2);
    let run = Run::begin(opening(directory.path()));
    assert_eq!(run.finish(), None);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1)]);
    assert_eq!(run.finish(), Some(1));
    let run = Run::begin(opening(directory.path()));
    assert_eq!(run.finish(), Some(1));
    let whole = states(&[(COUNT, "a", 1)]);
    assert_eq!(resumed(opening(directory.path())), (2, whole));
}

#[test]
fn abandoned_run_leaves_what_was_committed() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1)]);
    run.record(&[(COUNT, "a", 2)]);
    let clone = run.session.clone();
    run.session.abandon();
    assert_eq!(clone.record(vec![kept(COUNT, "a", 2, 3)]), Err(Stopped));
    assert!(matches!(
        clone.finish(PATIENCE),
        Err(SessionError::Store(_))
    ));
    // It was meant to end, so nothing is told of a failure.
    assert!(
        !run.events
            .iter()
            .any(|event| matches!(event, Event::Failed(_)))
    );
    let whole = states(&[(COUNT, "a", 1)]);
    assert_eq!(resumed(opening(directory.path())), (2, whole));
}

#[test]
fn every_worker_holds_back_the_commit_and_the_end() {
    let directory = new_store(2);
    let opened = open(Opening {
        workers: 2,
        ..opening(directory.path())
    });
    let (events, on_event) = log();
    let session = opened.unwrap().run(on_event).unwrap();
    let (first, second) = (WorkerIndex(0), WorkerIndex(1));
    session.record(vec![kept(COUNT, "a", 1, 1)]).unwrap();
    session.passed(first, Epoch(5));
    eventually("the record was not written", || {
        row_count(directory.path()) == 1
    });
    assert!(events.lock().unwrap().is_empty());
    session.finished(first, Epoch(4));
    // It comes late, and several epochs at once.
    session.passed(second, Epoch(4));
    session.finished(second, Epoch(3));
    assert_eq!(session.finish(PATIENCE).unwrap(), Some(Epoch(4)));
    let committed = events.lock().unwrap().clone();
    let committed = committed.iter().filter_map(|event| match event {
        Event::Committed(epoch) => Some(epoch.0),
        _ => None,
    });
    assert_eq!(committed.max(), Some(4));
}

#[test]
fn drain_stops_the_sources_once_and_ends_well() {
    let directory = new_store(1);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1)]);
    run.session.drain();
    run.session.drain();
    run.record(&[(COUNT, "a", 2)]);
    run.epoch += 1;
    run.session.finished(WorkerIndex(0), Epoch(run.epoch - 1));
    let committed = run.session.clone().finish(PATIENCE).unwrap();
    assert_eq!(committed, Some(Epoch(2)));
    drop(run.session);
    let stops = run.events.iter();
    let stops = stops.filter(|event| matches!(event, Event::StopSources));
    assert_eq!(stops.count(), 1);
    let whole = states(&[(COUNT, "a", 2)]);
    assert_eq!(resumed(opening(directory.path())), (3, whole));
}

#[test]
fn time_out_says_what_was_waited_for() {
    let directory = new_store(1);
    let opened = open(Opening {
        workers: 3,
        ..opening(directory.path())
    });
    let session = opened.unwrap().run(|_| {}).unwrap();
    session.finished(WorkerIndex(1), Epoch(1));
    let error = session.finish(Duration::from_millis(20)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run did not end within 20ms: not finished by worker 0, 2"
    );
    assert_eq!(error.exit_code(), 70);
    // It is over, and holds nobody up.
    assert_eq!(resumed(opening(directory.path())).0, 1);
}
