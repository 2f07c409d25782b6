//! Several processes, as threads of this one: joined by sockets, they share nothing else that
//! the engine knows of.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millstream_engine::clock::SystemClock;
use millstream_engine::cluster::{self, Address, CauseKind, ClusterId, Fingerprint, ProcessIndex};
use millstream_engine::error::Error;
use millstream_engine::recovery::{Changes, Recovery, RetryPolicy};
use millstream_engine::run::{Ending, Settings};
use millstream_recovery::store::init;
use tempfile::TempDir;

use crate::committing::{CommittingFiles, names, seen};
use crate::integers::{
    Act, Builder, CollectPartitioned, Collected, Integers, POISON, RunningSum, Value, pair,
};

type Outcome = Result<Ending, Error<Integers>>;

/// Runs a flow in so many processes with so many workers each; what each is to run is made anew.
fn run(
    (processes, workers): (usize, usize),
    store: Option<&Path>,
    interval: Duration,
    flow: impl Fn(usize) -> Builder + Sync,
) -> Vec<Outcome> {
    let sockets = TempDir::new().unwrap();
    let address = |process: usize| Address::Unix(sockets.path().join(process.to_string()));
    let addresses: Vec<Address> = (0..processes).map(address).collect();
    let settings = |process: usize| Settings {
        workers,
        epoch_interval: interval,
        room: Settings::ROOM_PER_WORKER * workers,
        optimize: true,
        clock: Arc::new(SystemClock::new()),
        recovery: store.filter(|_| process == 0).map(|store| Recovery {
            directory: store.to_owned(),
            changes: Changes::default(),
            retry: RetryPolicy::default(),
        }),
        cluster: (processes > 1).then(|| {
            cluster::Settings::new(
                ProcessIndex(u32::try_from(process).unwrap()),
                addresses.clone(),
                u32::try_from(workers).unwrap(),
                ClusterId("test".to_owned()),
                Fingerprint(7),
            )
        }),
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..processes)
            .map(|process| {
                let (flow, settings) = (&flow, settings(process));
                scope.spawn(move || flow(process).run_with(settings))
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Pairs of some keys, and of values from 1 on.
fn acts(keys: usize, values: i64) -> Vec<Act> {
    let key = |value: i64| format!("key-{}", usize::try_from(value).unwrap() % keys);
    let batches = (1..=values).map(|value| Act::Batch(vec![pair(&key(value), value)]));
    batches.collect()
}

/// The last value of each key's running sums, over all of two partitions.
fn sums_of(keys: usize, values: i64) -> Vec<i64> {
    let key = |value: &i64| usize::try_from(*value).unwrap() % keys;
    let sum = |of: usize| (1..=values).filter(|value| key(value) == of).sum::<i64>();
    let mut sums: Vec<i64> = (0..keys).map(|of| 2 * sum(of)).collect();
    sums.sort_unstable();
    sums
}

/// The final sums, which a key emits negated at the end.
fn finals(taken: &Collected) -> Vec<i64> {
    let values = taken.items().iter().map(Value::int).collect::<Vec<_>>();
    let mut finals: Vec<i64> = values.into_iter().filter(|value| *value < 0).collect();
    for value in &mut finals {
        *value = -*value;
    }
    finals.sort_unstable();
    finals
}

fn two(acts: impl Fn() -> Vec<Act>) -> Vec<(&'static str, Vec<Act>)> {
    vec![("p", acts()), ("q", acts())]
}

const SHAPES: [(usize, usize); 5] = [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2)];

#[test]
fn keys_meet_from_all_processes() {
    for shape in SHAPES {
        let taken = Collected::default();
        let outcomes = run(shape, None, Settings::EPOCH_INTERVAL, |_| {
            let mut flow = Builder::default();
            let (keyed, _) = flow.script("in", two(|| acts(7, 300)));
            let spread = flow.redistribute("spread", keyed);
            let sums = flow.stateful("sum", spread, RunningSum);
            flow.collect_parts_to("out", sums, vec!["x", "y"], &taken);
            flow
        });
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Ok(Ending::Finished))),
            "{shape:?}: {outcomes:?}"
        );
        assert_eq!(finals(&taken), sums_of(7, 300), "{shape:?}");
    }
}

