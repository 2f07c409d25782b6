//! `output`: hands items to a sink.
//!
//! A dynamic sink has an open part on each worker from the start. A partitioned
//! sink is two operators: one routes each item to the worker that owns its
//! partition; the other opens a partition when its first item arrives.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::Laned;
use crate::logic::{DynamicSink, PartitionedSink, SinkPartition};
use crate::operators::open::Open;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::recovery::Change;
use crate::timely_ext::exchange::{Parcel, Sorter, by_address};
use crate::timely_ext::in_epochs::{InEpochs, Next};
use crate::timely_ext::receive::{Arrival, receive};
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
        changed: BTreeSet::new(),
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
    /// Whether it says what it has written, so that it must not see an epoch before the
    /// earlier ones are over.
    const IS_KEPT: bool;

    /// Opens what an earlier run has written to.
    fn restore(&mut self, _scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        Ok(())
    }

    /// What has changed in an epoch that is over.
    fn changes(&mut self, _scope: H::Scope<'_>) -> Result<Vec<Change>, Failure<H>> {
        Ok(Vec::new())
    }

    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

struct DynamicWriter<H: Host> {
    part: Option<Part<H>>,
}

impl<H: Host> Writer<H, Laned<H>> for DynamicWriter<H> {
    const IS_KEPT: bool = false;

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
    /// The parts that were written to in the epoch at hand.
    changed: BTreeSet<usize>,
}

impl<H: Host> PartitionedWriter<H> {
    fn part(&mut self, scope: H::Scope<'_>, partition: usize) -> Result<&mut Part<H>, Failure<H>> {
        match self.parts.entry(partition) {
            Entry::Occupied(part) => Ok(part.into_mut()),
            Entry::Vacant(place) => {
                let name = &self.context.partitions(&self.step)[partition].part;
                let part = self.sink.build_part(scope, &self.step, name, None)?;
                Ok(place.insert(Open::new(&self.context, &self.written_as, part)))
            }
        }
    }
}

impl<H: Host> Writer<H, Parcel<Batch<H>>> for PartitionedWriter<H> {
    const IS_KEPT: bool = true;

    fn is_nothing(&self, parcel: &Parcel<Batch<H>>) -> bool {
        parcel.batch.is_empty()
    }

    fn write(&mut self, scope: H::Scope<'_>, parcel: Parcel<Batch<H>>) -> Result<(), Failure<H>> {
        let items = parcel.batch.into_rows(scope);
        self.changed.insert(parcel.partition);
        self.part(scope, parcel.partition)?
            .get()
            .write_batch(scope, items)?;
        self.context.shared.room.give_back(parcel.weight);
        Ok(())
    }

    fn restore(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        for (name, saved) in self.context.take_restored(&self.step) {
            let parts = self.context.partitions(&self.step);
            let Some(partition) = parts.iter().position(|assigned| assigned.part == name) else {
                continue;
            };
            let part = self
                .sink
                .build_part(scope, &self.step, &name, Some(&saved))?;
            let part = Open::new(&self.context, &self.written_as, part);
            self.parts.insert(partition, part);
        }
        Ok(())
    }

    fn changes(&mut self, scope: H::Scope<'_>) -> Result<Vec<Change>, Failure<H>> {
        let mut changes = Vec::new();
        for partition in std::mem::take(&mut self.changed) {
            let Some(part) = self.parts.get_mut(&partition) else {
                continue;
            };
            if let Some(saved) = part.get().snapshot(scope)? {
                let name = self.context.partitions(&self.step)[partition].part.clone();
                changes.push((name, Some(saved)));
            }
        }
        Ok(changes)
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
    if let Some(recorder) = &context.recorder {
        let (_, clock) = builder.new_output::<Vec<()>>();
        recorder.watch_clock(clock);
    }
    let context = context.clone();
    let step = operator.written_as.clone();
    let id = operator.id.clone();
    H::attach(|scope| {
        if let Err(failure) = writer.restore(scope) {
            context.fail(scope, &step, failure);
        }
    });
    builder.build_reschedule(move |capabilities| {
        // Held until what was written is recorded.
        let mut held = capabilities;
        let records = W::IS_KEPT && context.recorder.is_some();
        let mut epochs = InEpochs::new(context.shared.first_epoch, records);
        let mut is_closed = false;
        move |frontiers| {
            epochs.add(receive(&mut input));
            let frontier = frontiers[0].frontier().first().copied();
            let has_ended = frontier.is_none() && !is_closed;
            if context.is_halted() {
                held.clear();
                epochs.clear();
                return !is_closed;
            }
            let todo: Vec<_> = std::iter::from_fn(|| epochs.next(frontier)).collect();
            if !todo.is_empty() || has_ended {
                let work = |scope: H::Scope<'_>| -> Result<(), Failure<H>> {
                    for next in todo {
                        match next {
                            Next::Take(arrival) => {
                                write_all(&context, scope, arrival, &mut writer)?;
                            }
                            Next::Close(epoch) => record(&context, scope, &id, epoch, &mut writer)?,
                        }
                    }
                    if has_ended {
                        writer.close(scope)
                    } else {
                        Ok(())
                    }
                };
                H::attach(|scope| {
                    if let Err(failure) = work(scope) {
                        context.fail(scope, &step, failure);
                    }
                });
            }
            for held in &mut held {
                held.downgrade(&epochs.open().0);
            }
            if has_ended {
                held.clear();
                is_closed = true;
            }
            !is_closed
        }
    });
}

/// Writes what arrived together.
fn write_all<H: Host, C, W: Writer<H, C>>(
    context: &Context<H>,
    scope: H::Scope<'_>,
    arrival: Arrival<C>,
    writer: &mut W,
) -> Result<(), Failure<H>> {
    for container in arrival.containers {
        if context.is_halted() {
            return Ok(());
        }
        if !writer.is_nothing(&container) {
            writer.write(scope, container)?;
        }
    }
    Ok(())
}

/// Hands over what was written in an epoch that is over.
fn record<H: Host, C, W: Writer<H, C>>(
    context: &Context<H>,
    scope: H::Scope<'_>,
    step: &StepId,
    epoch: Epoch,
    writer: &mut W,
) -> Result<(), Failure<H>> {
    if let Some(recorder) = &context.recorder {
        recorder.record(step, epoch, writer.changes(scope)?);
    }
    Ok(())
}
