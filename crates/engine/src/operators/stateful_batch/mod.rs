//! `stateful_batch`: logic and state for each key.
//!
//! Items are routed by the hash of their key, so that all of a key's are seen by
//! one worker. What a worker does with its keys is in [`keys`], free of timely;
//! here are only the routing, and the timely operator around it.

pub(crate) mod changes;
mod combine;
pub(crate) mod emitting;
pub(crate) mod keys;
mod order;
pub(crate) mod outputs;
mod routing;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::clock::Micros;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::Laned;
use crate::logic::{COMBINED, StatefulBatch};
use crate::metrics::{Figures, Role};
use crate::operators::stateful_batch::changes::{record, restore};
use crate::operators::stateful_batch::combine::combine;
use crate::operators::stateful_batch::emitting::Emitted;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::operators::stateful_batch::outputs::Outputs;
use crate::operators::stateful_batch::routing::Router;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::spans::{Call, Origin, Spans};
use crate::timely_ext::exchange::{Parcel, by_address};
use crate::timely_ext::in_epochs::{InEpochs, Next};
use crate::timely_ext::receive::{Arrival, receive};
use crate::timely_ext::timer::Timer;
use crate::timely_ext::transform::address;
use crate::timely_ext::{BatchStream, Time};

/// How long keys of a busy step may wait to be asked when to notify them.
const SETTLE_EVERY: Duration = Duration::from_millis(5);

pub(crate) fn stateful_batch<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    builder: &Arc<dyn StatefulBatch<H>>,
    wanted: &[bool],
    mut ups: Vec<BatchStream<'scope, H>>,
) -> Vec<BatchStream<'scope, H>> {
    let figures = context.figures(&operator.id, Role::Stateful);
    let step = Step {
        figures,
        spans: context.spans(operator),
        context: context.clone(),
        id: operator.id.clone(),
        written_as: operator.written_as.clone(),
        keys: builder.start(wanted).0,
    };
    let outputs = wanted.len();
    if context.workers == 1
        && ups.len() < 2
        && let Some(up) = ups.pop()
    {
        return apply(step, outputs, up.batches, Pipeline);
    }
    let Some(scope) = ups.first().map(|up| up.batches.scope()) else {
        return Vec::new();
    };
    // What is combined comes by one stream.
    let mut combining = (context.workers > 1 && ups.len() == 1)
        .then(|| builder.start_combining())
        .flatten();
    let routed = ups.into_iter().enumerate();
    let routed = routed.map(|(input, up)| match combining.take() {
        Some(combining) => combine(context, operator, &step.figures, combining, up),
        None => route(context, operator, input, up),
    });
    // One stream, so that values which came one after another stay so, by whichever of
    // the step's streams they come.
    let parcels = scope.concatenate(routed);
    if context.workers == 1 {
        apply(step, outputs, parcels, Pipeline)
    } else {
        apply(step, outputs, parcels, by_address())
    }
}

/// Addresses each item to the worker that owns its key.
fn route<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    input: usize,
    up: BatchStream<'scope, H>,
) -> Stream<'scope, Time, Parcel<Batch<H>>> {
    let step = operator.written_as.clone();
    let mut router = Router::new(context);
    address(context, operator, up, move |scope, batch, out| {
        router.address(scope, input, None, batch.into_keyed(scope, &step)?, out)
    })
}

/// What arrives at a step with state, and by which of its streams.
trait Delivery<H: Host>: Accountable + Default + 'static {
    fn open(self, context: &Context<H>, scope: H::Scope<'_>) -> Result<Delivered<H>, Failure<H>>;
}

/// A batch, the stream that it came by, and its trace.
type Delivered<H> = (usize, Option<Origin>, Batch<H>);

impl<H: Host> Delivery<H> for Laned<H> {
    fn open(self, _context: &Context<H>, _scope: H::Scope<'_>) -> Result<Delivered<H>, Failure<H>> {
        Ok((0, self.origin, self.batch))
    }
}

impl<H: Host> Delivery<H> for Parcel<Batch<H>> {
    fn open(self, context: &Context<H>, scope: H::Scope<'_>) -> Result<Delivered<H>, Failure<H>> {
        let (input, origin) = (self.partition, self.origin);
        Ok((input, origin, Self::open(self, context, scope)?))
    }
}

/// The batches of an arrival, each with the stream by which it came; neighbours that came
/// by the same stream are one.
fn batches<H: Host, C: Delivery<H>>(
    context: &Context<H>,
    scope: H::Scope<'_>,
    containers: Vec<C>,
) -> Result<Vec<Delivered<H>>, Failure<H>> {
    let mut batches: Vec<Delivered<H>> = Vec::new();
    for container in containers {
        let (input, mut origin, mut batch) = container.open(context, scope)?;
        if let Some((_, first, before)) = batches.pop_if(|(last, ..)| *last == input) {
            batch = before.append(scope, batch);
            origin = Origin::of_both(first, origin);
        }
        batches.push((input, origin, batch));
    }
    Ok(batches)
}

