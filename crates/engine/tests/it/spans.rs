//! What a tracer is told of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_engine::epoch::Epoch;
use millstream_engine::run::{Caller, Ending, run};
use millstream_engine::spans::{Call, Origin, Outcome, Span, Tracer};

use crate::integers::{
    Act, Builder, IntFailure, Integers, RunningSum, Stage, ints, pair, settings,
};

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    name: &'static str,
    steps: Vec<String>,
    worker: usize,
    items: Option<usize>,
    /// The trace that it is of.
    trace: u128,
    is_first: bool,
    failed: bool,
}

/// Notes all calls; each that begins a trace numbers a new one.
#[derive(Default)]
struct Notes {
    traces: AtomicU64,
    ended: Arc<Mutex<Vec<Ended>>>,
}

struct Note {
    ended: Ended,
    to: Arc<Mutex<Vec<Ended>>>,
}

impl Tracer<Integers> for Notes {
    fn begin(
        &self,
        (): (),
        call: &Call<'_>,
    ) -> Result<Option<Box<dyn Span<Integers>>>, IntFailure> {
        let next = || u128::from(self.traces.fetch_add(1, Ordering::Relaxed));
        let ended = Ended {
            name: call.name,
            steps: call.site.map(|site| site.steps.clone()).unwrap_or_default(),
            worker: call.site.map_or(0, |site| site.worker),
            items: call.items,
            trace: call.origin.map_or_else(next, |origin| origin.trace),
            is_first: call.origin.is_none(),
            failed: false,
        };
        let to = Arc::clone(&self.ended);
        Ok(Some(Box::new(Note { ended, to })))
    }

    fn committed(&self, (): (), _epoch: Epoch, _took: Duration) -> Result<(), IntFailure> {
        Ok(())
    }
}

impl Span<Integers> for Note {
    fn origin(&self, (): ()) -> Option<Origin> {
        Some(Origin {
            trace: self.ended.trace,
            span: 1,
            is_recorded: true,
        })
    }

    fn end(
        mut self: Box<Self>,
        (): (),
        items: Option<usize>,
        outcome: Outcome<'_, Integers>,
    ) -> Result<(), IntFailure> {
        self.ended.items = items.or(self.ended.items);
        self.ended.failed = !matches!(outcome, Outcome::Done);
        self.to.lock().unwrap().push(self.ended);
        Ok(())
    }
}

/// A caller that traces its run.
struct Traced(Arc<Notes>);

impl Caller<Integers> for Traced {
    fn interrupted(&self) -> Result<(), String> {
        Ok(())
    }

    fn worker_begins(&self) {}

    fn worker_tidies_up(&self) {}

    fn worker_ends(&self) {}

    fn interrupt_workers(&self, _also_tidying: bool) {}

    fn tracer(&self) -> Option<Arc<dyn Tracer<Integers>>> {
        let tracer = Arc::clone(&self.0);
        Some(tracer)
    }
}

/// Runs a flow; gives all calls, and whether it ended well.
fn traced(flow: Builder, workers: usize) -> (Vec<Ended>, bool) {
    let notes = Arc::new(Notes::default());
    let caller: Arc<dyn Caller<Integers>> = Arc::new(Traced(Arc::clone(&notes)));
    let outcome = run(&flow.plan(), &settings(workers), &caller);
    let ended = notes.ended.lock().unwrap().clone();
    (ended, matches!(outcome, Ok(Ending::Finished)))
}

/// How many items each kind of call was done with, over all that belong to traces of batches.
fn items(ended: &[Ended]) -> BTreeMap<&'static str, usize> {
    let polled = ended
        .iter()
        .filter(|call| call.name == "next_batch")
        .map(|call| call.trace);
    let polled: BTreeSet<u128> = polled.collect();
    let mut items = BTreeMap::new();
    for call in ended.iter().filter(|call| polled.contains(&call.trace)) {
        *items.entry(call.name).or_default() += call.items.unwrap_or(0);
    }
    items
}

#[test]
fn traces_lead_from_sources_to_sinks_on_any_number_of_workers() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let batch = |first| Act::Batch(vec![pair("a", first), pair("b", first + 1)]);
        let (keyed, _) = flow.script("in", vec![("one", vec![batch(1), batch(3)])]);
        let spread = flow.redistribute("spread", keyed);
        let sums = flow.stateful("sum", spread, RunningSum);
        let _out = flow.collect("out", sums);
        let (ended, is_well) = traced(flow, workers);
        assert!(is_well);
        let items = items(&ended);
        assert_eq!(items["next_batch"], 4);
        assert_eq!(items["on_batch"], 4);
        assert_eq!(items["write_batch"], 4);
        assert!(ended.iter().all(|call| call.worker < workers));
        // The last sums of all, which come at the end, begin traces of their own.
        let ends = ended.iter().filter(|call| call.name == "on_time");
        assert!(ends.clone().count() > 0);
        assert!(ends.into_iter().all(|call| call.is_first));
        let written = ended.iter().filter(|call| call.name == "write_batch");
        assert!(written.into_iter().all(|call| !call.is_first));
    }
}

#[test]
fn fused_steps_are_one_call_that_names_them_all() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1, 2, 3, 4]));
    let first = flow.stage("first", numbers, Stage::Add(1));
    let second = flow.stage("second", first, Stage::Over(3));
    let _out = flow.collect("out", second);
    let (ended, _) = traced(flow, 1);
    let processed: Vec<_> = ended.iter().filter(|call| call.name == "process").collect();
    assert!(!processed.is_empty());
    for call in processed {
        assert_eq!(call.steps, ["flow.first", "flow.second"]);
        assert!(!call.failed);
    }
}

#[test]
fn a_call_that_fails_says_so() {
    let mut flow = Builder::default();
    let parts = vec![("one", vec![Act::Fail("no")])];
    let (numbers, _) = flow.script("in", parts);
    let _out = flow.collect("out", numbers);
    let (ended, is_well) = traced(flow, 1);
    assert!(!is_well);
    assert!(
        ended
            .iter()
            .any(|call| call.name == "next_batch" && call.failed)
    );
}
