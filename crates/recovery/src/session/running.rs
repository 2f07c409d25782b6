//! The run: where workers hand over, and where its end is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::conductor::Conductor;
use super::error::{SessionError, Stopped};
use super::heart::Heart;
use crate::id::{Epoch, SinkPartition, WorkerIndex};
use crate::protocol::coordinator::{Fact, Frontier};
use crate::store::{Record, StoreError, Writer, WriterHandle};

/// A run on a store, shared by all workers of a process. Clones are of the same run; if the last
/// is dropped without [`finish`](Self::finish), that is what a crash does.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    conductor: Arc<Conductor>,
    handle: WriterHandle,
    /// Gone once the run is over.
    machinery: Mutex<Option<Machinery>>,
    hurried: Arc<AtomicBool>,
}

/// The threads of a run. Dropping them stops them, in this order.
#[derive(Debug)]
struct Machinery {
    writer: Writer,
    heart: Heart,
}

impl Session {
    pub(super) fn new(
        conductor: Arc<Conductor>,
        writer: Writer,
        heart: Heart,
        hurried: Arc<AtomicBool>,
    ) -> Self {
        let handle = writer.handle();
        let machinery = Mutex::new(Some(Machinery { writer, heart }));
        let inner = Inner {
            conductor,
            handle,
            machinery,
            hurried,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Hands over snapshots to be written. Waits only while there is no room.
    pub fn record(&self, records: Vec<Record>) -> Result<(), Stopped> {
        self.unless_stopped(self.inner.handle.append(records))
    }

    /// Hands over snapshots to be written, and never waits: for who has
    /// [waited for room](Self::await_room) before.
    pub fn record_now(&self, records: Vec<Record>) -> Result<(), Stopped> {
        self.unless_stopped(self.inner.handle.append_now(records))
    }

    fn unless_stopped(&self, appended: Result<(), StoreError>) -> Result<(), Stopped> {
        appended.map_err(|error| {
            // A writer that has stopped has told why.
            if !matches!(error, StoreError::Stopped) {
                self.inner.conductor.fail(error.into());
            }
            Stopped
        })
    }

    /// Whether [`record`](Self::record) need not wait.
    pub fn has_room(&self) -> bool {
        self.inner.handle.has_room()
    }

    /// Waits a while for that.
    pub fn await_room(&self, within: Duration) {
        self.inner.handle.await_room(within);
    }

    /// All epochs before this one are over for a worker, and it has handed over all their
    /// records.
    pub fn passed(&self, worker: WorkerIndex, frontier: Epoch) {
        self.inner.conductor.passed(worker, frontier);
    }

    /// Everything is over for a worker, and it has handed over all records; `last` is the newest
    /// epoch that it knows of.
    pub fn finished(&self, worker: WorkerIndex, last: Epoch) {
        self.inner.conductor.finished(worker, last);
    }

    /// A partition of a two-phase sink can publish all before this, whatever happens.
    pub fn prepared(&self, sink: SinkPartition, frontier: Frontier) {
        self.inner.conductor.tell(Fact::Prepared { sink, frontier });
    }

    /// A partition of a two-phase sink has published all epochs up to this one.
    pub fn published(&self, sink: SinkPartition, through: Epoch) {
        self.inner.conductor.tell(Fact::Published { sink, through });
    }

    /// Asks the sources to stop, so that the run ends here and can be resumed. Answered by
    /// [`Event::StopSources`](super::Event::StopSources), on this thread.
    pub fn drain(&self) {
        self.inner.conductor.tell(Fact::DrainAsked);
    }

    /// Waits until an epoch is committed.
    pub fn await_commit(&self, epoch: Epoch, deadline: Duration) -> Result<(), SessionError> {
        self.inner.conductor.await_commit(epoch, deadline)
    }

    /// Waits until all is committed and published, leaves the store in order, and gives the last
    /// epoch that was committed.
    ///
    /// A run that has failed gives its failure. One that doesn't end in time is
    /// [abandoned](Self::abandon), and the error says what it was waiting for.
    pub fn finish(self, deadline: Duration) -> Result<Option<Epoch>, SessionError> {
        let ended = self.inner.conductor.wait(deadline);
        let machinery = self.inner.take_machinery();
        let committed = ended?;
        if let Some(machinery) = machinery {
            self.inner.hurried.store(true, Ordering::Relaxed);
            machinery.close()?;
        }
        Ok(committed)
    }

    /// Ends a run that stops early: what is over is committed, if that can be done in time, and
    /// the store is left in order. Gives the last epoch that was committed.
    ///
    /// What goes wrong on the way is for the next run to find: what is committed is safe.
    pub fn stop(self, deadline: Duration) -> Option<Epoch> {
        let committed = self.inner.conductor.settle(deadline);
        if let Some(machinery) = self.inner.take_machinery() {
            self.inner.hurried.store(true, Ordering::Relaxed);
            let _ = machinery.close();
        }
        committed
    }

    /// Stops at once, as a crash would: nothing more is written, and no event tells of it.
    pub fn abandon(self) {
        self.inner.conductor.abandon();
        drop(self.inner.take_machinery());
    }
}

impl Inner {
    fn take_machinery(&self) -> Option<Machinery> {
        let mut machinery = self
            .machinery
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        machinery.take()
    }
}

impl Machinery {
    /// Leaves the store in order, while the heart still beats.
    fn close(self) -> Result<(), SessionError> {
        let Self {
            writer,
            heart: _heart,
        } = self;
        let closed = match writer.finish() {
            Ok(store) => store.close().map_err(Arc::new),
            Err(error) => Err(error),
        };
        match closed {
            // All is committed. What could not be tidied up, the next run will.
            Err(error) if is_harmless(&error) => Ok(()),
            other => Ok(other?),
        }
    }
}

fn is_harmless(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy { .. } | StoreError::Full { .. } | StoreError::Fenced { .. }
    )
}
