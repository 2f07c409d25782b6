//! Two-phase sinks: they hold back the commit, and publish after it.

use std::time::Duration;

use millstream_recovery::id::{Epoch, SinkPartition, WorkerIndex};
use millstream_recovery::protocol::coordinator::Frontier;
use millstream_recovery::session::{Event, Opening, open};

use crate::support::{COUNT, PATIENCE, Run, new_store, opening};

const SINK: SinkPartition = SinkPartition(0);

#[test]
fn sink_prepares_before_the_commit_and_publishes_after_it() {
    let directory = new_store(2);
    let mut run = Run::begin(Opening {
        sinks: 1,
        ..opening(directory.path())
    });
    run.record(&[(COUNT, "a", 1)]);
    run.pass();
    let quiet = run.events.recv_timeout(Duration::from_millis(50));
    assert!(quiet.is_err(), "{quiet:?}");
    run.session.prepared(SINK, Frontier::At(Epoch(2)));
    assert!(matches!(run.event(), Event::Committed(Epoch(1))));
    assert!(matches!(run.event(), Event::Publish { through: Epoch(1) }));
    run.session.finished(WorkerIndex(0), Epoch(1));
    run.session
        .prepared(SINK, Frontier::Finished { last: Epoch(1) });
    let error = run.session.clone().finish(Duration::from_millis(20));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the run did not end within 20ms: not prepared or not published by partition 0 of the \
         two-phase sinks"
    );
}

#[test]
fn end_comes_when_all_is_published_and_the_next_run_knows_it() {
    let directory = new_store(2);
    let opened = open(Opening {
        sinks: 1,
        ..opening(directory.path())
    })
    .unwrap();
    let execution = opened.start().execution;
    let run = Run::of(opened);
    run.record(&[(COUNT, "a", 1)]);
    run.session.finished(WorkerIndex(0), Epoch(1));
    run.session
        .prepared(SINK, Frontier::Finished { last: Epoch(1) });
    while !matches!(run.event(), Event::Publish { .. }) {}
    run.session.published(SINK, Epoch(1));
    assert_eq!(run.session.finish(PATIENCE).unwrap(), Some(Epoch(1)));

    let opened = open(opening(directory.path())).unwrap();
    assert!(opened.path().contains(execution, Epoch(1)));
    assert!(!opened.path().contains(execution, Epoch(2)));
    assert_eq!(opened.start().execution, execution.next());
}

#[test]
fn commit_can_be_waited_for() {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.record(&[(COUNT, "a", 1)]);
    let error = run
        .session
        .await_commit(Epoch(1), Duration::from_millis(20));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the run did not end within 20ms: not finished by worker 0"
    );
    run.pass();
    run.session.await_commit(Epoch(1), PATIENCE).unwrap();
    run.session.clone().abandon();
    assert!(run.session.await_commit(Epoch(2), PATIENCE).is_err());
    // What is committed stays so.
    run.session.await_commit(Epoch(1), PATIENCE).unwrap();
}
