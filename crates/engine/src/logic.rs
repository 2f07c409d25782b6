//! What users bring: the traits behind each core operator.
//!
//! The plan holds factories and stateless callables, which all workers share.
//! What they build (a partition, the logic of a key) stays on its worker.
//!
//! Every method is called attached, with the scope in hand, and returns the
//! user's error as a value.

use crate::clock::Micros;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::plan::StepId;

/// Turns a batch into any number of items.
pub trait FlatMapBatch<H: Host>: Send + Sync {
    /// Maps `items`, and adds the results to `emit`.
    fn flat_map(
        &self,
        scope: H::Scope<'_>,
        items: Vec<H::Item>,
        emit: &mut Vec<H::Item>,
    ) -> Result<(), Failure<H>>;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// There may be more.
    More,
    /// There is no more; the batch is empty.
    End,
    /// The whole run shall stop at once.
    Abort,
}

/// A source with named partitions.
pub trait PartitionedSource<H: Host>: Send + Sync {
    /// The names of the partitions.
    fn list_parts(&self, scope: H::Scope<'_>) -> Result<Vec<String>, Failure<H>>;

    /// Opens one of them.
    fn build_part(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        part: &str,
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
    /// Adds the items that are there to `emit`.
    fn next_batch(
        &mut self,
        scope: H::Scope<'_>,
        emit: &mut Vec<H::Item>,
    ) -> Result<Polled, Failure<H>>;

    /// When to ask again; `None` leaves it to the engine.
    fn next_awake(&mut self, scope: H::Scope<'_>) -> Result<Option<Micros>, Failure<H>>;

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

    /// Opens one of them.
    fn build_part(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        part: &str,
    ) -> Result<Box<dyn SinkPartition<H>>, Failure<H>>;
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
    fn write_batch(&mut self, scope: H::Scope<'_>, items: Vec<H::Item>) -> Result<(), Failure<H>>;

    /// Lets go of what it holds.
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

/// What becomes of the logic of a key after a call.
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
    fn start(&self, wanted: &[bool]) -> Box<dyn KeyBuilder<H>>;

    /// Whether anybody can see in which order the keys of a batch are called. If not,
    /// they are called as they come, and a key maybe more than once.
    fn is_order_seen(&self) -> bool {
        true
    }
}

/// Makes the logic of a key when its first item arrives; one on each worker.
pub trait KeyBuilder<H: Host> {
    /// Makes the logic of one key.
    fn build(&self, scope: H::Scope<'_>, key: &H::Key) -> Result<Box<dyn KeyLogic<H>>, Failure<H>>;
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

/// The logic, and the state, of one key.
pub trait KeyLogic<H: Host> {
    /// Takes the values that arrived together out of `values`.
    fn on_batch(
        &mut self,
        scope: H::Scope<'_>,
        values: &mut Vec<H::Item>,
        emit: &mut Emit<H>,
    ) -> Result<Fate, Failure<H>>;

    /// The moment that `notify_at` named has come.
    fn on_notify(&mut self, scope: H::Scope<'_>, emit: &mut Emit<H>) -> Result<Fate, Failure<H>>;

    /// There are no more items, of any key.
    fn on_eof(&mut self, scope: H::Scope<'_>, emit: &mut Emit<H>) -> Result<Fate, Failure<H>>;

    /// When to be notified next. Asked after each of the calls above; the latest
    /// answer holds.
    fn notify_at(&mut self, scope: H::Scope<'_>) -> Result<Option<Micros>, Failure<H>>;
}
