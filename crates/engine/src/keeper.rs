//! Where what is to be kept goes: to the store, or to the process that has it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use millstream_recovery::id::{self, SinkPartition, WorkerIndex};
use millstream_recovery::protocol::coordinator::Frontier;
use millstream_recovery::session::Session;

use crate::cluster::message::{Kept, Message};
use crate::cluster::wire::Wire;
use crate::epoch::Epoch;
use crate::plan::StepId;
use crate::recovery::Change;

/// How many bytes of records go in one message, about.
const CHUNK: usize = 1 << 20;

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
    /// How many bytes of records it has not handed to the store yet.
    unhanded: Mutex<usize>,
    has_room: Condvar,
}

impl ToLeader {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            unhanded: Mutex::new(0),
            has_room: Condvar::new(),
        }
    }

    /// The leader has handed so much to the store.
    pub(crate) fn handed(&self, weight: usize) {
        let mut unhanded = self.unhanded.lock().unwrap_or_else(PoisonError::into_inner);
        *unhanded = unhanded.saturating_sub(weight);
        self.has_room.notify_all();
    }

    /// Nothing will be handed any more: nobody is to wait for it.
    pub(crate) fn let_go(&self) {
        self.handed(usize::MAX);
    }

    fn record(&self, step: &StepId, epoch: Epoch, changes: Vec<Change>) {
        let mut chunk = Vec::new();
        let mut weight = 0;
        for kept in changes.into_iter().map(Kept::of) {
            weight += kept.weight();
            chunk.push(kept);
            if weight >= CHUNK {
                self.send(step, epoch, std::mem::take(&mut chunk), weight);
                weight = 0;
            }
        }
        if !chunk.is_empty() {
            self.send(step, epoch, chunk, weight);
        }
    }

    /// Sends some of it, when there is room.
    fn send(&self, step: &StepId, epoch: Epoch, changes: Vec<Kept>, weight: usize) {
        {
            let unhanded = self.unhanded.lock().unwrap_or_else(PoisonError::into_inner);
            let mut unhanded = self
                .has_room
                .wait_while(unhanded, |unhanded| *unhanded >= ROOM)
                .unwrap_or_else(PoisonError::into_inner);
            *unhanded += weight;
        }
        self.tell(&Message::Records {
            step: step.to_string(),
            epoch: epoch.0,
            changes,
        });
    }

    fn tell(&self, message: &Message) {
        self.wire.send(0, message);
    }
}

impl Keeper {
    /// Hands over what became of some keys in an epoch. Waits only for a store that has fallen
    /// far behind. If it has failed, the run is being told already.
    pub(crate) fn record(&self, step: &StepId, epoch: Epoch, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        match self {
            Self::Store(session) => {
                let step = step.to_string();
                let changes = changes.into_iter().map(Kept::of);
                let records = changes.map(|kept| kept.into_record(&step, epoch.0));
                let _ = session.record(records.collect());
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