/// What one process says of why it stops, all others say too.
#[test]
fn failure_of_one_is_the_failure_of_all() {
    let outcomes = run((3, 1), None, Duration::ZERO, |process| {
        let mut flow = Builder::default();
        let (keyed, _) = flow.script("in", two(|| acts(7, 3_000)));
        let sums = flow.stateful("sum", keyed, RunningSum);
        let sums = flow.map("map", sums, move |items| {
            if process == 1 && items.iter().any(|item| item.int() > 1_000) {
                return Err("too much".to_owned());
            }
            Ok(items)
        });
        flow.collect_parts_to("out", sums, vec!["x", "y"], &Collected::default());
        flow
    });
    for (process, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(Error::Step { step, .. }) if process == 1 => {
                assert_eq!(step.to_string(), "flow.map");
            }
            Err(Error::Peer(cause)) if process != 1 => {
                assert_eq!(cause.process, 1);
                let CauseKind::Failed { text, exit_code } = &cause.kind else {
                    panic!("{cause:?}");
                };
                assert!(text.contains("too much"), "{text}");
                assert_eq!(*exit_code, 70);
            }
            other => panic!("process {process}: {other:?}"),
        }
    }
}

#[test]
fn item_that_cannot_cross_names_its_step() {
    let outcomes = run((2, 1), None, Duration::ZERO, |_| {
        let mut flow = Builder::default();
        let act = || vec![Act::Batch(vec![Value::Int(POISON), Value::Int(POISON)])];
        let (items, _) = flow.script("in", vec![("p", act())]);
        let spread = flow.redistribute("spread", items);
        flow.collect("out", spread);
        flow
    });
    let is_right = |outcome: &Outcome| match outcome {
        Err(Error::Step { step, failure, .. }) => {
            step.to_string() == "flow.spread" && failure.cause == "poison"
        }
        Err(Error::Peer(_)) => true,
        _ => false,
    };
    assert!(outcomes.iter().all(is_right), "{outcomes:?}");
}

#[test]
fn abort_by_a_source_stops_all() {
    let outcomes = run((2, 2), None, Duration::ZERO, |_| {
        let mut flow = Builder::default();
        let mut aborting = acts(3, 10);
        aborting.push(Act::Abort);
        let parts = vec![("p", aborting), ("q", acts(3, 100_000))];
        let (keyed, _) = flow.script("in", parts);
        let sums = flow.stateful("sum", keyed, RunningSum);
        flow.collect_parts_to("out", sums, vec!["x", "y"], &Collected::default());
        flow
    });
    let is_right = |outcome: &Outcome| matches!(outcome, Ok(Ending::Aborted));
    assert!(outcomes.iter().all(is_right), "{outcomes:?}");
}

/// A run may have any number of processes, whatever the one before had.
#[test]
fn state_goes_where_its_keys_go() {
    let directory = TempDir::new().unwrap();
    let (store, ready) = (
        directory.path().join("store"),
        directory.path().join("ready"),
    );
    for folder in [&store, &ready] {
        std::fs::create_dir(folder).unwrap();
    }
    init(&store, 2).unwrap();
    let taken = Collected::default();
    let mut values = 0;
    for shape in [(1, 1), (2, 1), (3, 2), (1, 3), (2, 2)] {
        values += 100;
        let outcomes = run(shape, Some(&store), Duration::from_millis(5), |_| {
            let mut flow = Builder::default();
            let (keyed, _) = flow.script("in", two(|| acts(7, values)));
            let sums = flow.stateful("sum", keyed, RunningSum);
            flow.sink(
                "out",
                sums,
                CollectPartitioned {
                    parts: vec!["x", "y"],
                    taken: taken.clone(),
                },
            );
            flow.sink("ready", sums, CommittingFiles(ready.clone()));
            flow
        });
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Ok(Ending::Finished))),
            "{shape:?}: {outcomes:?}"
        );
        let expected = sums_of(7, values);
        let all = finals(&taken);
        for sum in &expected {
            assert!(all.contains(sum), "{shape:?}: {sum} isn't in {all:?}");
        }
        // All that is written is seen, and nothing is left.
        let mut items: Vec<i64> = taken.items().iter().map(Value::int).collect();
        let mut shown = seen(&ready);
        items.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, items, "{shape:?}");
        assert!(names(&ready).iter().all(|name| !name.starts_with('.')));
    }
}

#[test]
fn process_that_never_comes_is_missed() {
    let sockets = TempDir::new().unwrap();
    let address = |process: usize| Address::Unix(sockets.path().join(process.to_string()));
    let mut alone = cluster::Settings::new(
        ProcessIndex(0),
        (0..2).map(address).collect(),
        1,
        ClusterId("test".to_owned()),
        Fingerprint(7),
    );
    alone.limits.deadline = Duration::from_millis(200);
    let mut flow = Builder::default();
    let (keyed, _) = flow.script("in", two(|| acts(7, 3)));
    flow.collect("out", keyed);
    let outcome = flow.run_with(Settings {
        cluster: Some(alone),
        ..crate::integers::settings(1)
    });
    let Err(Error::Join(error)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.exit_code(), 75);
}
