//! Plans that can't run, and what they are told.

use millstream_engine::error::Error;
use millstream_engine::plan::{Core, PlanError};

use crate::integers::{Builder, ints};

fn refusal(flow: Builder) -> (PlanError, String) {
    match flow.run(1).unwrap_err() {
        Error::Plan(error) => {
            let text = error.to_string();
            (error, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn flow_without_input() {
    let (error, text) = refusal(Builder::default());
    assert!(matches!(error, PlanError::NoInput { .. }));
    assert_eq!(
        text,
        "dataflow `flow` has no input step, so it would have nothing to do; \
         add one with `millstream.operators.input`"
    );
}

#[test]
fn flow_without_output() {
    let mut flow = Builder::default();
    flow.acts("in", ints([1]));
    let (error, text) = refusal(flow);
    assert!(matches!(error, PlanError::NoOutput { .. }));
    assert_eq!(
        text,
        "dataflow `flow` has no output or inspect step, so nobody would see its results; \
         add one with `millstream.operators.output`"
    );
}

#[test]
fn inspecting_is_enough_of_an_output() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1]));
    let (_, seen) = flow.inspect("look", numbers);
    flow.run(1).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn step_that_exists_twice() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1]));
    flow.merge("same", &[numbers]);
    flow.merge("same", &[numbers]);
    let (_, text) = refusal(flow);
    assert_eq!(
        text,
        "step `flow.same` exists twice; give each step an id of its own"
    );
}

#[test]
fn stream_from_nowhere() {
    let mut flow = Builder::default();
    flow.merge("merge", &[7]);
    let (_, text) = refusal(flow);
    assert_eq!(
        text,
        "step `flow.merge` takes stream `7`, which no earlier step of this dataflow makes"
    );
}

#[test]
fn operator_with_too_few_streams() {
    let mut flow = Builder::default();
    flow.step("merge", &[], 1, Core::Merge);
    let (_, text) = refusal(flow);
    assert_eq!(
        text,
        "step `flow.merge` (`merge`) can't take 0 streams and make 1"
    );
}
