//! What workers have handed over and the writer hasn't made durable yet, bounded by its weight.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Record;
use crate::id::{Epoch, WorkerIndex};

/// What a worker asks of the writer.
#[derive(Debug)]
pub(super) enum Request {
    Append(Vec<Record>),
    /// All that the worker has for the epoch was handed over before.
    Close {
        worker: WorkerIndex,
        epoch: Epoch,
    },
    Commit(Epoch),
    Collect(Epoch),
}

/// Shared by the writer and all who hand over to it.
#[derive(Debug)]
pub(super) struct Queue {
    room: usize,
    inner: Mutex<Inner>,
    /// Signalled when there is something to write, or nothing will come any more.
    wanted: Condvar,
    /// Signalled when there is room again, or nobody will write any more.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    requests: VecDeque<Request>,
    /// Of what is queued and of what is being written.
    weight: usize,
    /// Nothing more is accepted.
    is_closed: bool,
    /// What is queued is not written any more.
    is_abandoned: bool,
}

impl Inner {
    fn has_room(&self, room: usize) -> bool {
        self.weight < room || self.is_closed
    }
}

impl Queue {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            inner: Mutex::default(),
            wanted: Condvar::new(),
            freed: Condvar::new(),
        }
    }

    /// Adds a request, once the weight is below the limit: what is heavier than all the room
    /// passes too. Gives whether the queue was open.
    pub(super) fn push(&self, request: Request) -> bool {
        let mut inner = self.lock();
        if request.weight() > 0 {
            inner = self
                .freed
                .wait_while(inner, |inner| !inner.has_room(self.room))
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.add(inner, request)
    }

    /// Adds a request, whether there is room or not.
    pub(super) fn push_now(&self, request: Request) -> bool {
        self.add(self.lock(), request)
    }

    fn add(&self, mut inner: MutexGuard<'_, Inner>, request: Request) -> bool {
        let weight = request.weight();
        if inner.is_closed {
            return false;
        }
        inner.weight += weight;
        inner.requests.push_back(request);
        self.wanted.notify_one();
        true
    }

    /// Whether a request need not wait: there is room, or nobody accepts any more.
    pub(super) fn has_room(&self) -> bool {
        self.lock().has_room(self.room)
    }

    /// Waits a while for that.
    pub(super) fn await_room(&self, within: Duration) {
        let waited = self
            .freed
            .wait_timeout_while(self.lock(), within, |inner| !inner.has_room(self.room));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// All that is queued, waited for; `None` once nothing more will come.
    pub(super) fn take(&self) -> Option<VecDeque<Request>> {
        let mut inner = self
            .wanted
            .wait_while(self.lock(), |inner| {
                inner.requests.is_empty() && !inner.is_closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if inner.is_abandoned || inner.requests.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut inner.requests))
    }

    /// Gives back the room of what was written.
    pub(super) fn free(&self, weight: usize) {
        self.lock().weight -= weight;
        self.freed.notify_all();
    }

    /// Lets time pass; gives whether there is still something to wait for.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let (inner, _) = self
            .wanted
            .wait_timeout_while(self.lock(), duration, |inner| !inner.is_abandoned)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.is_abandoned
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake_all();
    }

    pub(super) fn abandon(&self) {
        {
            let mut inner = self.lock();
            inner.is_closed = true;
            inner.is_abandoned = true;
        }
        self.wake_all();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    fn wake_all(&self) {
        self.wanted.notify_all();
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Append(records) => records.iter().map(Record::weight).sum(),
            _ => 0,
        }
    }
}
