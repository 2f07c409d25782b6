//! Which changes of a dataflow are fine, and what the others are told.

use super::*;
use crate::protocol::manifest::History;

fn step(id: &str) -> StepId {
    StepId(id.to_owned())
}

/// What the store has: 28 keys of `count`, 2 partitions of `input`, and `idle` without keys.
fn manifest() -> Manifest {
    let stored = |kind, keys| StoredStep {
        kind,
        form: "a count".to_owned(),
        schema: SchemaVersion(2),
        keys,
    };
    Manifest {
        format: FormatVersion::CURRENT,
        flow: Some(FlowId("orders".to_owned())),
        partitions: 1,
        steps: BTreeMap::from([
            (step("count"), stored(StepKind::Stateful, 28)),
            (step("idle"), stored(StepKind::Stateful, 0)),
            (step("input"), stored(StepKind::Source, 2)),
        ]),
    }
}

fn flow(steps: &[(&str, StepKind)]) -> Flow {
    let of = |kind| FlowStep {
        kind,
        form: "a count".to_owned(),
        schema: SchemaVersion(2),
        oldest_readable: SchemaVersion(2),
    };
    Flow {
        id: FlowId("orders".to_owned()),
        steps: steps
            .iter()
            .map(|(id, kind)| (step(id), of(*kind)))
            .collect(),
    }
}

fn counting(name: &str) -> Flow {
    flow(&[(name, StepKind::Stateful), ("input", StepKind::Source)])
}

fn aliases(pairs: &[(&str, &str)]) -> Changes {
    Changes {
        aliases: pairs
            .iter()
            .map(|(old, new)| (step(old), step(new)))
            .collect(),
        ..Changes::default()
    }
}

fn drop_of(id: &str) -> Changes {
    Changes {
        drop: BTreeSet::from([step(id)]),
        ..Changes::default()
    }
}

fn start_on(manifest: &Manifest, flow: &Flow, changes: &Changes) -> Result<Start, Refusal> {
    let path = CommittedPath::new(&History::default()).unwrap();
    start(manifest, &path, flow, changes)
}

fn refusal(flow: &Flow, changes: &Changes) -> (u8, String) {
    let refusal = start_on(&manifest(), flow, changes).unwrap_err();
    (refusal.exit_code().code(), refusal.to_string())
}

#[test]
fn unchanged_dataflow_takes_over_its_steps() {
    let start = start_on(&manifest(), &counting("count"), &Changes::default()).unwrap();
    assert_eq!(start.execution, ExecutionId(0));
    assert_eq!(start.epoch, Epoch::FIRST);
    let steps = [("count", "count"), ("input", "input")];
    assert_eq!(start.steps, aliases(&steps).aliases);
    assert!(start.added.is_empty() && start.dropped.is_empty() && start.migrations.is_empty());
}

#[test]
fn fresh_store_takes_any_dataflow() {
    let fresh = Manifest {
        flow: None,
        steps: BTreeMap::new(),
        ..manifest()
    };
    let start = start_on(&fresh, &counting("count"), &Changes::default()).unwrap();
    assert!(start.steps.is_empty() && start.added.is_empty());
}

#[test]
fn added_step_is_reported() {
    let kinds = [
        ("count", StepKind::Stateful),
        ("input", StepKind::Source),
        ("output", StepKind::Sink),
    ];
    let start = start_on(&manifest(), &flow(&kinds), &Changes::default()).unwrap();
    assert_eq!(start.added, BTreeSet::from([step("output")]));
}

#[test]
fn other_dataflow_is_refused() {
    let mut other = counting("count");
    other.id = FlowId("payments".to_owned());
    let message = "the recovery store belongs to dataflow `orders`, and this is `payments`; \
                   use a store of its own for each dataflow";
    let refusal = refusal(&other, &Changes::default());
    assert_eq!(refusal, (78, message.to_owned()));
}

#[test]
fn state_without_a_step_is_refused_with_the_way_out() {
    let message = "the recovery store has state of steps that the dataflow doesn't have: \
                   `count` (28 keys) and `input` (2 keys); for each, give its new name as an \
                   alias (`--alias old=new`, or in Python `aliases={\"old\": \"new\"}`), or give its \
                   state up (`--drop old`, `drop=[\"old\"]`)";
    let refusal = refusal(&flow(&[]), &Changes::default());
    assert_eq!(refusal, (78, message.to_owned()));
}

#[test]
fn alias_resolves_it() {
    let changes = aliases(&[("count", "total")]);
    let start = start_on(&manifest(), &counting("total"), &changes).unwrap();
    assert_eq!(start.steps[&step("count")], step("total"));
    assert!(start.added.is_empty());
}

