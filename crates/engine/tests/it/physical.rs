//! Lowering and fusion: what runs in place of what was written.

use millstream_engine::physical::{Kind, Physical, fuse, lower};

use crate::integers::{Builder, Integers, Stage, Value, ints, settings};

/// The steps of each operator.
fn shape(physical: &Physical<Integers>) -> Vec<Vec<String>> {
    physical
        .operators
        .iter()
        .map(|operator| match &operator.kind {
            Kind::Core(_) => vec![operator.id.to_string()],
            Kind::Fused(stages) => stages.iter().map(|s| s.step.to_string()).collect(),
        })
        .collect()
}

fn fused_shape(flow: Builder) -> Vec<Vec<String>> {
    shape(&fuse(lower(&flow.plan(), true)))
}

#[test]
fn neighbours_become_one() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1]));
    let a = flow.stage("a", numbers, Stage::Add(1));
    let b = flow.stage("b", a, Stage::Over(3));
    let c = flow.stage("c", b, Stage::Add(10));
    flow.collect("out", c);
    assert_eq!(
        fused_shape(flow),
        [
            vec!["flow.in"],
            vec!["flow.a", "flow.b", "flow.c"],
            vec!["flow.out"]
        ]
    );
}

#[test]
fn stream_with_two_takers_ends_a_run() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1]));
    let a = flow.stage("a", numbers, Stage::Add(1));
    let b = flow.stage("b", a, Stage::Add(1));
    let c = flow.stage("c", a, Stage::Add(1));
    let d = flow.stage("d", c, Stage::Add(1));
    flow.collect("b_out", b);
    flow.collect("d_out", d);
    assert_eq!(
        fused_shape(flow),
        [
            vec!["flow.in"],
            vec!["flow.a"],
            vec!["flow.b"],
            vec!["flow.c", "flow.d"],
            vec!["flow.b_out"],
            vec!["flow.d_out"],
        ]
    );
}

#[test]
fn other_operators_end_a_run() {
    let mut flow = Builder::default();
    let numbers = flow.acts("in", ints([1]));
    let a = flow.stage("a", numbers, Stage::Add(1));
    let spread = flow.redistribute("spread", a);
    let b = flow.stage("b", spread, Stage::Add(1));
    flow.collect("out", b);
    assert_eq!(
        fused_shape(flow),
        [
            vec!["flow.in"],
            vec!["flow.a"],
            vec!["flow.spread"],
            vec!["flow.b"],
            vec!["flow.out"],
        ]
    );
}

#[test]
fn native_forms_run_only_if_asked_for() {
    for optimize in [true, false] {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..5));
        let more = flow.stage("more", numbers, Stage::Add(10));
        let few = flow.stage("few", more, Stage::Over(12));
        let out = flow.collect("out", few);
        let mut settings = settings(2);
        settings.optimize = optimize;
        flow.run_with(settings).unwrap();
        let expected: Vec<_> = if optimize { 13..15 } else { 0..5 }
            .map(Value::Int)
            .collect();
        assert_eq!(out.items(), expected);
    }
}
