//! One watermark for the whole stream: who is due by it, and who is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, TimedBatch, TimedItem};
use millstream_engine::recovery::Saved;
use millstream_engine::window::Clock;

use crate::integers::{Act, Builder, IntFailure, Integers, Value, Word, number, pair, read_number};

/// Each value is its own timestamp. A key is due ten after its latest, emits the watermark
/// then, and is forgotten.
#[derive(Clone, Default)]
struct TenLater {
    built: Arc<AtomicUsize>,
    watermark: i64,
}

impl TimedBatch<Integers> for TenLater {
    fn form(&self) -> String {
        "TenLater".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers, TimedItem<Integers>> {
        KeyedStep::new(self.clone())
    }

    fn clock(&self) -> Clock {
        Clock::Event { wait: 0 }
    }

    fn idle_timeout(&self) -> i64 {
        i64::MAX
    }

    fn now(&self, (): ()) -> Result<Micros, IntFailure> {
        Ok(Micros(0))
    }

    fn timestamp(&self, (): (), value: &Value) -> Result<i64, IntFailure> {
        Ok(value.int())
    }
}

impl KeyedLogic<Integers, TimedItem<Integers>> for TenLater {
    type State = i64;

    fn build(&mut self, (): (), _key: &Word) -> Result<i64, IntFailure> {
        self.built.fetch_add(1, Ordering::Relaxed);
        Ok(i64::MIN)
    }

    fn resume(&mut self, (): (), _key: &Word, saved: &Saved) -> Result<i64, IntFailure> {
        Ok(read_number(saved))
    }

    fn snapshot(&mut self, (): (), latest: &mut i64) -> Result<Saved, IntFailure> {
        Ok(number(*latest))
    }

    fn on_batch(
        &mut self,
        (): (),
        latest: &mut i64,
        values: &mut Vec<TimedItem<Integers>>,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        for timed in values.drain(..) {
            *latest = timed.timestamp.max(*latest);
            if timed.timestamp < timed.watermark {
                emit.push(Value::Int(-timed.timestamp));
            }
        }
        Ok(Fate::Retain)
    }

    fn on_notify(
        &mut self,
        (): (),
        _latest: &mut i64,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        emit.push(Value::Int(self.watermark));
        Ok(Fate::Discard)
    }

    fn notify_at(&mut self, (): (), latest: &mut i64) -> Result<Option<Micros>, IntFailure> {
        Ok(Some(Micros(*latest + 10)))
    }

    fn asking(&self) -> Asking {
        Asking::AtOnce
    }

    fn advance(&mut self, watermark: i64) {
        self.watermark = watermark;
    }
}

fn batch(pairs: &[(&'static str, i64)]) -> Act {
    Act::Batch(pairs.iter().map(|&(key, value)| pair(key, value)).collect())
}

#[test]
fn quiet_key_is_due_by_others_and_forgotten() {
    let logic = TenLater::default();
    let mut flow = Builder::default();
    let keyed = flow.acts(
        "in",
        vec![
            batch(&[("a", 1)]),
            batch(&[("b", 50)]),
            batch(&[("a", 60), ("c", 40)]),
        ],
    );
    let timed = flow.timed("timed", keyed, logic.clone());
    let out = flow.collect("out", timed);
    flow.run(1).unwrap();
    // The values of a batch come before what is due by them.
    let expected = [pair("a", 50), pair("c", -40), pair("b", 60), pair("c", 60)];
    assert_eq!(out.items(), expected);
    assert_eq!(logic.built.load(Ordering::Relaxed), 4);
}

#[test]
fn watermark_is_the_same_on_every_worker() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let keys = ["a", "b", "c", "d", "e", "f"];
        let mut acts: Vec<Act> = keys.iter().map(|&key| batch(&[(key, 1)])).collect();
        acts.push(batch(&[("a", 50)]));
        let keyed = flow.acts("in", acts);
        let timed = flow.timed("timed", keyed, TenLater::default());
        let out = flow.collect("out", timed);
        flow.run(workers).unwrap();
        let mut items = out.items();
        items.sort_by_key(|item| format!("{item:?}"));
        assert_eq!(
            items,
            keys[1..]
                .iter()
                .map(|key| pair(key, 50))
                .collect::<Vec<_>>()
        );
    }
}

/// Behind `redistribute`, the workers that send are the lanes; they may be ahead of one
/// another, but what one of them sends is in order. One that reads no partition holds
/// nobody back.
#[test]
fn pieces_of_a_stream_that_meet_again_are_not_late() {
    for (workers, partitions) in [(1, 3), (2, 1), (2, 2), (3, 2), (3, 3)] {
        let mut flow = Builder::default();
        let names = ["one", "other", "third"].into_iter().take(partitions);
        let parts = names.zip([0, 1_000, 500]).map(|(name, ahead)| {
            let mut acts: Vec<Act> = (0..100)
                .map(|at| batch(&[("a", at + ahead), ("b", at + ahead)]))
                .collect();
            if ahead == 0 {
                acts.insert(0, batch(&[("quiet", 0)]));
            }
            (name, acts)
        });
        let (keyed, _) = flow.script("in", parts.collect());
        let spread = flow.redistribute("spread", keyed);
        let timed = flow.timed("timed", spread, TenLater::default());
        let out = flow.collect("out", timed);
        flow.run(workers).unwrap();
        let values = |wanted: &str| -> Vec<i64> {
            let items = out.items().into_iter();
            let values = items.filter_map(|item| match item {
                Value::Pair(key, value) if key == wanted => Some(value),
                _ => None,
            });
            values.collect()
        };
        let is_late = |value: &i64| *value < 0;
        let all = [values("a"), values("b")].concat();
        assert!(!all.iter().any(is_late), "{workers} {partitions} {all:?}");
        // Nothing is emitted at the end, so that this was before.
        let [watermark] = values("quiet")[..] else {
            panic!("a quiet key must be due once");
        };
        assert!(watermark >= 10, "{watermark}");
    }
}
