//! What a run keeps, to go on from after a stop.
//!
//! State at the beginning of an epoch is what all items of the epochs before it made of it. So
//! whoever keeps something (a source partition its position, a step the state of its keys, a
//! sink partition what it has written) takes an epoch's items only when all of the epochs
//! before are over ([`timely_ext::in_epochs`](crate::timely_ext)), and hands over what changed
//! when the epoch is over for it: to the store's own thread, without waiting for the disk.
//!
//! When is an epoch over for a worker? A [`Recorder`] watches the ends of all its streams:
//! every sink, dynamic ones too, and what nobody takes. When the frontier there has passed an
//! epoch, everything that there was of it has been worked off, recorded and written.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

pub use millstream_recovery::frame::Codec;
pub(crate) use millstream_recovery::id::SinkPartition;
/// The name of a step, as the store knows it.
pub use millstream_recovery::id::StepId as StoredStep;
use millstream_recovery::id::WorkerIndex;
pub use millstream_recovery::protocol::resume::Changes;
pub use millstream_recovery::protocol::retry::RetryPolicy;
pub use millstream_recovery::session::{ErrorKind, SessionError};
/// State as bytes.
pub use millstream_recovery::store::State as Saved;
use timely::dataflow::Stream;
use timely::dataflow::operators::probe::{Handle, Probe};

use crate::epoch::Epoch;
use crate::host::Host;
use crate::keeper::Keeper;
use crate::plan::StepId;
use crate::timely_ext::{BatchStream, Time};

/// Where a run keeps what it needs to be resumed, and how.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The directory of the store.
    pub directory: PathBuf,
    /// What has become of steps that the store has state of.
    pub changes: Changes,
    /// How long to bear with a store that can't be written.
    pub retry: RetryPolicy,
}

/// What an earlier run kept of some steps, for one worker.
pub(crate) type Restored = HashMap<StepId, States>;

/// The states of a step, by key or partition.
pub(crate) type States = Vec<(String, Saved)>;

/// How the store numbers the partitions of two-phase sinks, over all such sinks of a flow: those
/// of one sink follow one another, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct TwoPhaseSinks {
    first: HashMap<StepId, u32>,
    count: u32,
}

impl TwoPhaseSinks {
    /// Adds a sink with so many partitions.
    pub(crate) fn add(&mut self, step: &StepId, partitions: usize) {
        self.first.insert(step.clone(), self.count);
        self.count += u32::try_from(partitions).unwrap_or(u32::MAX);
    }

    /// How many partitions there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The number of a partition, if its sink is a two-phase sink.
    pub(crate) fn number(&self, step: &StepId, partition: usize) -> Option<SinkPartition> {
        let first = self.first.get(step)?;
        Some(SinkPartition(first + u32::try_from(partition).ok()?))
    }
}

/// What became of a key, or of a partition, in an epoch: its state, or none if it is gone.
pub(crate) type Change = (String, Option<Saved>);

/// How many bytes of changes are handed over at once, about.
const CHUNK: usize = 1 << 20;

/// About how many bytes a change takes.
pub(crate) fn weight_of((key, state): &Change) -> usize {
    key.len() + state.as_ref().map_or(0, |state| state.payload.len()) + 64
}

/// Some of the changes at a time, so that they are not all in memory twice.
pub(crate) fn chunks(
    changes: impl IntoIterator<Item = Change>,
) -> impl Iterator<Item = Vec<Change>> {
    let mut changes = changes.into_iter();
    std::iter::from_fn(move || {
        let (mut chunk, mut weight) = (Vec::new(), 0);
        while weight < CHUNK
            && let Some(change) = changes.next()
        {
            weight += weight_of(&change);
            chunk.push(change);
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Hands over what one worker has to keep, and says how far it has come.
pub(crate) struct Recorder {
    keeper: Keeper,
    worker: WorkerIndex,
    /// The ends of all streams.
    ends: Handle<Time>,
    /// How far they had come when last looked at.
    told: Cell<Progress>,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    In(Time),
    Finished,
}

impl Recorder {
    pub(crate) fn new(keeper: Keeper, worker: usize, resume: Epoch) -> Self {
        Self {
            keeper,
            worker: worker_index(worker),
            ends: Handle::new(),
            told: Cell::new(Progress::In(resume.0)),
        }
    }

    /// Watches the end of a stream that nobody takes.
    pub(crate) fn watch<H: Host>(&self, stream: BatchStream<'_, H>) {
        stream.batches.probe_with(&self.ends);
    }

    /// Watches how far an operator has come that makes nothing.
    pub(crate) fn watch_clock(&self, clock: Stream<'_, Time, Vec<()>>) {
        clock.probe_with(&self.ends);
    }

    /// Where it goes.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// A two-phase sink has prepared all before an epoch; or, at its end, up to it.
    pub(crate) fn prepared(&self, sink: SinkPartition, epoch: Epoch, has_ended: bool) {
        self.keeper.prepared(sink, epoch, has_ended);
    }

    /// A two-phase sink has published all up to an epoch.
    pub(crate) fn published(&self, sink: SinkPartition, through: Epoch) {
        self.keeper.published(sink, through);
    }

    /// The first epoch that isn't over for this worker; none if all are.
    pub(crate) fn open(&self) -> Option<Epoch> {
        match self.told.get() {
            Progress::In(epoch) => Some(Epoch(epoch)),
            Progress::Finished => None,
        }
    }

    /// Says how far this worker has come, if that is farther than it last was. `newest` is the
    /// newest epoch that any source has begun.
    pub(crate) fn tell(&self, newest: Epoch) {
        let progress = self.ends.with_frontier(|frontier| {
            frontier
                .first()
                .map_or(Progress::Finished, |epoch| Progress::In(*epoch))
        });
        if self.told.replace(progress) == progress {
            return;
        }
        match progress {
            Progress::In(epoch) => self.keeper.passed(self.worker, Epoch(epoch)),
            Progress::Finished => self.keeper.finished(self.worker, newest),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("worker", &self.worker)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// The number of a worker, as the store knows it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "more workers than fit have no threads"
)]
pub(crate) fn worker_index(worker: usize) -> WorkerIndex {
    WorkerIndex(worker as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(bytes: usize) -> Change {
        let state = Saved {
            codec: Codec::Native,
            payload: vec![0; bytes],
        };
        ("key".to_owned(), Some(state))
    }

    #[test]
    fn changes_go_in_chunks_of_about_the_same_weight() {
        let half = CHUNK / 2;
        let sizes = [half, half, 10, 2 * CHUNK, 10, 10];
        let chunks: Vec<_> = chunks(sizes.map(change)).collect();
        let counts: Vec<_> = chunks.iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!(chunks.concat(), sizes.map(change));
    }

    #[test]
    fn nothing_is_no_chunk() {
        assert_eq!(chunks([]).count(), 0);
    }
}
