//! `output`: hands items to a sink.
//!
//! A dynamic sink has an open part on each worker from the start. A partitioned
//! sink is two operators: one routes each item to the worker that owns its
//! partition; the other writes it there.
//!
//! A two-phase sink prepares each epoch when it is over, and shows it when it is kept. By then
//! its operator may have let go of the epoch, and of the last one too; it only stays alive
//! until all is shown.

mod partitioned;

use std::sync::Arc;

use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::Laned;
use crate::logic::{DynamicSink, PartitionedSink, SinkPartition};
use crate::metrics::{Figures, Role};
use crate::operators::open::Open;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::recovery::Change;
use crate::spans::{Call, Origin, Spans};
use crate::timely_ext::exchange::by_address;
use crate::timely_ext::in_epochs::{InEpochs, Next};
use crate::timely_ext::receive::{Arrival, receive};
use crate::timely_ext::{BatchStream, Time};
use partitioned::{PartitionedWriter, route};

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
    let writer = PartitionedWriter::new(context, operator, sink);
    if context.workers == 1 {
        write(context, operator, parcels, Pipeline, writer);
    } else {
        write(context, operator, parcels, by_address(), writer);
    }
}

/// What a sink operator does with what arrives.
trait Writer<H: Host, C> {
    /// Whether it must not see an epoch before the earlier ones are over.
    fn is_in_epochs(&self) -> bool {
        false
    }

    /// Whether there is nothing to write.
    fn is_nothing(&self, container: &C) -> bool;

    /// The trace that it belongs to.
    fn origin(&self, container: &C) -> Option<Origin>;

