//! How runs end: well, aborted, failed, interrupted, by a defect.

use std::time::Duration;

use millstream_engine::error::Error;
use millstream_engine::run::{Ending, run};

use crate::integers::{Act, Builder, STOP, Value, caller, ints, settings};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn abort_stops_every_worker_and_closes_every_partition() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let (endless, doors) = flow.script(
            "in",
            vec![
                ("a", vec![Act::Sleep(HOUR)]),
                ("b", vec![Act::Batch(vec![Value::Int(1)]), Act::Abort]),
                ("c", vec![Act::Sleep(HOUR)]),
            ],
        );
        flow.collect("out", endless);
        assert_eq!(flow.run(workers).unwrap(), Ending::Aborted);
        assert!(doors.opened_and_closed().contains(&"b".to_owned()));
    }
}

#[test]
fn failure_in_a_source_names_the_step_and_the_worker() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let (numbers, doors) = flow.script(
            "in",
            vec![
                ("a", vec![Act::Sleep(HOUR)]),
                ("b", vec![Act::Fail("broken")]),
            ],
        );
        flow.collect("out", numbers);
        let error = flow.run(workers).unwrap_err();
        let Error::Step {
            step,
            worker,
            failure,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(&*step.0, "flow.in");
        assert_eq!(worker, Some(1 % workers));
        assert_eq!(
            (failure.doing.as_str(), failure.cause.as_str()),
            ("reading", "broken")
        );
        assert!(doors.opened_and_closed().contains(&"b".to_owned()));
    }
}

#[test]
fn failure_in_a_mapper_stops_what_comes_after() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..10));
        let mapped = flow.map("map", numbers, |items| {
            if items.iter().any(|item| item.int() == 3) {
                return Err("three".to_owned());
            }
            Ok(items)
        });
        let out = flow.collect("out", mapped);
        let error = flow.run(workers).unwrap_err();
        assert!(matches!(error, Error::Step { failure, .. } if failure.cause == "three"));
        assert!(out.items().iter().all(|item| item.int() < 3));
    }
}

#[test]
fn caller_can_interrupt() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let (asleep, doors) = flow.script("in", vec![("a", vec![Act::Sleep(HOUR)])]);
        flow.collect("out", asleep);
        let stop = caller(|| Err(STOP.to_owned()));
        let error = run(&flow.plan(), &settings(workers), &stop);
        assert!(matches!(error, Err(Error::Interrupted(why)) if why == STOP));
        assert_eq!(doors.opened_and_closed(), ["a"]);
    }
}

#[test]
fn defect_on_one_worker_stops_all() {
    for workers in 1..=3 {
        let mut flow = Builder::default();
        let (numbers, _) = flow.script(
            "in",
            vec![("a", vec![Act::Sleep(HOUR)]), ("b", vec![Act::Panic])],
        );
        flow.collect("out", numbers);
        let error = flow.run(workers).unwrap_err();
        assert!(matches!(error, Error::Internal(what) if what.ends_with("panicked: a defect")));
    }
}
