//! From the physical plan to timely operators: one short arm per operator.
//!
//! Every worker compiles the same plan, and builds the same operators in the same
//! order, or none at all: sources and sinks are opened first, since that can fail.

use std::collections::HashMap;

use timely::dataflow::Scope;

use crate::context::Context;
use crate::error::Error;
use crate::host::Host;
use crate::operators::branch::branch;
use crate::operators::flat_map_batch::flat_map_batch;
use crate::operators::input::{Parts, input, open_source};
use crate::operators::inspect_debug::inspect_debug;
use crate::operators::merge::merge;
use crate::operators::output::{Part, open_sink, output_dynamic, output_partitioned};
use crate::operators::redistribute::redistribute;
use crate::operators::stateful_batch::stateful_batch;
use crate::operators::timed_batch::timed_batch;
use crate::physical::{Kind, Physical, PhysicalOperator};
use crate::plan::{Core, Sink, StepId, StreamId};
use crate::timely_ext::{BatchStream, Time};

/// The streams made so far, each with how many operators still take it.
struct Streams<'scope, H: Host> {
    made: HashMap<StreamId, (BatchStream<'scope, H>, usize)>,
    takers: HashMap<StreamId, usize>,
}

impl<'scope, H: Host> Streams<'scope, H> {
    fn new(physical: &Physical<H>) -> Self {
        let mut takers = HashMap::new();
        for up in physical.operators.iter().flat_map(|op| &op.ups) {
            *takers.entry(up.clone()).or_insert(0) += 1;
        }
        Self {
            made: HashMap::new(),
            takers,
        }
    }

    fn make(&mut self, id: &StreamId, stream: BatchStream<'scope, H>) {
        let takers = self.takers.get(id).copied().unwrap_or(0);
        self.made.insert(id.clone(), (stream, takers));
    }

    /// The streams that nobody takes, on every worker in the same order.
    fn left(self) -> Vec<BatchStream<'scope, H>> {
        let mut left: Vec<_> = self.made.into_iter().collect();
        left.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        left.into_iter().map(|(_, (stream, _))| stream).collect()
    }

    /// Of each stream that an operator makes, whether anybody takes it.
    fn wanted(&self, operator: &PhysicalOperator<H>) -> Vec<bool> {
        let downs = operator.downs.iter();
        downs.map(|down| self.takers.contains_key(down)).collect()
    }

    /// The stream itself for its last taker, another handle for those before: a
    /// stream that was never cloned moves its batches without a copy.
    fn take(&mut self, id: &StreamId) -> Option<BatchStream<'scope, H>> {
        let (_, left) = self.made.get_mut(id)?;
        *left -= 1;
        if *left == 0 {
            return self.made.remove(id).map(|(stream, _)| stream);
        }
        self.made.get(id).map(|(stream, _)| stream.clone())
    }
}

/// What was opened for a step before its operator is built.
enum Opened<H: Host> {
    Source(Parts<H>),
    Sink(Part<H>),
}

/// Opens the sources and the dynamic sinks of this worker.
fn open_all<H: Host>(
    context: &Context<H>,
    physical: &Physical<H>,
) -> Result<HashMap<StepId, Opened<H>>, Error<H>> {
    H::attach(|scope| {
        let mut all = HashMap::new();
        for operator in &physical.operators {
            let opened = match &operator.kind {
                Kind::Core(Core::Input(source)) => {
                    open_source(context, operator, source, scope).map(Opened::Source)
                }
                Kind::Core(Core::Output(Sink::Dynamic(sink))) => {
                    open_sink(context, operator, sink, scope).map(Opened::Sink)
                }
                _ => continue,
            };
            let opened = opened.map_err(|failure| Error::Step {
                step: operator.written_as.clone(),
                worker: Some(context.worker),
                failure,
            })?;
            all.insert(operator.id.clone(), opened);
        }
        Ok(all)
    })
}

/// Builds the dataflow on this worker.
pub(crate) fn compile<H: Host>(
    context: &Context<H>,
    physical: &Physical<H>,
    scope: Scope<'_, Time>,
) -> Result<(), Error<H>> {
    let mut opened = open_all(context, physical)?;
    let mut streams = Streams::new(physical);
    for operator in &physical.operators {
        let opened = opened.remove(&operator.id);
        compile_operator(context, operator, opened, &mut streams, scope)
            .ok_or_else(|| Error::Internal(format!("step `{}` lacks a stream", operator.id)))?;
    }
    if let Some(recorder) = &context.recorder {
        for stream in streams.left() {
            recorder.watch(stream);
        }
    }
    Ok(())
}

/// Builds one operator; `None` if a stream is missing, which validation rules out.
fn compile_operator<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    opened: Option<Opened<H>>,
    streams: &mut Streams<'scope, H>,
    scope: Scope<'scope, Time>,
) -> Option<()> {
    let mut ups = operator
        .ups
        .iter()
        .map(|up| streams.take(up))
        .collect::<Option<Vec<_>>>()?;
    let core = match &operator.kind {
        Kind::Core(core) => core,
        Kind::Fused(_) => {
            let mapper = context.shared.fused.get(&operator.id)?;
            let down = flat_map_batch(context, operator, mapper, ups.pop()?);
            streams.make(operator.downs.first()?, down);
            return Some(());
        }
    };
    let downs = match (core, opened) {
        (Core::Input(_), Some(Opened::Source(parts))) => {
            vec![input(context, operator, parts, scope)]
        }
        (Core::Output(Sink::Dynamic(_)), Some(Opened::Sink(part))) => {
            output_dynamic(context, operator, part, ups.pop()?);
            vec![]
        }
        (Core::Output(Sink::Partitioned(sink)), _) => {
            output_partitioned(context, operator, sink, ups.pop()?);
            vec![]
        }
        (Core::FlatMapBatch(mapper), _) => {
            vec![flat_map_batch(context, operator, mapper, ups.pop()?)]
        }
        (Core::Branch(predicate), _) => branch(context, operator, predicate, ups.pop()?).into(),
        (Core::Merge, _) => vec![merge(context, &operator.id, scope, ups)],
        (Core::Redistribute, _) => vec![redistribute(context, operator, ups.pop()?)],
        (Core::InspectDebug(inspector), _) => {
            vec![inspect_debug(context, operator, inspector, ups.pop()?)]
        }
        (Core::StatefulBatch(builder), _) => {
            let wanted = streams.wanted(operator);
            stateful_batch(context, operator, builder, &wanted, ups)
        }
        (Core::TimedBatch(builder), _) => {
            let wanted = streams.wanted(operator);
            timed_batch(context, operator, builder, &wanted, ups.pop()?)
        }
        (Core::Input(_) | Core::Output(Sink::Dynamic(_)), _) => return None,
    };
    for (id, stream) in operator.downs.iter().zip(downs) {
        streams.make(id, stream);
    }
    Some(())
}
