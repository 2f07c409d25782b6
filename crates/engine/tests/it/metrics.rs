//! What can be seen of a run from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use millstream_engine::metrics::{Distribution, Metrics, Notice, Phase, StepFigures};
use millstream_engine::run::{Caller, Ending, Settings, run};

use crate::integers::{Act, Builder, Integers, RunningSum, Stage, ints, pair, settings};

/// A caller that looks at the run.
struct Watcher(Arc<Metrics>);

impl Caller<Integers> for Watcher {
    fn interrupted(&self) -> Result<(), String> {
        Ok(())
    }

    fn worker_begins(&self) {}

    fn worker_tidies_up(&self) {}

    fn worker_ends(&self) {}

    fn interrupt_workers(&self, _also_tidying: bool) {}

    fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0)
    }
}

/// Runs a flow; gives what was counted, and what was told.
pub(crate) fn watch(flow: Builder, settings: &Settings) -> (Vec<StepFigures>, Vec<Notice>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    let metrics = Arc::new(Metrics::new(move |notice| {
        told.lock().unwrap().push(notice);
    }));
    assert_eq!(metrics.phase(), Phase::Joining);
    let caller: Arc<dyn Caller<Integers>> = Arc::new(Watcher(Arc::clone(&metrics)));
    run(&flow.plan(), settings, &caller).unwrap();
    assert_eq!(metrics.phase(), Phase::Stopping);
    let snapshot = metrics.snapshot();
    assert!(snapshot.gauges.is_none(), "the run is over");
    let notices = notices.lock().unwrap().clone();
    (snapshot.steps, notices)
}

/// Items in and out of each step, over all workers.
pub(crate) fn items(steps: &[StepFigures]) -> BTreeMap<&str, (Option<u64>, Option<u64>)> {
    let add = |total: &mut Option<u64>, more: Option<u64>| {
        if let Some(more) = more {
            *total = Some(total.unwrap_or(0) + more);
        }
    };
    let mut all = BTreeMap::new();
    for step in steps {
        let (taken, made) = all
            .entry(step.step.trim_start_matches("flow."))
            .or_default();
        add(taken, step.items_in);
        add(made, step.items_out);
    }
    all
}

#[test]
fn steps_are_counted_on_any_number_of_workers() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let batch = vec![pair("a", 1), pair("b", 2), pair("a", 3)];
        let parts = vec![("one", vec![Act::Batch(batch)])];
        let (keyed, _) = flow.script("in", parts);
        let spread = flow.redistribute("spread", keyed);
        let sums = flow.stateful("sum", spread, RunningSum);
        let _out = flow.collect("out", sums);
        let (steps, notices) = watch(flow, &settings(workers));
        let all = items(&steps);
        assert_eq!(all["in"], (None, Some(3)));
        // Each sum, and each last one.
        assert_eq!(all["sum"], (Some(3), Some(5)));
        assert_eq!(all["out"], (Some(5), None));
        assert!(!all.contains_key("spread"));
        let keys = steps.iter().filter_map(|step| step.keys).sum::<u64>();
        let calls = steps.iter().filter_map(|step| step.on_batch.as_ref());
        assert!(calls.map(Distribution::count).sum::<u64>() > 0);
        assert!(keys <= 2, "{keys}");
        let ended = Notice::Ended(Ending::Finished);
        assert_eq!(notices, [Notice::Started { workers }, ended]);
    }
}

#[test]
fn ends_of_a_fused_run_are_its_first_and_its_last_step() {
    // The mappers that native forms stand for do nothing, and all of them are seen.
    for (optimize, middle, last) in [(true, None, 2), (false, Some((Some(4), Some(4))), 4)] {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints([1, 2, 3, 4]));
        let first = flow.stage("first", numbers, Stage::Add(1));
        let second = flow.stage("second", first, Stage::Over(3));
        let third = flow.stage("third", second, Stage::Add(1));
        let _out = flow.collect("out", third);
        let settings = Settings {
            optimize,
            ..settings(1)
        };
        let (steps, _) = watch(flow, &settings);
        let all = items(&steps);
        assert_eq!(all["first"].0, Some(4));
        assert_eq!(all["third"].1, Some(last));
        assert_eq!(all.get("second").copied(), middle, "optimize: {optimize}");
        assert_eq!(all["out"], (Some(last), None));
    }
}