    fn write(&mut self, scope: H::Scope<'_>, container: C) -> Result<(), Failure<H>>;

    /// Opens what must be open before the first item arrives.
    fn open(&mut self, _scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        Ok(())
    }

    /// An epoch is over; gives what has changed in it.
    fn close_epoch(
        &mut self,
        _scope: H::Scope<'_>,
        _epoch: Epoch,
    ) -> Result<Vec<Change>, Failure<H>> {
        Ok(Vec::new())
    }

    /// Tells the store that all epochs before `open` are prepared, or all that will be.
    fn tell_prepared(&self, _open: Epoch, _has_ended: bool) {}

    /// Shows what is kept, up to an epoch.
    fn publish(&mut self, _scope: H::Scope<'_>, _through: Epoch) -> Result<(), Failure<H>> {
        Ok(())
    }

    /// Whether all up to an epoch is to be seen.
    fn has_published(&self, _epoch: Epoch) -> bool {
        true
    }

    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

struct DynamicWriter<H: Host> {
    part: Option<Part<H>>,
}

impl<H: Host> Writer<H, Laned<H>> for DynamicWriter<H> {
    fn is_nothing(&self, laned: &Laned<H>) -> bool {
        laned.batch.is_empty()
    }

    fn origin(&self, laned: &Laned<H>) -> Option<Origin> {
        laned.origin
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
    let scope = up.scope();
    let mut builder = OperatorBuilder::new(format!("{}.write", operator.id), scope);
    let mut input = builder.new_input(up, pact);
    builder.set_notify_for(0, FrontierInterest::Always);
    if let Some(recorder) = &context.recorder {
        let (_, clock) = builder.new_output::<Vec<()>>();
        recorder.watch_clock(clock);
    }
    let context = context.clone();
    let step = operator.written_as.clone();
    let id = operator.id.clone();
    let seen = Seen::new(&context, operator);
    let waker = scope.activator_for(builder.operator_info().address);
    context.wakers.borrow_mut().push(waker);
    H::attach(|scope| {
        if let Err(failure) = writer.open(scope) {
            context.fail(scope, &step, failure);
        }
    });
    builder.build_reschedule(move |capabilities| {
        // Held until what was written is recorded.
        let mut held = capabilities;
        let mut epochs = InEpochs::new(context.shared.first_epoch, writer.is_in_epochs());
        let mut told = (context.shared.first_epoch, false);
        let mut is_closed = false;
        move |frontiers| {
            epochs.add(receive(&mut input));
            let frontier = frontiers[0].frontier().first().copied();
            seen.figures.frontier.set(frontier.unwrap_or(Time::MAX));
            if is_closed {
                return false;
            }
            if context.is_halted() {
                held.clear();
                epochs.clear();
                return true;
            }
            let has_ended = frontier.is_none();
            let todo: Vec<_> = std::iter::from_fn(|| epochs.next(frontier)).collect();
            let last = epochs.open();
            let publishable = context.publishable();
            if !todo.is_empty() || has_ended || !writer.has_published(publishable) {
                let work = |scope: H::Scope<'_>| -> Result<bool, Failure<H>> {
                    for next in todo {
                        if context.is_halted() {
                            return Ok(false);
                        }
                        work_off(&context, &seen, scope, &id, next, &mut writer)?;
                    }
                    writer.publish(scope, publishable)?;
                    let is_done = has_ended && writer.has_published(last);
                    if is_done {
                        writer.close(scope)?;
                    }
                    Ok(is_done)
                };
                H::attach(|scope| match work(scope) {
                    Ok(is_done) => is_closed = is_done,
                    Err(failure) => context.fail(scope, &step, failure),
                });
            }
            if context.is_halted() {
                return true;
            }
            if told != (last, has_ended) {
                told = (last, has_ended);
                writer.tell_prepared(last, has_ended);
            }
            for held in &mut held {
                held.downgrade(&last.0);
            }
            if has_ended {
                held.clear();
            }
            !is_closed
        }
    });
}

/// What is seen of a sink on a worker from outside.
struct Seen<H: Host> {
    figures: Arc<Figures>,
    spans: Spans<H>,
}

impl<H: Host> Seen<H> {
    fn new(context: &Context<H>, operator: &PhysicalOperator<H>) -> Self {
        Self {
            figures: context.figures(&operator.id, Role::Sink),
            spans: context.spans(operator),
        }
    }
}

/// Writes what arrived, or hands over what was written.
fn work_off<H: Host, C, W: Writer<H, C>>(
    context: &Context<H>,
    seen: &Seen<H>,
    scope: H::Scope<'_>,
    step: &StepId,
    next: Next<Arrival<C>>,
    writer: &mut W,
) -> Result<(), Failure<H>>
where
    C: Accountable,
{
    match next {
        Next::Take(arrival) => write_all(context, seen, scope, arrival, writer),
        Next::Close(epoch) => record(context, seen, scope, step, epoch, writer),
    }
}

/// Writes what arrived together.
fn write_all<H: Host, C, W: Writer<H, C>>(
    context: &Context<H>,
    seen: &Seen<H>,
    scope: H::Scope<'_>,
    arrival: Arrival<C>,
    writer: &mut W,
) -> Result<(), Failure<H>>
where
    C: Accountable,
{
    let clock = &context.shared.clock;
    for container in arrival.containers {
        if context.is_halted() {
            return Ok(());
        }
        if !writer.is_nothing(&container) {
            let count = usize::try_from(container.record_count()).unwrap_or_default();
            seen.figures.items_in.add(count);
            let call = Call::new("write_batch").in_epoch(arrival.epoch);
            let call = call.with(count, writer.origin(&container));
            let begun = clock.monotonic();
            seen.spans
                .around(scope, call, || writer.write(scope, container))?;
            let took = clock.monotonic().saturating_sub(begun);
            seen.figures.calls.observe(took);
        }
    }
    Ok(())
}

/// Hands over what was written in an epoch that is over.
fn record<H: Host, C, W: Writer<H, C>>(
    context: &Context<H>,
    seen: &Seen<H>,
    scope: H::Scope<'_>,
    step: &StepId,
    epoch: Epoch,
    writer: &mut W,
) -> Result<(), Failure<H>> {
    let begun = context.shared.clock.monotonic();
    let call = Call::new("snapshot").in_epoch(epoch);
    let changes = seen
        .spans
        .around(scope, call, || writer.close_epoch(scope, epoch))?;
    if context.recorder.is_some() {
        let took = context.shared.clock.monotonic().saturating_sub(begun);
        seen.figures.snapshots.observe(took);
        seen.figures.kept(&changes);
        context.record(scope, step, epoch, changes);
    }
    Ok(())
}
