//! State per key: routing, order, timers, the end.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_engine::clock::{Clock, Micros, SystemClock};
use millstream_engine::host::Failure;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};

use millstream_engine::recovery::Saved;

use crate::integers::{
    Act, Builder, IntFailure, Integers, RunningSum, Value, Word, ints, number, pair, read_number,
    settings,
};

#[test]
fn keys_of_a_batch_are_called_in_order_with_all_their_values() {
    let mut flow = Builder::default();
    let batch = vec![pair("b", 1), pair("a", 2), pair("b", 3), pair("a", 4)];
    let keyed = flow.acts("in", vec![Act::Batch(batch)]);
    let sums = flow.stateful("sum", keyed, RunningSum);
    let out = flow.collect("out", sums);
    flow.run(1).unwrap();
    let expected = [
        pair("a", 2),
        pair("a", 6),
        pair("b", 1),
        pair("b", 4),
        pair("a", -6),
        pair("b", -4),
    ];
    assert_eq!(out.items(), expected);
}

/// Emits what `RunningSum` does, but its keys are called as they come.
struct Unordered(RunningSum);

impl StatefulBatch<Integers> for Unordered {
    fn form(&self) -> String {
        "Unordered".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers> {
        KeyedStep::new(Self(RunningSum))
    }
}

impl KeyedLogic<Integers> for Unordered {
    type State = i64;

    fn build(&mut self, (): (), key: &Word) -> Result<i64, IntFailure> {
        self.0.build((), key)
    }

    fn resume(&mut self, (): (), key: &Word, saved: &Saved) -> Result<i64, IntFailure> {
        self.0.resume((), key, saved)
    }

    fn snapshot(&mut self, (): (), sum: &mut i64) -> Result<Saved, IntFailure> {
        self.0.snapshot((), sum)
    }

    fn on_batch(
        &mut self,
        (): (),
        sum: &mut i64,
        values: &mut Vec<Value>,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        self.0.on_batch((), sum, values, emit)
    }

    fn is_called_in_order(&self) -> bool {
        false
    }
}

#[test]
fn what_keys_emit_is_in_order_even_if_they_are_called_as_they_come() {
    let mut flow = Builder::default();
    let batch = |keys: &[&str]| Act::Batch(keys.iter().map(|key| pair(key, 1)).collect());
    let acts = vec![
        batch(&["long key c", "long key b", "a", "long key b"]),
        batch(&["long key b", "a"]),
        batch(&["d", "long key c", "a", "d"]),
    ];
    let keyed = flow.acts("in", acts);
    let sums = flow.stateful("sum", keyed, Unordered(RunningSum));
    let out = flow.collect("out", sums);
    flow.run(1).unwrap();
    let expected = [
        pair("a", 1),
        pair("long key b", 1),
        pair("long key b", 2),
        pair("long key c", 1),
        pair("a", 2),
        pair("long key b", 3),
        pair("a", 3),
        pair("d", 1),
        pair("d", 2),
        pair("long key c", 2),
    ];
    assert_eq!(out.items(), expected);
}

#[test]
fn each_key_is_seen_by_one_worker_only() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let parts = vec![("a", ints(0..300)), ("b", ints(300..600))];
        let (numbers, _) = flow.script("in", parts);
        let keyed = flow.map("key", numbers, |items| {
            let key = |value: i64| format!("key {}", value % 7);
            Ok(items.iter().map(|i| pair(&key(i.int()), 1)).collect())
        });
        let sums = flow.stateful("sum", keyed, RunningSum);
        let out = flow.collect("out", sums);
        flow.run(workers).unwrap();

        let mut finals = BTreeMap::new();
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for (worker, item) in out.0.lock().unwrap().iter() {
            let Value::Pair(key, value) = item else {
                panic!("not keyed: {item:?}")
            };
            assert_eq!(owners.entry(key.clone()).or_insert(worker.clone()), worker);
            if *value < 0 {
                finals.insert(key.clone(), -value);
            }
        }
        assert_eq!(finals.len(), 7);
        assert_eq!(finals.values().sum::<i64>(), 600);
    }
}

#[test]
fn discarded_key_begins_anew() {
    let mut flow = Builder::default();
    let acts = [5, -5, 7]
        .map(|value| Act::Batch(vec![pair("a", value)]))
        .to_vec();
    let keyed = flow.acts("in", acts);
    let sums = flow.stateful("sum", keyed, RunningSum);
    let out = flow.collect("out", sums);
    flow.run(1).unwrap();
    assert_eq!(
        out.items(),
        [pair("a", 5), pair("a", 0), pair("a", 7), pair("a", -7)]
    );
}

