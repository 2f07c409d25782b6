//! What really happened, and what of it should not have.
//!
//! Kept apart from the protocol and from what it stores, so that it can say that they are
//! wrong: it knows which items an epoch had from those who read them.

use millstream_recovery::id::{Epoch, ExecutionId};

use super::{Key, Loaded, Run, Shape};

/// The account of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub(crate) struct Ledger {
    /// How many items of each worker are history.
    pub(crate) committed: Vec<usize>,
    /// Who made each epoch history, from the first on.
    owners: Vec<ExecutionId>,
    /// Where the newest execution resumed.
    resume: Option<Epoch>,
    /// A resume began before an earlier one did.
    pub(crate) went_back: bool,
    /// A resume loaded something else than the fold of history.
    pub(crate) loaded_wrong: bool,
    /// A resume loaded what someone wrote for an epoch that another made history.
    pub(crate) mixed_paths: bool,
    /// Something was written where a newer generation had already been.
    pub(crate) wrote_fenced: bool,
    /// A run ended with exit code zero, and something it had read was not published.
    pub(crate) ended_early: bool,
    /// A store that nobody has touched was not accepted.
    pub(crate) was_refused: bool,
    /// A run ended because it was fenced.
    pub(crate) was_turned_away: bool,
    /// One commit made several epochs history.
    pub(crate) has_skipped: bool,
    /// A run ended with exit code zero at the end of all input, and none came after it.
    pub(crate) is_done: bool,
}

impl Ledger {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            committed: vec![0; workers],
            owners: Vec::new(),
            resume: None,
            went_back: false,
            loaded_wrong: false,
            mixed_paths: false,
            wrote_fenced: false,
            ended_early: false,
            was_refused: false,
            was_turned_away: false,
            has_skipped: false,
            is_done: false,
        }
    }

    /// Whether a run went on after an epoch that was history.
    pub(crate) fn has_resumed(&self) -> bool {
        self.resume > Some(Epoch::FIRST)
    }

    /// Whether this is the fold of all that is history.
    pub(crate) fn agrees(&self, shape: &Shape, loaded: &Loaded) -> bool {
        loaded.positions == self.committed && loaded.odd == fold(&shape.inputs, &self.committed)
    }

    pub(super) fn resumed(&mut self, resume: Epoch) {
        self.went_back |= Some(resume) < self.resume;
        self.resume = Some(resume);
    }

    pub(super) fn loaded(&mut self, shape: &Shape, loaded: &Loaded) {
        self.loaded_wrong |= !self.agrees(shape, loaded);
        self.mixed_paths |= loaded.sources.iter().any(|(execution, epoch)| {
            let owners = (1..).zip(&self.owners);
            let mut owner = owners.filter(|(number, _)| Epoch(*number) == *epoch);
            owner.next().map(|(_, owner)| owner) != Some(execution)
        });
    }

    /// All that a run did through an epoch became history.
    pub(super) fn committed(&mut self, run: &Run, epoch: Epoch) {
        let resume = usize::try_from(run.resume.0).unwrap();
        let epochs = usize::try_from(epoch.0).unwrap();
        self.has_skipped |= epochs > self.owners.len() + 1;
        self.owners.truncate(resume - 1);
        self.owners.resize(epochs, run.execution);
        self.committed = run.positions_after(epoch);
    }

    /// A run ended with exit code zero.
    pub(super) fn ended(&mut self, run: &Run, is_newest: bool, published: &[Option<usize>]) {
        let read = run.positions();
        let reached = published.iter().zip(&read);
        self.ended_early |= reached
            .into_iter()
            .any(|(published, read)| *published < Some(*read));
        if is_newest {
            self.ended_early |= self.committed != read;
            self.is_done = !run.is_draining;
        }
    }
}

/// The keys with an odd number of items among the first of each input.
fn fold(inputs: &[Vec<Key>], through: &[usize]) -> Vec<Key> {
    let read = inputs
        .iter()
        .zip(through)
        .flat_map(|(input, through)| &input[..*through]);
    let mut odd: Vec<Key> = Vec::new();
    for key in read {
        match odd.binary_search(key) {
            Ok(index) => drop(odd.remove(index)),
            Err(index) => odd.insert(index, *key),
        }
    }
    odd
}
