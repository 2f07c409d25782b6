//! What users bring: the traits behind each core operator.
//!
//! The plan holds factories and stateless callables, which all workers share.
//! What they build (a partition, the logic of a key) stays on its worker.
//!
//! Every method is called attached, with the scope in hand, and returns the
//! user's error as a value.

use crate::batch::Batch;
use crate::clock::Micros;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::operators::stateful_batch::keys::{AnyKeys, Keys};
use crate::plan::StepId;
use crate::recovery::Saved;
use crate::window::{Clock, Timed};

/// Turns a batch into any number of items.
pub trait FlatMapBatch<H: Host>: Send + Sync {
    /// Maps some items.
    fn flat_map(&self, scope: H::Scope<'_>, items: H::Rows) -> Result<Batch<H>, Failure<H>>;
}

/// Decides which of two ways an item goes.
pub trait Predicate<H: Host>: Send + Sync {
    /// Whether the item goes the way of the true ones.
    fn test(&self, scope: H::Scope<'_>, item: &H::Item) -> Result<bool, Failure<H>>;
}

/// Looks at items as they pass.
pub trait Inspector<H: Host>: Send + Sync {
    /// Looks at one item.
    fn inspect(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        item: &H::Item,
        epoch: Epoch,
        worker: usize,
    ) -> Result<(), Failure<H>>;
}

/// What a source partition has said.
pub enum Polled<H: Host> {
    /// Here are some items, maybe none, and there may be more.
    Batch(H::Rows),
    /// There is no more.
    End,
    /// The whole run shall stop at once.
    Abort,
}

/// A source with named partitions.
pub trait PartitionedSource<H: Host>: Send + Sync {
    /// The names of the partitions.
    fn list_parts(&self, scope: H::Scope<'_>) -> Result<Vec<String>, Failure<H>>;

    /// Opens one of them, where it stopped if it has been read before.
    fn build_part(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        part: &str,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SourcePartition<H>>, Failure<H>>;
}

/// A source that every worker reads for itself.
pub trait DynamicSource<H: Host>: Send + Sync {
    /// Opens the part of one worker.
    fn build(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        worker: usize,
        workers: usize,
    ) -> Result<Box<dyn SourcePartition<H>>, Failure<H>>;
}

/// One part of a source, being read.
pub trait SourcePartition<H: Host> {
    /// Takes the items that are there.
    fn next_batch(&mut self, scope: H::Scope<'_>) -> Result<Polled<H>, Failure<H>>;

    /// When to ask again; `None` leaves it to the engine.
    fn next_awake(&mut self, scope: H::Scope<'_>) -> Result<Option<Micros>, Failure<H>>;

    /// Where it is: what to build it from to read on from here. Nothing if it can't be
    /// resumed.
    fn snapshot(&mut self, scope: H::Scope<'_>) -> Result<Option<Saved>, Failure<H>>;

    /// Lets go of what it holds.
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

/// A sink with named partitions, to which items are routed by key.
pub trait PartitionedSink<H: Host>: Send + Sync {
    /// The names of the partitions.
    fn list_parts(&self, scope: H::Scope<'_>) -> Result<Vec<String>, Failure<H>>;

    /// The index, among `parts` partitions in the order of their names, that a key
    /// belongs to.
    fn route(&self, scope: H::Scope<'_>, key: &H::Key, parts: usize) -> Result<usize, Failure<H>>;

    /// Opens one of them, as it was if it has been written before. `execution` is the number
    /// of this run on its store, greater than those before; zero if there is none.
    fn build_part(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        part: &str,
        execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<H>>, Failure<H>>;

    /// Takes over a partition that the store knows nothing of, before anything is written to it:
    /// gives what to open it from, which is kept first. Fails if what is there isn't the sink's
    /// to write over. Asked only if there is a store.
    fn claim_part(
        &self,
        _scope: H::Scope<'_>,
        _step: &StepId,
        _part: &str,
    ) -> Result<Option<Saved>, Failure<H>> {
        Ok(None)
    }

    /// Whether what is written shows only when it is published. All partitions of such a sink
    /// are open from the start.
    fn is_two_phase(&self) -> bool {
        false
    }
}

/// A sink that every worker writes for itself.
pub trait DynamicSink<H: Host>: Send + Sync {
    /// Opens the part of one worker.
    fn build(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        worker: usize,
        workers: usize,
    ) -> Result<Box<dyn SinkPartition<H>>, Failure<H>>;
}

/// One part of a sink, being written.
pub trait SinkPartition<H: Host> {
    /// Writes items; when it returns, they are the sink's responsibility.
    fn write_batch(&mut self, scope: H::Scope<'_>, items: H::Rows) -> Result<(), Failure<H>>;

    /// What to build it from, to write on from here. Nothing if it can't be resumed.
    fn snapshot(&mut self, scope: H::Scope<'_>) -> Result<Option<Saved>, Failure<H>>;

    /// An epoch is over, of a two-phase sink: when this returns, what was written in it can be
    /// published whatever happens, by whatever is built from the snapshot.
    fn prepare(&mut self, _scope: H::Scope<'_>, _epoch: Epoch) -> Result<(), Failure<H>> {
        Ok(())
    }

    /// All epochs up to this one are kept, of a two-phase sink: shows what was prepared in them.
    /// Gives whether there was anything.
    fn publish(&mut self, _scope: H::Scope<'_>, _through: Epoch) -> Result<bool, Failure<H>> {
        Ok(false)
    }

    /// Lets go of what it holds.
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

/// What becomes of the state of a key after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives on.
    Retain,
    /// It is dropped; a later item of its key begins anew.
    Discard,
}

/// A step that keeps state for each key; shared by all workers.
pub trait StatefulBatch<H: Host>: Send + Sync {
    /// Begins on a worker. `wanted` says of each output whether anybody takes it.
    fn start(&self, wanted: &[bool]) -> KeyedStep<H>;

    /// Begins, on a worker, to make one value of several of a key before they go to the worker
    /// that owns it, if it makes no difference to any result which are combined first. It emits
    /// them at the end, by the first output; they arrive there by [`COMBINED`]. Others may arrive
    /// as they are, at any time. What it emits must be light, as counts are. Asked only of a step
    /// with one stream.
    fn start_combining(&self) -> Option<KeyedStep<H>> {
        None
    }

    /// What its state is, in a few words: state that was kept under another form isn't its.
    fn form(&self) -> String;
}

/// The stream of a step by which values come that were combined before.
pub const COMBINED: usize = usize::MAX;

/// A step that keeps state for each key, and goes by one watermark for its whole stream;
/// shared by all workers.
///
/// Its keys are notified in event time: what [`KeyedLogic::notify_at`] returns is a
/// watermark.
pub trait TimedBatch<H: Host>: Send + Sync {
    /// Begins on a worker. `wanted` says of each output whether anybody takes it.
    fn start(&self, wanted: &[bool]) -> KeyedStep<H, TimedItem<H>>;

    /// What its state is, in a few words: state that was kept under another form isn't its.
    fn form(&self) -> String;

    /// What timestamps say about those to come.
    fn clock(&self) -> Clock;

    /// For how long a part of the stream may bring nothing until it doesn't hold back
    /// the watermark any more, in microseconds.
    fn idle_timeout(&self) -> i64;

    /// The system time.
    fn now(&self, scope: H::Scope<'_>) -> Result<Micros, Failure<H>>;

    /// The timestamp of a value.
    fn timestamp(&self, scope: H::Scope<'_>, value: &H::Item) -> Result<i64, Failure<H>>;

    /// The system time at which to look whether the watermark has reached a timestamp,
    /// if the user says so; `otherwise` is what the engine makes of it.
    fn look_at(
        &self,
        _scope: H::Scope<'_>,
        _timestamp: i64,
        otherwise: Option<Micros>,
    ) -> Result<Option<Micros>, Failure<H>> {
        Ok(otherwise)
    }
}

/// A value with its place in event time.
pub type TimedItem<H> = Timed<<H as Host>::Item>;

/// A step that keeps state for each key, on one worker. Values are of type `V`.
pub struct KeyedStep<H: Host, V = <H as Host>::Item>(pub(crate) Box<dyn AnyKeys<H, V>>);

impl<H: Host, V: 'static> KeyedStep<H, V> {
    /// A step without keys so far.
    pub fn new(logic: impl KeyedLogic<H, V>) -> Self {
        Self(Box::new(Keys::new(logic)))
    }
}

/// The most outputs that a step with state can have.
pub const PORTS: usize = 3;

/// What a key emits, output by output.
pub struct Emit<H: Host> {
    pub(crate) ports: [Vec<H::Item>; PORTS],
}

impl<H: Host> Emit<H> {
    pub(crate) fn new() -> Self {
        Self {
            ports: std::array::from_fn(|_| Vec::new()),
        }
    }

    /// Where to put what goes to an output. Most steps have the first only.
    pub fn to(&mut self, port: usize) -> &mut Vec<H::Item> {
        &mut self.ports[port]
    }

    /// Emits an item on the first output.
    pub fn push(&mut self, item: H::Item) {
        self.ports[0].push(item);
    }
}

/// Whether keys are asked when to notify them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// They have no timers.
    Never,
    /// After each call: for user code, which can see that.
    AtOnce,
    /// A few milliseconds later, once for all batches in between.
    Later,
}

/// What a step does with the values of its keys; one on each worker. The engine keeps
/// the state of each key, side by side.
pub trait KeyedLogic<H: Host, V = <H as Host>::Item>: 'static {
    /// What is kept of a key.
    type State: 'static;

    /// Makes the state of a key when its first item arrives.
    fn build(&mut self, scope: H::Scope<'_>, key: &H::Key) -> Result<Self::State, Failure<H>>;

    /// Makes the state of a key again from what [`snapshot`](Self::snapshot) made of it.
    fn resume(
        &mut self,
        scope: H::Scope<'_>,
        key: &H::Key,
        saved: &Saved,
    ) -> Result<Self::State, Failure<H>>;

    /// The state of a key, to be kept.
    fn snapshot(
        &mut self,
        scope: H::Scope<'_>,
        state: &mut Self::State,
    ) -> Result<Saved, Failure<H>>;

    /// Takes the values that arrived together out of `values`.
    fn on_batch(
        &mut self,
        scope: H::Scope<'_>,
        state: &mut Self::State,
        values: &mut Vec<V>,
        emit: &mut Emit<H>,
    ) -> Result<Fate, Failure<H>>;

    /// The moment that `notify_at` named has come.
    fn on_notify(
        &mut self,
        _scope: H::Scope<'_>,
        _state: &mut Self::State,
        _emit: &mut Emit<H>,
    ) -> Result<Fate, Failure<H>> {
        Ok(Fate::Retain)
    }

    /// There are no more items, of any key.
    fn on_eof(
        &mut self,
        _scope: H::Scope<'_>,
        _state: &mut Self::State,
        _emit: &mut Emit<H>,
    ) -> Result<Fate, Failure<H>> {
        Ok(Fate::Retain)
    }

    /// When to be notified next. Asked after each of the calls above; the latest
    /// answer holds.
    fn notify_at(
        &mut self,
        _scope: H::Scope<'_>,
        _state: &mut Self::State,
    ) -> Result<Option<Micros>, Failure<H>> {
        Ok(None)
    }

    /// Whether the keys of a batch are called in the order of their text, for user code
    /// whose calls can be seen. If not, they are called as they come; what they emit is
    /// in the order of their text either way.
    fn is_called_in_order(&self) -> bool {
        true
    }

    /// Whether, and how soon, `notify_at` is asked.
    fn asking(&self) -> Asking {
        Asking::Never
    }

    /// How many values came too late so far, in a step that goes by time.
    fn late(&self) -> Option<u64> {
        None
    }

    /// The batch that follows came by this one of the step's streams.
    fn begin_batch(&mut self, _input: usize) {}

    /// The watermark of the whole stream is at `watermark`, with the batch that follows
    /// taken in; only told to a step that goes by it.
    fn advance(&mut self, _watermark: i64) {}
}
