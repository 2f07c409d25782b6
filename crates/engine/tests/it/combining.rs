//! Values that are combined before they go to the worker that owns their key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream_engine::logic::{COMBINED, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::{Changes, Recovery, RetryPolicy, Saved};
use millstream_engine::run::Settings;
use millstream_recovery::store::init;
use tempfile::TempDir;

use crate::integers::{
    Act, Builder, Collected, IntFailure, Integers, Value, Word, number, pair, read_number, settings,
};
use crate::metrics::{items, watch};

/// How many values arrived at the workers that own their keys.
#[derive(Default)]
struct Arrived {
    raw: AtomicU64,
    combined: AtomicU64,
}

impl Arrived {
    fn counts(&self) -> (u64, u64) {
        let [raw, combined] = [&self.raw, &self.combined].map(|it| it.load(Ordering::Relaxed));
        (raw, combined)
    }
}

/// Sums the values of each key, and emits the sum at the end.
struct Total(Arc<Arrived>);

struct TotalLogic {
    arrived: Option<Arc<Arrived>>,
    are_combined: bool,
}

impl StatefulBatch<Integers> for Total {
    fn form(&self) -> String {
        "Total".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers> {
        KeyedStep::new(TotalLogic {
            arrived: Some(Arc::clone(&self.0)),
            are_combined: false,
        })
    }

    fn start_combining(&self) -> Option<KeyedStep<Integers>> {
        Some(KeyedStep::new(TotalLogic {
            arrived: None,
            are_combined: false,
        }))
    }
}

impl KeyedLogic<Integers> for TotalLogic {
    type State = i64;

    fn build(&mut self, (): (), _key: &Word) -> Result<i64, IntFailure> {
        Ok(0)
    }

    fn resume(&mut self, (): (), _key: &Word, saved: &Saved) -> Result<i64, IntFailure> {
        Ok(read_number(saved))
    }

    fn snapshot(&mut self, (): (), sum: &mut i64) -> Result<Saved, IntFailure> {
        Ok(number(*sum))
    }

    fn begin_batch(&mut self, input: usize) {
        self.are_combined = input == COMBINED;
    }

    fn on_batch(
        &mut self,
        (): (),
        sum: &mut i64,
        values: &mut Vec<Value>,
        _emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        if let Some(arrived) = &self.arrived {
            let count = if self.are_combined {
                &arrived.combined
            } else {
                &arrived.raw
            };
            count.fetch_add(values.len() as u64, Ordering::Relaxed);
        }
        *sum += values.drain(..).map(|value| value.int()).sum::<i64>();
        Ok(Fate::Retain)
    }

    fn on_eof(
        &mut self,
        (): (),
        sum: &mut i64,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        emit.push(Value::Int(*sum));
        Ok(Fate::Discard)
    }
}

/// Every worker counts to `until`, and adds up ones by a key of each number; gives the sums,
/// and what arrived.
fn ones(
    workers: usize,
    until: i64,
    key: impl Fn(i64) -> i64 + Send + Sync + 'static,
) -> (BTreeMap<String, i64>, (u64, u64)) {
    let arrived = Arc::new(Arrived::default());
    let mut flow = Builder::default();
    let numbers = flow.counter("in", until, 1_000);
    let keyed = flow.map("key", numbers, move |items| {
        let pair = |item: &Value| pair(&key(item.int()).to_string(), 1);
        Ok(items.iter().map(pair).collect())
    });
    let totals = flow.stateful("total", keyed, Total(Arc::clone(&arrived)));
    let out = flow.collect("out", totals);
    flow.run(workers).unwrap();
    (sums(&out), arrived.counts())
}

fn sums(out: &Collected) -> BTreeMap<String, i64> {
    let items = out.items().into_iter();
    let sums = items.map(|item| match item {
        Value::Pair(key, sum) => (key, sum),
        Value::Int(_) => panic!("not keyed: {item:?}"),
    });
    let all: Vec<_> = sums.collect();
    let count = all.len();
    let sums: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(sums.len(), count, "a key has one sum");
    sums
}

#[test]
fn few_keys_cross_as_few_values() {
    for workers in 2..=3 {
        let (sums, arrived) = ones(workers, 30_000, |number| number % 3);
        let each = 10_000 * i64::try_from(workers).unwrap();
        let expected = ["0", "1", "2"].map(|key| (key.to_owned(), each));
        assert_eq!(sums, BTreeMap::from(expected));
        assert_eq!(arrived, (0, 3 * workers as u64));
    }
}

#[test]
fn each_value_is_counted_once() {
    let mut flow = Builder::default();
    let numbers = flow.counter("in", 10_000, 100);
    let keyed = flow.map("key", numbers, |items| {
        Ok(items.iter().map(|_| pair("only", 1)).collect())
    });
    let totals = flow.stateful("total", keyed, Total(Arc::default()));
    flow.collect("out", totals);
    let (steps, _) = watch(flow, &settings(2));
    assert_eq!(items(&steps)["total"], (Some(20_000), Some(1)));
}

#[test]
fn one_worker_has_nothing_to_combine_for() {
    let (sums, arrived) = ones(1, 30_000, |number| number % 3);
    assert_eq!(sums.values().sum::<i64>(), 30_000);
    assert_eq!(arrived, (30_000, 0));
}

#[test]
fn keys_that_are_all_different_go_on_as_they_are() {
    let until = 300_000;
    let (sums, (raw, combined)) = ones(2, until, |number| number);
    assert_eq!(sums.len(), 300_000);
    assert!(sums.values().all(|&sum| sum == 2));
    assert_eq!(raw + combined, 600_000);
    // Each worker has tried it once.
    assert!((2 << 17..3 << 17).contains(&combined), "{combined}");
}

#[test]
fn keys_that_come_again_after_they_were_sent_begin_anew() {
    let keys = 140_000;
    let again = 5_000;
    let (sums, arrived) = ones(2, 4 * (keys + again), move |number| number / 4 % keys);
    assert_eq!(sums.len(), 140_000);
    for (key, sum) in sums {
        let comes_again = key.parse::<i64>().unwrap() < again;
        assert_eq!(sum, if comes_again { 16 } else { 8 }, "{key}");
    }
    // Those that come again have been sent before, by either worker.
    assert_eq!(arrived, (0, 2 * 145_000));
}

#[test]
fn what_is_held_is_of_no_later_epoch() {
    for workers in 1..=3 {
        let store = TempDir::new().unwrap();
        init(store.path(), 1).unwrap();
        let out = Collected::default();
        let batch = |value| Act::Batch(vec![pair("a", value), pair("b", value)]);
        // Each run brings what the last one lost, and a little more.
        let acts = [1, 2, 4, 8, 16, 32].map(batch);
        for stop in 1..=acts.len() {
            let mut flow = Builder::default();
            let mut part = acts[..stop].to_vec();
            if stop < acts.len() {
                part.push(Act::Abort);
            }
            let other = acts[..stop.min(3)].to_vec();
            let (keyed, _) = flow.script("in", vec![("p", part), ("q", other)]);
            let totals = flow.stateful("total", keyed, Total(Arc::default()));
            flow.collect_parts_to("out", totals, vec!["x"], &out);
            let recovery = Recovery {
                directory: store.path().to_owned(),
                changes: Changes::default(),
                retry: RetryPolicy::default(),
            };
            let settings = Settings {
                epoch_interval: Duration::ZERO,
                recovery: Some(recovery),
                ..settings(workers)
            };
            flow.run_with(settings).unwrap();
        }
        assert_eq!(out.items(), [Value::Int(63 + 7), Value::Int(63 + 7)]);
    }
}