fn apply<H, C, P>(
    mut step: Step<H>,
    count: usize,
    up: Stream<'_, Time, C>,
    pact: P,
) -> Vec<BatchStream<'_, H>>
where
    H: Host,
    C: Delivery<H>,
    P: ParallelizationContract<Time, C>,
{
    let scope = up.scope();
    let context = step.context.clone();
    let mut operator_builder = OperatorBuilder::new(step.id.to_string(), scope);
    let activator = scope.activator_for(operator_builder.operator_info().address);
    let mut timer = Timer::new(activator.clone());
    let mut input = operator_builder.new_input(up, pact);
    operator_builder.set_notify_for(0, FrontierInterest::Always);
    let figures = &step.figures;
    let (mut outputs, downs) = Outputs::add(&context, figures, &mut operator_builder, count);

    step.attempt(|step, scope| restore(&step.context, &step.id, &mut *step.keys, scope));
    let mut settled_at = Duration::ZERO;
    operator_builder.build(move |capabilities| {
        // Held at the epoch at hand, one for each output, to emit what timers and the end
        // bring.
        let mut held = capabilities;
        let mut epochs = InEpochs::new(context.shared.first_epoch, context.recorder.is_some());
        move |frontiers| {
            epochs.add(receive(&mut input));
            let frontier = frontiers[0].frontier().first().copied();
            let wall = context.shared.clock.wall();
            let has_ended = frontier.is_none() && !held.is_empty();
            if context.is_halted() {
                held.clear();
                epochs.clear();
                return;
            }
            let todo: Vec<_> = std::iter::from_fn(|| epochs.next(frontier)).collect();
            let is_due = step.keys.next_due().is_some_and(|at| at <= wall);
            let now = context.shared.clock.monotonic();
            let settles = step.keys.is_unsettled()
                && (todo.is_empty() || now.saturating_sub(settled_at) >= SETTLE_EVERY);
            if !todo.is_empty() || is_due || settles || has_ended {
                step.attempt(|step, scope| {
                    for next in todo {
                        if step.context.is_halted() {
                            return Ok(());
                        }
                        match next {
                            Next::Take(arrival) => step.take(scope, arrival, &mut outputs)?,
                            Next::Close(epoch) => step.close(scope, epoch)?,
                        }
                    }
                    if settles {
                        step.keys.settle(&step.context, scope)?;
                        settled_at = now;
                    }
                    // Who drains goes on later, as if this were not the end.
                    let has_ended = has_ended && !step.context.is_draining();
                    let open = epochs.open();
                    let is_due = is_due || has_ended;
                    let (origin, made) = step.on_time(scope, open, is_due, wall, has_ended)?;
                    for held in &mut held {
                        held.downgrade(&open.0);
                    }
                    outputs.give_held(&held, origin, made);
                    Ok(())
                });
            }
            for held in &mut held {
                held.downgrade(&epochs.open().0);
            }
            if has_ended {
                if context.shared.needs_lanes {
                    outputs.end(&held);
                }
                held.clear();
            } else if step.keys.is_unsettled() {
                // To settle them as soon as nothing arrives.
                activator.activate();
            } else if let Some(due) = step.keys.next_due() {
                timer.wake_after(due.since(context.shared.clock.wall()), now);
            }
        }
    });
    downs
}

/// The step on a worker.
struct Step<H: Host> {
    context: Context<H>,
    figures: Arc<Figures>,
    spans: Spans<H>,
    id: StepId,
    written_as: StepId,
    keys: Box<dyn AnyKeys<H, H::Item>>,
}

impl<H: Host> Step<H> {
    /// Does something attached; if it fails, the run stops.
    fn attempt(&mut self, work: impl FnOnce(&mut Self, H::Scope<'_>) -> Result<(), Failure<H>>) {
        H::attach(|scope| {
            if let Err(failure) = work(self, scope) {
                self.context.fail(scope, &self.written_as, failure);
            }
            self.figures.keep_up(&*self.keys);
        });
    }

    /// Takes in what arrived together.
    fn take<C: Delivery<H>>(
        &mut self,
        scope: H::Scope<'_>,
        arrival: Arrival<C>,
        outputs: &mut Outputs<H>,
    ) -> Result<(), Failure<H>> {
        for (input, origin, batch) in batches(&self.context, scope, arrival.containers)? {
            if self.context.is_halted() {
                return Ok(());
            }
            let pairs = batch.into_keyed(scope, &self.written_as)?;
            // What was combined has been counted.
            if input != COMBINED {
                self.figures.items_in.add(pairs.len());
            }
            let clock = &self.context.shared.clock;
            let call = Call::new("on_batch").in_epoch(arrival.epoch);
            let call = call.with(pairs.len(), origin);
            let begun = clock.monotonic();
            let made = self.spans.around(scope, call, || {
                self.keys.on_batch(&self.context, scope, input, pairs)
            })?;
            let took = clock.monotonic().saturating_sub(begun);
            self.figures.calls.observe(took);
            outputs.give(&arrival.capability, origin, made);
        }
        Ok(())
    }

    /// Notices that time has passed, or that there are no more values.
    fn on_time(
        &mut self,
        scope: H::Scope<'_>,
        epoch: Epoch,
        is_due: bool,
        wall: Micros,
        has_ended: bool,
    ) -> Result<(Option<Origin>, Emitted<H>), Failure<H>> {
        let (keys, context) = (&mut self.keys, &self.context);
        if !is_due {
            return Ok((None, keys.on_time(context, scope, wall, has_ended)?));
        }
        let span = self
            .spans
            .begin(scope, Call::new("on_time").in_epoch(epoch))?;
        let origin = span.origin(scope);
        let made = keys.on_time(context, scope, wall, has_ended);
        Ok((origin, span.end(scope, None, made)?))
    }

    /// An epoch is over.
    fn close(&mut self, scope: H::Scope<'_>, epoch: Epoch) -> Result<(), Failure<H>> {
        let (context, seen) = (&self.context, (&*self.figures, &self.spans));
        record(context, &self.id, seen, &mut *self.keys, scope, epoch)
    }
}