#[test]
fn item_without_a_key_stops_the_run() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints([1]));
        let sums = flow.stateful("sum", numbers, RunningSum);
        flow.collect("out", sums);
        let error = flow.run(workers).unwrap_err();
        let text = format!("{error:?}");
        assert!(
            text.contains("flow.sum") && text.contains("splitting"),
            "{text}"
        );
    }
}

/// Asks for a notification, and emits how often it came. What it asks for depends on
/// the value it got: 0 for none, 1 for soon, 2 for a moment long ago.
struct Alarm(Asking);

struct AlarmState {
    at: Option<Micros>,
    rang: i64,
}

impl StatefulBatch<Integers> for Alarm {
    fn form(&self) -> String {
        "Alarm".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers> {
        KeyedStep::new(Self(self.0))
    }
}

impl KeyedLogic<Integers> for Alarm {
    type State = AlarmState;

    fn build(&mut self, (): (), _key: &Word) -> Result<AlarmState, IntFailure> {
        Ok(AlarmState { at: None, rang: 0 })
    }

    fn resume(&mut self, (): (), _key: &Word, saved: &Saved) -> Result<AlarmState, IntFailure> {
        Ok(AlarmState {
            at: None,
            rang: read_number(saved),
        })
    }

    fn snapshot(&mut self, (): (), state: &mut AlarmState) -> Result<Saved, IntFailure> {
        Ok(number(state.rang))
    }

    fn on_batch(
        &mut self,
        (): (),
        state: &mut AlarmState,
        values: &mut Vec<Value>,
        _emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        let soon = SystemClock::new().wall().after(Duration::from_millis(40));
        for value in values.drain(..) {
            state.at = match value.int() {
                0 => None,
                1 => Some(soon),
                2 => Some(Micros(0)),
                _ => return Err(Failure::new("setting the alarm", "unknown".to_owned())),
            };
        }
        Ok(Fate::Retain)
    }

    fn on_notify(
        &mut self,
        (): (),
        state: &mut AlarmState,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        state.rang += 1;
        emit.push(Value::Int(state.rang));
        Ok(Fate::Retain)
    }

    fn notify_at(&mut self, (): (), state: &mut AlarmState) -> Result<Option<Micros>, IntFailure> {
        Ok(state.at)
    }

    fn asking(&self) -> Asking {
        self.0
    }
}

/// What rings, whether keys are asked at once or later.
fn rings(workers: usize, acts: Vec<Act>) -> Vec<Value> {
    let [one, other] = [Asking::AtOnce, Asking::Later].map(|asking| {
        let mut flow = Builder::default();
        let keyed = flow.acts("in", acts.clone());
        let alarms = flow.stateful("alarm", keyed, Alarm(asking));
        let out = flow.collect("out", alarms);
        flow.run_with(settings(workers)).unwrap();
        out.items()
    });
    assert_eq!(one, other);
    one
}

fn set(value: i64) -> Act {
    Act::Batch(vec![pair("a", value)])
}

fn pause() -> Act {
    Act::Sleep(Duration::from_millis(150))
}

#[test]
fn timer_rings_once() {
    for workers in 1..=3 {
        assert_eq!(rings(workers, vec![set(1), pause()]), [pair("a", 1)]);
    }
}

#[test]
fn timer_is_cancelled_by_none() {
    for workers in 1..=3 {
        assert_eq!(rings(workers, vec![set(1), set(0), pause()]), []);
    }
}

#[test]
fn timer_for_a_moment_long_ago_rings_once_per_batch_not_for_ever() {
    for workers in 1..=3 {
        let acts = vec![set(2), pause(), set(2), pause()];
        assert_eq!(rings(workers, acts), [pair("a", 1), pair("a", 2)]);
    }
}

#[test]
fn failure_names_the_key() {
    let mut flow = Builder::default();
    let keyed = flow.acts("in", vec![set(3)]);
    let alarms = flow.stateful("alarm", keyed, Alarm(Asking::AtOnce));
    flow.collect("out", alarms);
    let text = format!("{:?}", flow.run(1).unwrap_err());
    assert!(text.contains(r#"key: Some("a")"#), "{text}");
}
