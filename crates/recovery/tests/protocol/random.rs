//! Random histories of larger worlds, with a crash anywhere.
//!
//! What a world is made of and what happens in it are drawn, and a failing history shrinks to
//! a short one. The reference is the plain list of inputs: in the end, each was published once.

#![cfg(not(any(
    feature = "unsound-no-execution-scope",
    feature = "unsound-no-fencing",
    feature = "unsound-sinks-do-not-gate"
)))]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::properties::{ALWAYS, all_is_published};
use crate::world::{Shape, Step, World};

/// One draw: whether a fault is wanted, and which of the steps that there are.
type Draw = (bool, Index);

/// So many steps lead to the end of any world that is drawn here, after its last fault.
const LONGEST_WAY: usize = 5_000;

prop_compose! {
    fn shapes()(
        inputs in vec(vec(0..4_u8, 0..8), 1..=4),
        partitions in 1..=3_usize,
        epochs in 1..=5_usize,
        plain_sink: bool,
        crashes in 0..=5_u8,
        stalls in 0..=3_u8,
        drains in 0..=2_u8,
        losses in 0..=5_u8,
        delays: bool,
        partial_writes: bool,
    ) -> Shape {
        Shape {
            inputs,
            partitions,
            epochs,
            plain_sink,
            crashes,
            stalls,
            drains,
            delays,
            losses,
            partial_writes,
            sequences: true,
            sabotage: None,
        }
    }
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let is_fault = prop::bool::weighted(0.05);
    vec((is_fault, any::<Index>()), 0..400)
}

/// The drawn one of the steps of the wanted kind, or of the other kind if there is none.
fn choose(steps: &[Step], (is_fault, index): &Draw) -> Option<Step> {
    let (faults, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.is_fault());
    let of_kind = if *is_fault && !faults.is_empty() {
        faults
    } else {
        others
    };
    (!of_kind.is_empty()).then(|| *index.get(&of_kind))
}

/// Lets steps happen as they are drawn, then those that lead to the end, and asks for every
/// property after each.
fn live(shape: &Shape, draws: &[Draw]) -> Result<World, TestCaseError> {
    let mut world = World::new(shape);
    let mut history = Vec::new();
    let mut draws = draws.iter();
    for _ in 0..LONGEST_WAY {
        let steps = world.steps(shape);
        let step = match draws.next() {
            Some(draw) => choose(&steps, draw),
            None => steps.into_iter().find(|step| !step.is_fault()),
        };
        let Some(step) = step else { break };
        history.push(step);
        world.take(shape, step);
        for (name, holds) in ALWAYS {
            prop_assert!(
                holds(shape, &world),
                "{name}; it does not after {history:#?}"
            );
        }
    }
    Ok(world)
}

proptest! {
    #[test]
    fn crash_anywhere_changes_nothing(shape in shapes(), draws in draws()) {
        let world = live(&shape, &draws)?;
        prop_assert!(all_is_published(&shape, &world));
        let loaded = world.load(&shape).unwrap();
        let lengths: Vec<_> = shape.inputs.iter().map(Vec::len).collect();
        prop_assert_eq!(loaded.positions, lengths);
        prop_assert_eq!(loaded.odd, odd_keys(&shape));
    }
}

/// The keys with an odd number of items in the whole input.
fn odd_keys(shape: &Shape) -> Vec<u8> {
    let of_key = |key| {
        shape
            .inputs
            .iter()
            .flatten()
            .filter(move |other| **other == key)
    };
    (0..4).filter(|key| of_key(*key).count() % 2 == 1).collect()
}
