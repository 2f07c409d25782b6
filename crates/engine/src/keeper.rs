//! Where what is to be kept goes: to the store, or to the process that has it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_recovery::id::{self, SinkPartition, StateKey, WorkerIndex};
use millstream_recovery::protocol::coordinator::Frontier;
use millstream_recovery::session::Session;
use millstream_recovery::store::Record;

use crate::cluster::message::{Kept, Message};
use crate::cluster::wire::Wire;
use crate::epoch::Epoch;
use crate::plan::StepId;
use crate::recovery::{Change, StoredStep, weight_of};

/// How many bytes of records may be on their way to the leader.
const ROOM: usize = 64 << 20;

/// Keeps what workers hand over, and hears how far they have come.
#[derive(Clone)]
pub(crate) enum Keeper {
    /// This process has the store.
    Store(Session),
    /// The leader has it.
    Leader(Arc<ToLeader>),
}

/// The way to the leader.
pub(crate) struct ToLeader {
    wire: Wire,
    queue: Mutex<Queue>,
    has_room: Condvar,
}

/// What is on its way to the leader.
#[derive(Default)]
struct Queue {
    /// How many bytes of records it has not handed to the store yet.
    unhanded: usize,
    /// Whether nothing will be handed any more, so that nobody is to wait for it.
    is_over: bool,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.unhanded >= ROOM && !self.is_over
    }

    fn handed(&mut self, weight: usize) {
        self.unhanded = self.unhanded.saturating_sub(weight);
    }
}

impl ToLeader {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            queue: Mutex::default(),
            has_room: Condvar::new(),
        }
    }

    /// The leader has handed so much to the store.
    pub(crate) fn handed(&self, weight: usize) {
        self.lock().handed(weight);
        self.has_room.notify_all();
    }

    /// The run stops, or the leader is gone: nobody is to wait for it, now or later.
    pub(crate) fn let_go(&self) {
        self.lock().is_over = true;
        self.has_room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, step: &StepId, epoch: Epoch, changes: Vec<Change>) {
        self.lock().unhanded += changes.iter().map(weight_of).sum::<usize>();
        self.tell(&Message::Records {
            step: step.to_string(),
            epoch: epoch.0,
            changes: changes.into_iter().map(Kept::of).collect(),
        });
    }

    fn await_room(&self, within: Duration) {
        let waited = self
            .has_room
            .wait_timeout_while(self.lock(), within, |queue| queue.is_full());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, message: &Message) {
        self.wire.send(0, message);
    }
}

impl Keeper {
    /// Whether what is handed over need not wait for what was before.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Store(session) => session.has_room(),
            Self::Leader(leader) => !leader.lock().is_full(),
        }
    }

    /// Waits a while for that.
    pub(crate) fn await_room(&self, within: Duration) {
        match self {
            Self::Store(session) => session.await_room(within),
            Self::Leader(leader) => leader.await_room(within),
        }
    }

    /// Hands over what became of some keys in an epoch; doesn't wait, so ask for room before. If
    /// the store has failed, the run is being told already.
    pub(crate) fn record(&self, step: &StepId, epoch: Epoch, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        match self {
            Self::Store(session) => {
                let record = |(key, state)| Record {
                    step: StoredStep(step.to_string()),
                    key: StateKey(key),
                    epoch: id::Epoch(epoch.0),
                    state,
                };
                let _ = session.record_now(changes.into_iter().map(record).collect());
            }
            Self::Leader(leader) => leader.record(step, epoch, changes),
        }
    }

    /// All epochs before this one are over for a worker.
    pub(crate) fn passed(&self, worker: WorkerIndex, epoch: Epoch) {
        match self {
            Self::Store(session) => session.passed(worker, id::Epoch(epoch.0)),
            Self::Leader(leader) => leader.tell(&Message::Passed {
                worker: worker.0,
                epoch: epoch.0,
            }),
        }
    }

    /// Everything is over for a worker; `last` is the newest epoch that it knows of.
    pub(crate) fn finished(&self, worker: WorkerIndex, last: Epoch) {
        match self {
            Self::Store(session) => session.finished(worker, id::Epoch(last.0)),
            Self::Leader(leader) => leader.tell(&Message::Finished {
                worker: worker.0,
                last: last.0,
            }),
        }
    }

    /// A two-phase sink has prepared all before an epoch; or, at its end, up to it.
    pub(crate) fn prepared(&self, sink: SinkPartition, epoch: Epoch, has_ended: bool) {
        match self {
            Self::Store(session) => {
                let epoch = id::Epoch(epoch.0);
                let frontier = if has_ended {
                    Frontier::Finished { last: epoch }
                } else {
                    Frontier::At(epoch)
                };
                session.prepared(sink, frontier);
            }
            Self::Leader(leader) => leader.tell(&Message::Prepared {
                sink: sink.0,
                epoch: epoch.0,
                has_ended,
            }),
        }
    }

    /// A two-phase sink has published all up to an epoch.
    pub(crate) fn published(&self, sink: SinkPartition, through: Epoch) {
        match self {
            Self::Store(session) => session.published(sink, id::Epoch(through.0)),
            Self::Leader(leader) => leader.tell(&Message::Published {
                sink: sink.0,
                through: through.0,
            }),
        }
    }

    /// Asks the sources to stop where they are.
    pub(crate) fn drain(&self) {
        match self {
            Self::Store(session) => session.drain(),
            Self::Leader(leader) => leader.tell(&Message::Drain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_has_room_when_the_leader_has_handed_some() {
        let mut queue = Queue::default();
        queue.unhanded += ROOM;
        assert!(queue.is_full());
        queue.handed(1);
        assert!(!queue.is_full());
    }

    #[test]
    fn nobody_waits_for_room_after_the_end() {
        let mut queue = Queue {
            unhanded: ROOM,
            is_over: true,
        };
        assert!(!queue.is_full());
        queue.unhanded += ROOM;
        assert!(!queue.is_full());
    }
}