#[test]
fn drop_resolves_it() {
    let start = start_on(&manifest(), &counting("total"), &drop_of("count")).unwrap();
    assert_eq!(start.dropped, BTreeMap::from([(step("count"), 28)]));
    assert_eq!(start.added, BTreeSet::from([step("total")]));
}

/// A supervisor starts the same command line again.
#[test]
fn answers_may_stay_where_they_were_given() {
    let mut renamed = manifest();
    let count = renamed.steps.remove(&step("count")).unwrap();
    let dropped = start_on(&renamed, &counting("total"), &drop_of("count"));
    assert_eq!(dropped.unwrap().dropped, BTreeMap::new());

    renamed.steps.insert(step("total"), count);
    let changes = aliases(&[("count", "total")]);
    let start = start_on(&renamed, &counting("total"), &changes).unwrap();
    assert_eq!(start.steps[&step("total")], step("total"));
}

#[test]
fn alias_and_drop_contradict() {
    let changes = Changes {
        drop: BTreeSet::from([step("count")]),
        ..aliases(&[("count", "total")])
    };
    let message = "step `count` is both given an alias and dropped; say one of the two";
    let refusal = refusal(&counting("total"), &changes);
    assert_eq!(refusal, (64, message.to_owned()));
}

#[test]
fn drop_of_a_step_that_is_there_is_refused() {
    let (code, message) = refusal(&counting("count"), &drop_of("count"));
    assert_eq!(code, 78);
    assert!(message.starts_with("step `count` is to be dropped, but the dataflow has it"));
}

#[test]
fn aliases_from_and_to_nothing_are_refused() {
    let changes = aliases(&[("count", "totl")]);
    let message = "the alias of step `count` is `totl`, and the dataflow has no such step \
                   that keeps state; it has `input` and `total`";
    assert_eq!(
        refusal(&counting("total"), &changes),
        (78, message.to_owned())
    );

    for old in ["cuont", "idle"] {
        let changes = aliases(&[(old, "total")]);
        let message = format!(
            "`total` is to take over the state of step `{old}`, and the recovery store has \
             none of it; it has state of `count` and `input`"
        );
        assert_eq!(refusal(&counting("total"), &changes), (78, message));
    }
}

#[test]
fn alias_of_a_step_that_is_there_is_refused() {
    let kinds = [
        ("count", StepKind::Stateful),
        ("input", StepKind::Source),
        ("total", StepKind::Stateful),
    ];
    let message = "step `count` has the alias `total`, but the dataflow still has `count` itself";
    let refusal = refusal(&flow(&kinds), &aliases(&[("count", "total")]));
    assert_eq!(refusal, (78, message.to_owned()));
}

#[test]
fn two_steps_never_become_one() {
    let changes = aliases(&[("count", "total"), ("input", "total")]);
    let message = "`count` and `input` of the recovery store would both become step `total`; \
                   drop one of them, or give it a step of its own";
    let flow = flow(&[("total", StepKind::Stateful)]);
    assert_eq!(refusal(&flow, &changes), (78, message.to_owned()));
}

#[test]
fn kind_is_part_of_what_a_step_is() {
    let kinds = [("count", StepKind::Source), ("input", StepKind::Source)];
    let message = "step `count` is a source, and the recovery store has state of it as \
                   a stateful step; give the step a new name, and drop the old one";
    let refusal = refusal(&flow(&kinds), &Changes::default());
    assert_eq!(refusal, (78, message.to_owned()));
}

#[test]
fn older_state_is_migrated_if_the_step_can() {
    let mut newer = counting("count");
    let count = newer.steps.get_mut(&step("count")).unwrap();
    count.schema = SchemaVersion(5);
    count.oldest_readable = SchemaVersion(3);
    let (code, message) = refusal(&newer, &Changes::default());
    assert_eq!(code, 78);
    assert!(message.contains("has version 2, and the dataflow reads versions 3 to 5"));

    let count = newer.steps.get_mut(&step("count")).unwrap();
    count.oldest_readable = SchemaVersion(0);
    let start = start_on(&manifest(), &newer, &Changes::default()).unwrap();
    let migrations = BTreeMap::from([(step("count"), SchemaVersion(2))]);
    assert_eq!(start.migrations, migrations);
}

#[test]
fn newer_state_and_newer_stores_are_refused() {
    let mut older = counting("count");
    older.steps.get_mut(&step("count")).unwrap().schema = SchemaVersion(1);
    let (code, message) = refusal(&older, &Changes::default());
    assert_eq!(code, 78);
    assert!(message.starts_with("the state of step `count` has version 2"));

    let newer = Manifest {
        format: FormatVersion(9),
        ..manifest()
    };
    let refusal = start_on(&newer, &counting("count"), &Changes::default()).unwrap_err();
    assert_eq!(refusal.exit_code().code(), 72);
}

