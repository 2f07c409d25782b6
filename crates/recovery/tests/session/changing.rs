//! Dataflows that change between runs.

use std::path::Path;

use millstream_recovery::id::{StepId, WorkerIndex};
use millstream_recovery::protocol::manifest::SchemaVersion;
use millstream_recovery::protocol::resume::{Changes, Flow};
use millstream_recovery::session::{Opening, open};

use crate::support::{
    COUNT, Run, SOURCE, States, alias, dropping, flow, load, new_store, opening, resumed,
    row_count, states,
};

const TALLY: &str = "flow.tally";

fn id(step: &str) -> StepId {
    StepId(step.to_owned())
}

fn renamed(directory: &Path) -> Opening {
    Opening {
        flow: flow(&[SOURCE, TALLY]),
        changes: alias(COUNT, TALLY),
        ..opening(directory)
    }
}

fn tallied() -> States {
    states(&[(TALLY, "a", 1), (TALLY, "b", 2), (SOURCE, "p", 3)])
}

fn counted_store() -> tempfile::TempDir {
    let directory = new_store(2);
    let mut run = Run::begin(opening(directory.path()));
    run.commit(&[(COUNT, "a", 1), (COUNT, "b", 2), (SOURCE, "p", 3)]);
    run.finish();
    directory
}

#[test]
fn state_goes_on_under_an_alias_however_often_a_run_dies() {
    let directory = counted_store();
    for _ in 0..3 {
        let opened = open(renamed(directory.path())).unwrap();
        assert_eq!(opened.start().steps[&id(COUNT)], id(TALLY));
        assert_eq!(load(&opened), tallied());
        let run = Run::of(opened);
        // Not committed, so the alias is still needed.
        run.record(&[(TALLY, "a", 100)]);
        run.session.abandon();
    }
    // Other changes may be tried instead.
    let (_, states) = resumed(opening(directory.path()));
    assert_eq!(states.len(), 3);
    assert!(states.keys().all(|(step, _)| step != TALLY));

    // With the first commit the state has moved, also of keys that nobody touched.
    let mut run = Run::begin(renamed(directory.path()));
    run.commit(&[(TALLY, "a", 5)]);
    run.session.abandon();
    let whole = crate::support::states(&[(TALLY, "a", 5), (TALLY, "b", 2), (SOURCE, "p", 3)]);
    assert_eq!(resumed(renamed(directory.path())), (3, whole.clone()));
    let without_alias = Opening {
        changes: Changes::default(),
        ..renamed(directory.path())
    };
    assert_eq!(resumed(without_alias), (3, whole));
}

#[test]
fn state_moves_even_if_the_run_has_nothing_to_do() {
    let directory = counted_store();
    let run = Run::begin(renamed(directory.path()));
    assert_eq!(run.finish(), Some(2));
    assert_eq!(row_count(directory.path()), 3);
    let without_alias = Opening {
        changes: Changes::default(),
        ..renamed(directory.path())
    };
    assert_eq!(resumed(without_alias), (3, tallied()));
}

#[test]
fn much_state_moves_in_pieces() {
    let directory = new_store(3);
    let mut run = Run::begin(opening(directory.path()));
    let keys: Vec<_> = (0..3_000).map(|key| format!("key {key}")).collect();
    let all: Vec<_> = keys.iter().map(|key| (COUNT, key.as_str(), 7)).collect();
    run.commit(&all);
    run.finish();
    let small = Opening {
        room: 10_000,
        ..renamed(directory.path())
    };
    let mut run = Run::begin(small.clone());
    run.commit(&[]);
    run.finish();
    assert_eq!(row_count(directory.path()), 3_000);
    let (_, states) = resumed(small);
    assert_eq!(states.len(), 3_000);
    assert!(states.keys().all(|(step, _)| step == TALLY));
}

#[test]
fn dropped_state_is_gone_with_the_first_commit() {
    let directory = counted_store();
    let less = || Opening {
        flow: flow(&[SOURCE]),
        changes: dropping(COUNT),
        ..opening(directory.path())
    };
    let only_source = states(&[(SOURCE, "p", 3)]);
    let opened = open(less()).unwrap();
    assert_eq!(opened.start().dropped[&id(COUNT)], 2);
    assert_eq!(load(&opened), only_source);
    Run::of(opened).session.abandon();
    // It died before that, so nothing is lost yet.
    assert_eq!(resumed(opening(directory.path())).1.len(), 3);

    let mut run = Run::begin(less());
    run.commit(&[]);
    run.finish();
    assert_eq!(row_count(directory.path()), 1);
    // The step may come back, and begins empty.
    let opened = open(opening(directory.path())).unwrap();
    assert_eq!(load(&opened), only_source);
    assert_eq!(opened.start().added, [id(COUNT)].into());
}

#[test]
fn new_step_begins_empty_and_is_named_until_it_ran() {
    let directory = counted_store();
    let more = || Opening {
        flow: flow(&[SOURCE, COUNT, TALLY]),
        ..opening(directory.path())
    };
    let opened = open(more()).unwrap();
    assert_eq!(opened.start().added, [id(TALLY)].into());
    let mut run = Run::of(opened);
    run.commit(&[(TALLY, "a", 1)]);
    run.finish();
    let opened = open(more()).unwrap();
    assert!(opened.start().added.is_empty());
    assert_eq!(load(&opened).len(), 4);
}

fn at_version(directory: &Path, current: u32, oldest: u32) -> Opening {
    let mut flow: Flow = flow(&[SOURCE, COUNT]);
    let step = flow.steps.get_mut(&id(COUNT)).unwrap();
    step.schema = SchemaVersion(current);
    step.oldest_readable = SchemaVersion(oldest);
    Opening {
        flow,
        ..opening(directory)
    }
}

#[test]
fn state_has_its_old_version_until_the_first_commit() {
    let directory = counted_store();
    let versions = |opening: Opening| {
        let opened = open(opening).unwrap();
        let mut versions = Vec::new();
        opened
            .load(&mut |loaded| {
                if loaded.step.0 == COUNT {
                    versions.push(loaded.schema.0);
                }
            })
            .unwrap();
        versions
    };
    for _ in 0..2 {
        assert_eq!(versions(at_version(directory.path(), 2, 1)), [1, 1]);
    }
    let opened = open(at_version(directory.path(), 2, 1)).unwrap();
    assert_eq!(opened.start().migrations[&id(COUNT)], SchemaVersion(1));
    let mut run = Run::of(opened);
    run.commit(&[(COUNT, "a", 10), (COUNT, "b", 20)]);
    run.session
        .finished(WorkerIndex(0), millstream_recovery::id::Epoch(2));
    run.session.abandon();
    assert_eq!(versions(at_version(directory.path(), 2, 1)), [2, 2]);
    let error = open(opening(directory.path())).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    let error = open(at_version(directory.path(), 3, 3)).unwrap_err();
    assert_eq!(error.exit_code(), 78);
}
