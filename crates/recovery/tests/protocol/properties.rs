//! What holds in every world, at every moment.

use millstream_recovery::protocol::path::CommittedPath;

use crate::world::{Shape, World};

/// Something to be said of a world.
pub(crate) type Condition = fn(&Shape, &World) -> bool;

pub(crate) const LOADS_THE_FOLD: &str = "P1: a resume loads the fold of all that is history";
pub(crate) const NEVER_GOES_BACK: &str = "P2: a resume never begins before an earlier one";
pub(crate) const KEEPS_WHAT_IS_NEEDED: &str = "P3: no garbage is needed by a resume at any time";
pub(crate) const FENCED_IS_WITHOUT_EFFECT: &str = "P4: who is fenced writes nothing";
pub(crate) const PUBLISHES_ONCE: &str = "P5: no epoch and no item is published twice";
pub(crate) const ONE_PATH: &str = "P6: what is loaded together lies on one path";
pub(crate) const COMES_TO_AN_END: &str = "P7: without further faults every item is published";
pub(crate) const NOTHING_IS_LOST: &str =
    "R4: what is history was written, and is published or can be";
pub(crate) const ENDS_WHEN_DONE: &str = "R15: exit code zero means that all is published";
pub(crate) const ACCEPTS_ITS_STORE: &str = "R3: a store that nobody has touched is accepted";

/// What must hold.
pub(crate) const ALWAYS: [(&str, Condition); 10] = [
    (LOADS_THE_FOLD, |_, world| !world.ledger.loaded_wrong),
    (NEVER_GOES_BACK, |_, world| !world.ledger.went_back),
    (KEEPS_WHAT_IS_NEEDED, keeps_what_is_needed),
    (FENCED_IS_WITHOUT_EFFECT, |_, world| {
        !world.ledger.wrote_fenced
    }),
    (PUBLISHES_ONCE, publishes_once),
    (ONE_PATH, |_, world| !world.ledger.mixed_paths),
    (COMES_TO_AN_END, comes_to_an_end),
    (NOTHING_IS_LOST, nothing_is_lost),
    (ENDS_WHEN_DONE, |_, world| !world.ledger.ended_early),
    (ACCEPTS_ITS_STORE, |_, world| !world.ledger.was_refused),
];

/// What a start would load now is the fold of all that is history now.
fn keeps_what_is_needed(shape: &Shape, world: &World) -> bool {
    let loaded = world.load(shape);
    loaded.is_some_and(|loaded| world.ledger.agrees(shape, &loaded))
}

fn publishes_once(_: &Shape, world: &World) -> bool {
    world.sink.published().all(|batches| {
        let apart = |(index, batch): (usize, &crate::world::Batch)| {
            batches[..index].iter().all(|other| {
                other.epoch != batch.epoch && (other.end <= batch.first || batch.end <= other.first)
            })
        };
        batches.iter().enumerate().all(apart)
    })
}

fn nothing_is_lost(shape: &Shape, world: &World) -> bool {
    let committed = || world.ledger.committed.iter();
    let mut written = world.sink.written_through().zip(committed());
    let is_written = written.all(|(written, committed)| written >= *committed);
    let path = CommittedPath::new(&world.store.history);
    let is_publishable = path.is_ok_and(|path| {
        let publishable = world.sink.publishable_through(&path);
        let mut publishable = publishable.iter().zip(committed());
        publishable.all(|(through, committed)| *through >= Some(*committed))
    });
    is_publishable && (is_written || !shape.plain_sink)
}

/// Every step uses something up, so all histories end. Where one does, all is done.
fn comes_to_an_end(shape: &Shape, world: &World) -> bool {
    let can_go_on = world.steps(shape).iter().any(|step| !step.is_fault());
    can_go_on || all_is_published(shape, world)
}

/// Whether every item of the input was published, once.
pub(crate) fn all_is_published(shape: &Shape, world: &World) -> bool {
    let published = world.sink.published_through();
    let inputs = shape.inputs.iter().map(|input| Some(input.len()));
    world.ledger.is_done && published.into_iter().eq(inputs)
}

/// A run begins in the middle of history.
pub(crate) fn resumes(_: &Shape, world: &World) -> bool {
    world.ledger.has_resumed()
}

/// There is a record of an epoch that another execution made history, or will.
pub(crate) fn has_orphans(_: &Shape, world: &World) -> bool {
    let path = CommittedPath::new(&world.store.history);
    path.is_ok_and(|path| world.store.has_orphan(&path))
}

/// One commit makes several epochs history.
pub(crate) fn skips(_: &Shape, world: &World) -> bool {
    world.ledger.has_skipped
}

/// A run that was taken for dead is told that it was.
pub(crate) fn turns_away(_: &Shape, world: &World) -> bool {
    world.ledger.was_turned_away
}