#[test]
fn state_of_another_operator_is_refused() {
    let mut flow = counting("count");
    if let Some(count) = flow.steps.get_mut(&step("count")) {
        count.form = "a `fold_final`".to_owned();
    }
    let sentence = "step `count` keeps a `fold_final`, and the recovery store has of it what an \
                    earlier run kept of a count; give the step a new name, and drop the old one";
    assert_eq!(
        refusal(&flow, &Changes::default()),
        (78, sentence.to_owned())
    );
}

/// Windows keep their state in steps within the one that its author wrote.
fn manifest_of_windows() -> Manifest {
    let mut manifest = manifest();
    let stored = manifest.steps.remove(&step("count")).unwrap();
    for id in ["day.window", "day.window.watermark"] {
        manifest.steps.insert(step(id), stored.clone());
    }
    manifest
}

#[test]
fn alias_is_of_the_steps_within_too() {
    let kinds = [
        ("night.window", StepKind::Stateful),
        ("night.window.watermark", StepKind::Stateful),
        ("input", StepKind::Source),
    ];
    let alias = aliases(&[("day", "night")]);
    let start = start_on(&manifest_of_windows(), &flow(&kinds), &alias).unwrap();
    assert_eq!(start.steps[&step("day.window")], step("night.window"));
    let watermark = &start.steps[&step("day.window.watermark")];
    assert_eq!(*watermark, step("night.window.watermark"));
}

#[test]
fn alias_of_the_innermost_step_counts() {
    let kinds = [
        ("night.other", StepKind::Stateful),
        ("night.other.watermark", StepKind::Stateful),
        ("input", StepKind::Source),
    ];
    let alias = aliases(&[("day", "evening"), ("day.window", "night.other")]);
    let refused = start_on(&manifest_of_windows(), &flow(&kinds), &alias).unwrap_err();
    assert!(
        matches!(refused, Refusal::AliasToNothing { .. }),
        "{refused}"
    );
    let alias = aliases(&[("day", "night"), ("day.window", "night.other")]);
    let start = start_on(&manifest_of_windows(), &flow(&kinds), &alias).unwrap();
    assert_eq!(start.steps[&step("day.window")], step("night.other"));
}

#[test]
fn drop_is_of_the_steps_within_too() {
    let kinds = [("input", StepKind::Source)];
    let start = start_on(&manifest_of_windows(), &flow(&kinds), &drop_of("day")).unwrap();
    let dropped: Vec<_> = start.dropped.keys().collect();
    assert_eq!(
        dropped,
        [&step("day.window"), &step("day.window.watermark")]
    );
    let flow = counting("day.window");
    let refused = start_on(&manifest_of_windows(), &flow, &drop_of("day"));
    assert!(matches!(refused, Err(Refusal::DropOfPresentStep { .. })));
}

#[test]
fn step_with_a_longer_name_is_not_within() {
    let flow = counting("nights.window");
    let refused = start_on(&manifest_of_windows(), &flow, &aliases(&[("da", "night")]));
    assert!(matches!(refused, Err(Refusal::AliasToNothing { .. })));
}

/// A step within a step that is dropped as a whole may go on.
#[test]
fn innermost_of_alias_and_drop_counts() {
    let kinds = [
        ("night.window", StepKind::Stateful),
        ("input", StepKind::Source),
    ];
    let changes = Changes {
        aliases: BTreeMap::from([(step("day.window"), step("night.window"))]),
        drop: BTreeSet::from([step("day")]),
    };
    let mut manifest = manifest_of_windows();
    let other = manifest.steps[&step("day.window")].clone();
    manifest.steps.insert(step("day.other"), other);
    manifest.steps.remove(&step("day.window.watermark"));
    let start = start_on(&manifest, &flow(&kinds), &changes).unwrap();
    assert_eq!(start.steps[&step("day.window")], step("night.window"));
    let dropped: Vec<_> = start.dropped.keys().collect();
    assert_eq!(dropped, [&step("day.other")]);
}

#[test]
fn step_may_move_into_one_of_its_own_name() {
    let changes = aliases(&[("count", "count.inner")]);
    let flow = counting("count.inner");
    let start = start_on(&manifest(), &flow, &changes).unwrap();
    assert_eq!(start.steps[&step("count")], step("count.inner"));
    // The next time, it is there.
    let mut moved = manifest();
    let stored = moved.steps.remove(&step("count")).unwrap();
    moved.steps.insert(step("count.inner"), stored);
    let start = start_on(&moved, &flow, &changes).unwrap();
    assert_eq!(start.steps[&step("count.inner")], step("count.inner"));
}

#[test]
fn alias_may_be_given_before_there_is_anything() {
    let fresh = Manifest {
        flow: None,
        steps: BTreeMap::new(),
        ..manifest()
    };
    let changes = aliases(&[("count", "tally")]);
    assert!(start_on(&fresh, &counting("tally"), &changes).is_ok());
}
