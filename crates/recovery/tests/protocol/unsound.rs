//! What happens without a rule.
//!
//! Each feature takes one rule of the protocol away. The checker must then find the history
//! that the rule is there to prevent, or nobody could tell whether the rule does anything.

#![cfg(any(
    feature = "unsound-no-execution-scope",
    feature = "unsound-no-fencing",
    feature = "unsound-sinks-do-not-gate"
))]

use crate::exhaustive::{counterexample, crashing_twice, taken_for_dead};
use crate::properties;
use crate::world::{Shape, Step};

/// Finds a history in which a property doesn't hold, and prints it.
#[allow(clippy::print_stdout, reason = "the history is the result")]
fn history(shape: &Shape, property: &'static str) -> Vec<Step> {
    let Some(path) = counterexample(shape, property) else {
        panic!("without the rule there must be a history against {property}");
    };
    let steps = path.into_actions();
    println!("against {property}:");
    for step in &steps {
        println!("  {step:?}");
    }
    steps
}

fn count(history: &[Step], step: Step) -> usize {
    history.iter().filter(|other| **other == step).count()
}

/// State is loaded that an execution wrote for an epoch which it did not commit, as another
/// has committed an epoch of that number: its item is counted twice. Two crashes are needed.
#[cfg(feature = "unsound-no-execution-scope")]
#[test]
fn item_is_counted_twice_after_two_crashes() {
    let shape = crashing_twice();
    for property in [properties::LOADS_THE_FOLD, properties::ONE_PATH] {
        let history = history(&shape, property);
        assert_eq!(count(&history, Step::Crash), 2);
        assert_eq!(count(&history, Step::Start), 3);
    }
    let once = Shape {
        crashes: 1,
        ..shape
    };
    assert!(counterexample(&once, properties::LOADS_THE_FOLD).is_none());
}

/// Two executions use one store at the same time, and both publish.
#[cfg(feature = "unsound-no-fencing")]
#[test]
fn two_executions_publish_the_same_item() {
    let shape = taken_for_dead();
    history(&shape, properties::FENCED_IS_WITHOUT_EFFECT);
    let history = history(&shape, properties::PUBLISHES_ONCE);
    assert_eq!(count(&history, Step::Stall), 1);
    assert_eq!(count(&history, Step::Start), 2);
}

/// An epoch is committed whose output is not safe, and its items are not read again.
#[cfg(feature = "unsound-sinks-do-not-gate")]
#[test]
fn output_is_lost() {
    history(&crashing_twice(), properties::NOTHING_IS_LOST);
}

/// Nothing needs to crash for a run to end before its output is out.
#[cfg(feature = "unsound-sinks-do-not-gate")]
#[test]
fn run_ends_before_its_output_is_published() {
    let shape = Shape {
        crashes: 0,
        ..crashing_twice()
    };
    history(&shape, properties::ENDS_WHEN_DONE);
    history(&shape, properties::COMES_TO_AN_END);
}
