//! Runs that go on from where another stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::clock::SystemClock;
use millstream_engine::error::Error;
use millstream_engine::recovery::{Changes, Recovery, RetryPolicy};
use millstream_engine::run::{Ending, Settings};
use millstream_recovery::id::StepId;
use millstream_recovery::store::init;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::integers::{Act, Builder, Collected, Integers, RunningSum, Value, pair};

/// A store in a directory of its own.
fn store() -> TempDir {
    let directory = TempDir::new().unwrap();
    init(directory.path(), 2).unwrap();
    directory
}

fn settings(store: &Path, workers: usize, epoch_interval: Duration) -> Settings {
    Settings {
        workers,
        epoch_interval,
        room: Settings::ROOM_PER_WORKER * workers,
        optimize: true,
        clock: Arc::new(SystemClock::new()),
        recovery: Some(Recovery {
            directory: store.to_owned(),
            changes: Changes::default(),
            retry: RetryPolicy::default(),
        }),
        cluster: None,
    }
}

/// Running sums of what some partitions bring, written to partitions of a sink.
fn sums(parts: &[(&'static str, Vec<Act>)], taken: &Collected) -> Builder {
    let mut flow = Builder::default();
    let (keyed, _) = flow.script("in", parts.to_vec());
    let sums = flow.stateful("sum", keyed, RunningSum);
    flow.collect_parts_to("out", sums, vec!["x", "y"], taken);
    flow
}

fn batch(pairs: &[(&'static str, i64)]) -> Act {
    Act::Batch(pairs.iter().map(|&(key, value)| pair(key, value)).collect())
}

fn run(flow: Builder, settings: Settings) -> Result<Ending, Error<Integers>> {
    flow.run_with(settings)
}

#[test]
fn flow_that_has_ended_goes_on_where_it_was() {
    let store = store();
    let taken = Collected::default();
    let first = vec![batch(&[("a", 1), ("b", 2)]), batch(&[("a", 3)])];
    let mut more = first.clone();
    more.push(batch(&[("a", 10), ("b", 20)]));
    for acts in [first, more] {
        let flow = sums(&[("p", acts)], &taken);
        run(flow, settings(store.path(), 1, Duration::ZERO)).unwrap();
    }
    let expected = [
        ("a", 1),
        ("b", 2),
        ("a", 4),
        // The final sums of the first run.
        ("a", -4),
        ("b", -2),
        ("a", 14),
        ("b", 22),
        ("a", -14),
        ("b", -22),
    ];
    let expected = expected.map(|(_, value)| Value::Int(value));
    assert_eq!(taken.items(), expected);
}

#[test]
fn abort_loses_and_repeats_nothing() {
    for workers in 1..=3 {
        let store = store();
        let taken = Collected::default();
        let acts = |aborts: bool| {
            let mut acts = vec![batch(&[("a", 1), ("b", 2)]), batch(&[("a", 3)])];
            if aborts {
                acts.push(Act::Abort);
            } else {
                acts.extend([batch(&[]), batch(&[("b", 5)])]);
            }
            vec![("p", acts)]
        };
        let settings = || settings(store.path(), workers, Duration::ZERO);
        let ending = run(sums(&acts(true), &taken), settings()).unwrap();
        assert_eq!(ending, Ending::Aborted);
        run(sums(&acts(false), &taken), settings()).unwrap();
        let mut values: Vec<i64> = taken.items().iter().map(Value::int).collect();
        values.sort_unstable();
        assert_eq!(values, [-7, -4, 1, 2, 4, 7]);
    }
}

/// Everything that came before the abort was worked off, and is kept.
#[test]
fn abort_keeps_what_is_over() {
    let store = store();
    let acts = vec![batch(&[("a", 1)]), batch(&[("a", 2)]), Act::Abort];
    let settings = || settings(store.path(), 1, Duration::ZERO);
    run(sums(&[("p", acts)], &Collected::default()), settings()).unwrap();
    // Other acts, of which the first two are over.
    let acts = vec![batch(&[("a", 9)]), batch(&[("a", 9)]), batch(&[("a", 4)])];
    let taken = Collected::default();
    run(sums(&[("p", acts)], &taken), settings()).unwrap();
    assert_eq!(taken.items(), [Value::Int(7), Value::Int(-7)]);
}

/// State of a step that is gone is refused.
#[test]
fn step_that_is_gone_is_refused() {
    let store = store();
    let acts = vec![("p", vec![batch(&[("a", 1), ("b", 2)])])];
    run(
        sums(&acts, &Collected::default()),
        settings(store.path(), 1, Duration::ZERO),
    )
    .unwrap();
    let renamed = || {
        let mut flow = Builder::default();
        let (keyed, _) = flow.script("in", acts.clone());
        let sums = flow.stateful("total", keyed, RunningSum);
        flow.collect_parts_to("out", sums, vec!["x", "y"], &Collected::default());
        flow
    };
    let Err(Error::Recovery(error)) = run(renamed(), settings(store.path(), 1, Duration::ZERO))
    else {
        panic!("the state of `sum` must not get lost");
    };
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("`flow.sum` (2 keys)"), "{error}");
    let mut aliased = settings(store.path(), 1, Duration::ZERO);
    if let Some(recovery) = &mut aliased.recovery {
        let name = |name: &str| StepId(name.to_owned());
        recovery
            .changes
            .aliases
            .insert(name("flow.sum"), name("flow.total"));
    }
    run(renamed(), aliased).unwrap();
}

/// A source or sink partition that was kept and is gone is refused.
#[test]
fn partition_that_is_gone_is_refused() {
    let store = store();
    let acts = || vec![batch(&[("a", 1)])];
    let both = vec![("p", acts()), ("q", acts())];
    let settings = || settings(store.path(), 2, Duration::ZERO);
    run(sums(&both, &Collected::default()), settings()).unwrap();
    let one = vec![("p", acts())];
    let Err(Error::PartitionGone { step, partition }) =
        run(sums(&one, &Collected::default()), settings())
    else {
        panic!("the position in `q` must not get lost");
    };
    assert_eq!((&*step.0, partition.as_str()), ("flow.in", "q"));
    let mut dropped = settings();
    if let Some(recovery) = &mut dropped.recovery {
        recovery.changes.drop.insert(StepId("flow.in/q".to_owned()));
    }
    run(sums(&one, &Collected::default()), dropped).unwrap();
    // It is forgotten for good.
    run(sums(&one, &Collected::default()), settings()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However often it stops, with whatever number of workers it goes on: what it comes to
    /// is as if it had run once.
    #[test]
    fn stops_change_nothing(
        parts in proptest::collection::vec(
            proptest::collection::vec(
                proptest::collection::vec((0..4_usize, 1..9_i64), 0..4), 1..8),
            1..4),
        stops in proptest::collection::vec((0..3_usize, 0..6_usize, 1..4_usize, 0..3_u64), 0..4),
    ) {
        const KEYS: [&str; 4] = ["a", "bb", "ccc", "dddd"];
        const PARTS: [&str; 3] = ["p", "q", "r"];
        let store = store();
        let taken = Collected::default();
        let acts = |part: &Vec<Vec<(usize, i64)>>| -> Vec<Act> {
            let batches = part.iter().map(|items| {
                let pairs = items.iter().map(|&(key, value)| (KEYS[key], value));
                batch(&pairs.collect::<Vec<_>>())
            });
            batches.collect()
        };
        let whole: Vec<(&'static str, Vec<Act>)> =
            PARTS.into_iter().zip(parts.iter().map(acts)).collect();
        for (part, at, workers, millis) in stops {
            // One partition aborts where an earlier run may have been already: then it ends.
            let mut stopped = whole.clone();
            let part = part % stopped.len();
            stopped[part].1.truncate(at);
            stopped[part].1.push(Act::Abort);
            let interval = Duration::from_millis(millis);
            run(sums(&stopped, &taken), settings(store.path(), workers, interval)).unwrap();
        }
        run(sums(&whole, &taken), settings(store.path(), 2, Duration::ZERO)).unwrap();

        let items: Vec<(usize, i64)> = parts.into_iter().flatten().flatten().collect();
        let values: Vec<i64> = taken.items().iter().map(Value::int).collect();
        // Each item has made one running sum,
        let running = values.iter().filter(|value| **value > 0);
        prop_assert_eq!(running.count(), items.len());
        // and at the end the last run said what each key came to.
        let of_key = |key| items.iter().filter(move |(k, _)| *k == key).map(|(_, value)| value);
        let totals = (0..KEYS.len()).map(|key| -of_key(key).sum::<i64>());
        let mut totals: Vec<i64> = totals.filter(|total| *total < 0).collect();
        let mut finals: Vec<i64> = values.into_iter().filter(|value| *value < 0).collect();
        let mut last = finals.split_off(finals.len() - totals.len());
        totals.sort_unstable();
        last.sort_unstable();
        prop_assert_eq!(last, totals);
    }
}

/// A key that is forgotten and comes again within one epoch.
#[test]
fn key_that_comes_again_is_kept() {
    for interval in [Duration::ZERO, Duration::from_secs(10)] {
        let store = store();
        let first = vec![batch(&[("a", 5)]), batch(&[("a", -5)]), batch(&[("a", 3)])];
        let mut more = first.clone();
        more.push(batch(&[("a", 4)]));
        let taken = Collected::default();
        for acts in [first, more] {
            let flow = sums(&[("p", acts)], &taken);
            run(flow, settings(store.path(), 1, interval)).unwrap();
        }
        let values: Vec<i64> = taken.items().iter().map(Value::int).collect();
        assert_eq!(values, [5, 0, 3, -3, 7, -7]);
    }
}
