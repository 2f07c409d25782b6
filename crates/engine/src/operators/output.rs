//! `output`: hands items to a sink.
//!
//! A dynamic sink has an open part on each worker from the start. A partitioned
//! sink is two operators: one routes each item to the worker that owns its
//! partition; the other opens a partition when its first item arrives.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::host::{Failure, Host};
use crate::lane::Laned;
use crate::logic::{DynamicSink, PartitionedSink, SinkPartition};
use crate::operators::open::Open;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::timely_ext::exchange::{Parcel, Sorter, by_address};
use crate::timely_ext::receive::receive;
use crate::timely_ext::transform::address;
use crate::timely_ext::{BatchStream, Time};

pub(crate) type Part<H> = Open<H, dyn SinkPartition<H>>;

/// Opens this worker's part of a dynamic sink.
pub(crate) fn open_sink<H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    sink: &Arc<dyn DynamicSink<H>>,
    scope: H::Scope<'_>,
) -> Result<Part<H>, Failure<H>> {
    let part = sink.build(scope, &operator.id, context.worker, context.workers)?;
    Ok(Open::new(context, &operator.written_as, part))
}

/// Writes everything that arrives on this worker to one part.
pub(crate) fn output_dynamic<H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    part: Part<H>,
    up: BatchStream<'_, H>,
) {
    let writer = DynamicWriter { part: Some(part) };
    write(context, operator, up.batches, Pipeline, writer);
}

/// Writes each item to the partition that its key belongs to.
pub(crate) fn output_partitioned<H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    sink: &Arc<dyn PartitionedSink<H>>,
    up: BatchStream<'_, H>,
) {
    let parcels = route(context, operator, sink, up);
    let writer = PartitionedWriter {
        context: context.clone(),
        step: operator.id.clone(),
        written_as: operator.written_as.clone(),
        sink: Arc::clone(sink),
        parts: BTreeMap::new(),
    };
    if context.workers == 1 {
        write(context, operator, parcels, Pipeline, writer);
    } else {
        write(context, operator, parcels, by_address(), writer);
    }
}

fn route<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    sink: &Arc<dyn PartitionedSink<H>>,
    up: BatchStream<'scope, H>,
) -> Stream<'scope, Time, Parcel<Batch<H>>> {
    let sink = Arc::clone(sink);
    let sender = context.clone();
    let step = operator.written_as.clone();
    let owners: Vec<usize> = context
        .partitions(&operator.id)
        .iter()
        .map(|assigned| assigned.worker)
        .collect();
    let mut sorter = Sorter::new(owners.len());
    address(context, operator, up, move |scope, batch, out| {
        for (key, value) in batch.into_keyed(scope, &step)? {
            if sender.is_halted() {
                return Ok(());
            }
            sorter.put(sink.route(scope, &key, owners.len())?, value);
        }
        out.extend(sorter.drain().map(|(partition, values)| {
            let values = Batch::of_items(scope, values);
            Parcel::new(&sender, scope, owners[partition], partition, values)
        }));
        Ok(())
    })
}

/// What a sink operator does with what arrives.
trait Writer<H: Host, C> {
    /// Whether there is nothing to write.
    fn is_nothing(&self, container: &C) -> bool;

    fn write(&mut self, scope: H::Scope<'_>, container: C) -> Result<(), Failure<H>>;
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

struct DynamicWriter<H: Host> {
    part: Option<Part<H>>,
}

impl<H: Host> Writer<H, Laned<H>> for DynamicWriter<H> {
    fn is_nothing(&self, laned: &Laned<H>) -> bool {
        laned.batch.is_empty()
    }

    fn write(&mut self, scope: H::Scope<'_>, laned: Laned<H>) -> Result<(), Failure<H>> {
        let items = laned.batch.into_rows(scope);
        self.part
            .as_mut()
            .map_or(Ok(()), |part| part.get().write_batch(scope, items))
    }

    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        self.part
            .take()
            .map_or(Ok(()), |mut part| part.close(scope))
    }
}

struct PartitionedWriter<H: Host> {
    context: Context<H>,
    step: StepId,
    written_as: StepId,
    sink: Arc<dyn PartitionedSink<H>>,
    parts: BTreeMap<usize, Part<H>>,
}

impl<H: Host> PartitionedWriter<H> {
    fn part(&mut self, scope: H::Scope<'_>, partition: usize) -> Result<&mut Part<H>, Failure<H>> {
        match self.parts.entry(partition) {
            Entry::Occupied(part) => Ok(part.into_mut()),
            Entry::Vacant(place) => {
                let name = &self.context.partitions(&self.step)[partition].part;
                let part = self.sink.build_part(scope, &self.step, name)?;
                Ok(place.insert(Open::new(&self.context, &self.written_as, part)))
            }
        }
    }
}

impl<H: Host> Writer<H, Parcel<Batch<H>>> for PartitionedWriter<H> {
    fn is_nothing(&self, parcel: &Parcel<Batch<H>>) -> bool {
        parcel.batch.is_empty()
    }

    fn write(&mut self, scope: H::Scope<'_>, parcel: Parcel<Batch<H>>) -> Result<(), Failure<H>> {
        let items = parcel.batch.into_rows(scope);
        self.part(scope, parcel.partition)?
            .get()
            .write_batch(scope, items)?;
        self.context.shared.room.give_back(parcel.weight);
        Ok(())
    }

    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        std::mem::take(&mut self.parts)
            .into_values()
            .try_for_each(|mut part| part.close(scope))
    }
}

/// Builds the operator around a writer. It is complete only when the writer has
/// been closed, so a run can't end before.
fn write<H, C, P, W>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    up: Stream<'_, Time, C>,
    pact: P,
    mut writer: W,
) where
    H: Host,
    C: Accountable + Default + 'static,
    P: ParallelizationContract<Time, C>,
    W: Writer<H, C> + 'static,
{
    let mut builder = OperatorBuilder::new(format!("{}.write", operator.id), up.scope());
    let mut input = builder.new_input(up, pact);
    builder.set_notify_for(0, FrontierInterest::Always);
    let context = context.clone();
    let step = operator.written_as.clone();
    builder.build_reschedule(move |_capabilities| {
        let mut is_closed = false;
        move |frontiers| {
            let arrivals = receive(&mut input);
            let has_ended = frontiers[0].is_empty() && !is_closed;
            if context.is_halted() || (arrivals.is_empty() && !has_ended) {
                return !is_closed;
            }
            H::attach(|scope| {
                let mut containers = arrivals.into_iter().flat_map(|arrival| arrival.containers);
                let written = containers
                    .try_for_each(|container| {
                        if context.is_halted() || writer.is_nothing(&container) {
                            return Ok(());
                        }
                        writer.write(scope, container)
                    })
                    .and_then(|()| {
                        if has_ended {
                            writer.close(scope)
                        } else {
                            Ok(())
                        }
                    });
                if let Err(failure) = written {
                    context.fail(scope, &step, failure);
                }
            });
            is_closed |= has_ended;
            !is_closed
        }
    });
}
