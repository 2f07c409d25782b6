//! Sinks with named partitions: which item goes where, and what is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use timely::dataflow::Stream;

use super::{Part, Writer};
use crate::batch::Batch;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::logic::PartitionedSink;
use crate::operators::open::Open;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::recovery::{Change, Saved, SinkPartition};
use crate::spans::Origin;
use crate::timely_ext::exchange::{Parcel, Sorter};
use crate::timely_ext::transform::address;
use crate::timely_ext::{BatchStream, Time};

/// Takes each item to the worker that owns the partition of its key.
pub(super) fn route<'scope, H: Host>(
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
        for (partition, values) in sorter.drain() {
            let values = Batch::of_items(scope, values);
            let values = (values.weight(scope), values);
            let worker = owners[partition];
            out.push(Parcel::new(&sender, scope, worker, partition, values)?);
        }
        Ok(())
    })
}

/// Writes to the partitions that this worker owns.
///
/// A partition is opened when its first item arrives, or at the start, if an earlier run has
/// written to it or the sink is a two-phase sink.
pub(super) struct PartitionedWriter<H: Host> {
    context: Context<H>,
    step: StepId,
    written_as: StepId,
    sink: Arc<dyn PartitionedSink<H>>,
    parts: BTreeMap<usize, Part<H>>,
    /// The parts that have something new to be kept since the last epoch.
    changed: BTreeSet<usize>,
    /// The last epoch that is published, of a two-phase sink.
    published: Epoch,
}

impl<H: Host> PartitionedWriter<H> {
    pub(super) fn new(
        context: &Context<H>,
        operator: &PhysicalOperator<H>,
        sink: &Arc<dyn PartitionedSink<H>>,
    ) -> Self {
        Self {
            context: context.clone(),
            step: operator.id.clone(),
            written_as: operator.written_as.clone(),
            sink: Arc::clone(sink),
            parts: BTreeMap::new(),
            changed: BTreeSet::new(),
            published: Epoch(context.shared.first_epoch.0 - 1),
        }
    }

    fn build(
        &self,
        scope: H::Scope<'_>,
        partition: usize,
        saved: Option<&Saved>,
    ) -> Result<Part<H>, Failure<H>> {
        let name = &self.context.partitions(&self.step)[partition].part;
        let execution = self.context.shared.execution;
        let part = self
            .sink
            .build_part(scope, &self.step, name, execution, saved)?;
        Ok(Open::new(&self.context, &self.written_as, part))
    }

    /// What the partitions of a two-phase sink that this worker owns are to the store.
    fn numbers(&self) -> impl Iterator<Item = SinkPartition> {
        let assigned = self.context.partitions(&self.step).iter().enumerate();
        assigned
            .filter(|(_, assigned)| assigned.worker == self.context.worker)
            .filter_map(|(partition, _)| {
                let numbers = &self.context.shared.two_phase;
                numbers.number(&self.step, partition)
            })
    }
}

impl<H: Host> Writer<H, Parcel<Batch<H>>> for PartitionedWriter<H> {
    fn is_in_epochs(&self) -> bool {
        self.context.recorder.is_some() || self.sink.is_two_phase()
    }

    fn is_nothing(&self, parcel: &Parcel<Batch<H>>) -> bool {
        parcel.is_empty()
    }

    fn origin(&self, parcel: &Parcel<Batch<H>>) -> Option<Origin> {
        parcel.origin
    }

    fn write(&mut self, scope: H::Scope<'_>, parcel: Parcel<Batch<H>>) -> Result<(), Failure<H>> {
        let partition = parcel.partition;
        let items = parcel.open(&self.context, scope)?.into_rows(scope);
        self.changed.insert(partition);
        if let Some(part) = self.parts.get_mut(&partition) {
            return part.get().write_batch(scope, items);
        }
        let mut part = self.build(scope, partition, None)?;
        let written = part.get().write_batch(scope, items);
        self.parts.insert(partition, part);
        written
    }

    fn open(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        let mut restored: BTreeMap<_, _> =
            self.context.take_restored(&self.step).into_iter().collect();
        for partition in 0..self.context.partitions(&self.step).len() {
            let assigned = &self.context.partitions(&self.step)[partition];
            if assigned.worker != self.context.worker {
                continue;
            }
            let saved = restored.remove(&assigned.part);
            let is_two_phase = self.sink.is_two_phase();
            if saved.is_none() && !is_two_phase {
                continue;
            }
            let part = self.build(scope, partition, saved.as_ref())?;
            self.parts.insert(partition, part);
            if is_two_phase && saved.is_some() {
                // What it was to publish is published, and need not be kept any more.
                self.changed.insert(partition);
            }
        }
        Ok(())
    }

    fn close_epoch(
        &mut self,
        scope: H::Scope<'_>,
        epoch: Epoch,
    ) -> Result<Vec<Change>, Failure<H>> {
        let mut changes = Vec::new();
        for partition in std::mem::take(&mut self.changed) {
            let Some(part) = self.parts.get_mut(&partition) else {
                continue;
            };
            if self.sink.is_two_phase() {
                part.get().prepare(scope, epoch)?;
            }
            if self.context.recorder.is_some()
                && let Some(saved) = part.get().snapshot(scope)?
            {
                let name = self.context.partitions(&self.step)[partition].part.clone();
                changes.push((name, Some(saved)));
            }
        }
        if self.context.recorder.is_none() {
            // Nobody could go on from here, so it need not wait for anything.
            self.publish(scope, epoch)?;
        }
        Ok(changes)
    }

    fn tell_prepared(&self, open: Epoch, has_ended: bool) {
        if let Some(recorder) = &self.context.recorder {
            for number in self.numbers() {
                recorder.prepared(number, open, has_ended);
            }
        }
    }

    fn publish(&mut self, scope: H::Scope<'_>, through: Epoch) -> Result<(), Failure<H>> {
        if !self.sink.is_two_phase() || through <= self.published {
            return Ok(());
        }
        for (partition, part) in &mut self.parts {
            if part.get().publish(scope, through)? {
                self.changed.insert(*partition);
            }
        }
        self.published = through;
        if let Some(recorder) = &self.context.recorder {
            for number in self.numbers() {
                recorder.published(number, through);
            }
        }
        Ok(())
    }

    fn has_published(&self, epoch: Epoch) -> bool {
        !self.sink.is_two_phase() || self.published >= epoch
    }

    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        std::mem::take(&mut self.parts)
            .into_values()
            .try_for_each(|mut part| part.close(scope))
    }
}
