//! Sources: partitions, epochs, sleeping.

use std::time::Duration;

use millstream_engine::clock::{Clock, SystemClock};

use crate::integers::{Act, Builder, Value, epoch_per_batch, ints};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn every_partition_is_read_once_and_closed() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let parts = vec![
            ("a", ints(0..10)),
            ("b", ints(10..20)),
            ("c", ints(20..30)),
            ("d", vec![]),
        ];
        let (numbers, doors) = flow.script("in", parts);
        let out = flow.collect("out", numbers);
        flow.run(workers).unwrap();
        assert_eq!(out.sorted(), (0..30).map(Value::Int).collect::<Vec<_>>());
        assert_eq!(doors.opened_and_closed(), ["a", "b", "c", "d"]);
    }
}

#[test]
fn source_without_partitions_ends_at_once() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let (nothing, _) = flow.script("in", vec![]);
        let out = flow.collect("out", nothing);
        flow.run(workers).unwrap();
        assert_eq!(out.items(), []);
    }
}

#[test]
fn dynamic_source_is_read_on_every_worker() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let numbers = flow.counter("in", 5, 2);
        let out = flow.collect("out", numbers);
        flow.run(workers).unwrap();
        let expected: Vec<_> = (0..5).flat_map(|n| vec![Value::Int(n); workers]).collect();
        assert_eq!(out.sorted(), expected);
    }
}

#[test]
fn interval_of_zero_is_an_epoch_per_batch() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints(0..4));
    let (_, seen) = flow.inspect("look", numbers);
    flow.run_with(epoch_per_batch(1)).unwrap();
    let epochs: Vec<_> = seen.lock().unwrap().iter().map(|(_, e, _)| e.0).collect();
    assert_eq!(epochs, [1, 2, 3, 4]);
}

/// A source that sleeps for an hour must hold nobody back, whatever the epochs; the
/// other one gets through and then stops the run.
#[test]
fn sleeping_source_stalls_nobody() {
    for workers in 1..=3 {
        for settings in [crate::integers::settings(workers), epoch_per_batch(workers)] {
            let mut flow = Builder::default();
            let asleep = flow.acts("asleep", vec![Act::Sleep(HOUR)]);
            let mut acts = ints(0..200);
            // Long enough for items that are on their way to arrive.
            acts.extend([Act::Sleep(Duration::from_millis(300)), Act::Abort]);
            let busy = flow.acts("busy", acts);
            let merged = flow.merge("merge", &[asleep, busy]);
            let spread = flow.redistribute("spread", merged);
            let out = flow.collect("out", spread);
            flow.run_with(settings).unwrap();
            assert_eq!(out.sorted(), (0..200).map(Value::Int).collect::<Vec<_>>());
        }
    }
}

#[test]
fn source_is_not_asked_before_it_is_awake() {
    let mut flow = Builder::default();
    let nap = Duration::from_millis(120);
    let numbers = flow.acts("in", vec![Act::Sleep(nap), Act::Batch(vec![Value::Int(1)])]);
    let out = flow.collect("out", numbers);
    let clock = SystemClock::new();
    flow.run(1).unwrap();
    assert!(clock.monotonic() >= nap);
    assert_eq!(out.items(), [Value::Int(1)]);
}
