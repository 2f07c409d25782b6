//! A two-phase sink that outlives its runs, as files would: what it has prepared becomes visible
//! when it is published, and once only.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use millstream_recovery::id::{Epoch, ExecutionId, SinkPartition};
use millstream_recovery::protocol::coordinator::Frontier;
use millstream_recovery::protocol::path::CommittedPath;
use millstream_recovery::session::{Event, Session};

const SINK: SinkPartition = SinkPartition(0);

/// Positions of items.
type Items = Range<usize>;

/// What is there of the sink between runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    prepared: BTreeMap<(ExecutionId, Epoch), Items>,
    published: Vec<Items>,
}

/// The sink in a run.
pub(crate) struct Sink {
    outbox: Outbox,
    execution: ExecutionId,
    told: Sender<Told>,
    thread: JoinHandle<()>,
}

enum Told {
    Publish(Epoch),
    Stop,
}

impl Outbox {
    /// Opens it for a run: what is history is published, and nothing else is kept.
    pub(crate) fn open(&self, path: &CommittedPath) {
        let mut inner = self.inner.lock().unwrap();
        for ((execution, epoch), items) in std::mem::take(&mut inner.prepared) {
            if path.contains(execution, epoch) {
                inner.published.push(items);
            }
        }
    }

    /// All items that are visible, in their order.
    pub(crate) fn published(&self) -> Vec<usize> {
        let inner = self.inner.lock().unwrap();
        let mut items: Vec<_> = inner.published.iter().cloned().flatten().collect();
        items.sort_unstable();
        items
    }

    fn publish(&self, execution: ExecutionId, through: Epoch) {
        let mut inner = self.inner.lock().unwrap();
        let later = inner.prepared.split_off(&(execution, through.next()));
        let items = std::mem::replace(&mut inner.prepared, later);
        inner.published.extend(items.into_values());
    }
}

impl Sink {
    /// Gives what is to be told of events, and then makes the sink of the session.
    pub(crate) fn start(
        outbox: &Outbox,
        execution: ExecutionId,
        begin: impl FnOnce(Box<dyn Fn(Event) + Send + Sync>) -> Session,
    ) -> (Self, Session) {
        let (told, tasks) = channel();
        let teller = told.clone();
        let session = begin(Box::new(move |event| {
            if let Event::Publish { through } = event {
                let _ = teller.send(Told::Publish(through));
            }
        }));
        let (sink, of) = (outbox.clone(), session.clone());
        let thread = std::thread::spawn(move || {
            while let Ok(Told::Publish(through)) = tasks.recv() {
                sink.publish(execution, through);
                of.published(SINK, through);
            }
        });
        let sink = Self {
            outbox: outbox.clone(),
            execution,
            told,
            thread,
        };
        (sink, session)
    }

    /// Makes the items of an epoch durable, not visible.
    pub(crate) fn prepare(&self, session: &Session, epoch: Epoch, items: Items) {
        let mut inner = self.outbox.inner.lock().unwrap();
        inner.prepared.insert((self.execution, epoch), items);
        drop(inner);
        session.prepared(SINK, Frontier::At(epoch.next()));
    }

    /// Everything is prepared.
    pub(crate) fn finish(session: &Session, last: Epoch) {
        session.prepared(SINK, Frontier::Finished { last });
    }

    /// Lets it come to rest.
    pub(crate) fn stop(self) {
        let _ = self.told.send(Told::Stop);
        self.thread.join().unwrap();
    }
}
