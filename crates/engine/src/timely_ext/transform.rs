//! Operators that take a batch, make others of it, and remember nothing that
//! depends on time.

use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::{Lane, Laned};
use crate::metrics::Role;
use crate::physical::PhysicalOperator;
use crate::spans::{Call, Origin};
use crate::timely_ext::exchange::Parcel;
use crate::timely_ext::receive::receive;
use crate::timely_ext::{BatchStream, Time};

/// What such an operator makes for each of its outputs.
type Outputs<C, const N: usize> = [Vec<C>; N];

/// How what is made of a batch goes on.
trait Made: Sized {
    type Container: Accountable + Default + 'static;

    /// Sends it on by the lane that the batch came by, in its trace.
    fn by(self, lane: Lane, origin: Option<Origin>) -> Self::Container;

    /// The end of a lane, if lanes are passed on.
    fn last(lane: Lane) -> Option<Self::Container>;

    /// The end of all lanes of a worker, if they are not.
    fn last_of_all<H: Host>(context: &Context<H>) -> Vec<Self::Container>;
}

impl<H: Host> Made for Batch<H> {
    type Container = Laned<H>;

    fn by(self, lane: Lane, origin: Option<Origin>) -> Laned<H> {
        Laned::new(lane, origin, self)
    }

    fn last(lane: Lane) -> Option<Laned<H>> {
        Some(Laned::last(lane))
    }

    fn last_of_all<Of: Host>(_context: &Context<Of>) -> Vec<Laned<H>> {
        Vec::new()
    }
}

impl<H: Host> Made for Parcel<Batch<H>> {
    type Container = Self;

    fn by(self, _lane: Lane, origin: Option<Origin>) -> Self {
        self.in_trace(origin)
    }

    fn last(_lane: Lane) -> Option<Self> {
        None
    }

    fn last_of_all<Of: Host>(context: &Context<Of>) -> Vec<Self> {
        let last = |worker| Self::last(worker, context.worker);
        (0..context.workers).map(last).collect()
    }
}

/// Builds an operator with `N` outputs that calls `logic` with everything that is
/// queued for an epoch, as one batch, or as one for each run of batches by one lane.
pub(crate) fn transform<'scope, H, L, const N: usize>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    up: BatchStream<'scope, H>,
    mut logic: L,
) -> [BatchStream<'scope, H>; N]
where
    H: Host,
    L: FnMut(H::Scope<'_>, Epoch, Batch<H>, &mut Outputs<Batch<H>, N>) -> Result<(), Failure<H>>
        + 'static,
{
    let BatchStream { batches, lanes } = up;
    let figures = context.figures(&operator.id, Role::Stateless);
    let counted = move |scope: H::Scope<'_>,
                        epoch: Epoch,
                        batch: Batch<H>,
                        outputs: &mut Outputs<Batch<H>, N>| {
        figures.items_in.add(batch.len());
        logic(scope, epoch, batch, outputs)?;
        let made = outputs.iter().flatten().map(Batch::len);
        figures.items_out.add(made.sum());
        Ok(())
    };
    operate(context, operator, "process", batches, &[], counted).map(|batches| BatchStream {
        batches,
        lanes: lanes.clone(),
    })
}

/// Builds an operator that calls `logic` as [`transform`] does, to say which workers what
/// is in a batch goes to.
pub(crate) fn address<'scope, H, L>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    up: BatchStream<'scope, H>,
    mut logic: L,
) -> Stream<'scope, Time, Parcel<Batch<H>>>
where
    H: Host,
    L: FnMut(H::Scope<'_>, Batch<H>, &mut Vec<Parcel<Batch<H>>>) -> Result<(), Failure<H>>
        + 'static,
{
    let [parcels] = operate(
        context,
        operator,
        "route",
        up.batches,
        &up.lanes,
        move |scope, _epoch, batch, [out]| logic(scope, batch, out),
    );
    parcels
}

fn operate<'scope, H, M, L, const N: usize>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    what: &'static str,
    up: Stream<'scope, Time, Laned<H>>,
    lanes: &[Lane],
    mut logic: L,
) -> [Stream<'scope, Time, M::Container>; N]
where
    H: Host,
    M: Made + 'static,
    L: FnMut(H::Scope<'_>, Epoch, Batch<H>, &mut Outputs<M, N>) -> Result<(), Failure<H>> + 'static,
{
    let mut builder = OperatorBuilder::new(operator.id.to_string(), up.scope());
    let mut input = builder.new_input(up, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let mut senders = Vec::with_capacity(N);
    let downs = std::array::from_fn(|_| {
        let (sender, down) = builder.new_output::<M::Container>();
        senders.push(sender);
        down
    });

    let context = context.clone();
    let step = operator.written_as.clone();
    let spans = context.spans(operator);
    let mut outputs: Outputs<M, N> = std::array::from_fn(|_| Vec::new());
    let mut lanes_left = lanes.len();
    builder.build(move |mut capabilities| {
        let mut first = capabilities.pop();
        move |_frontiers| {
            if let Some(capability) = first.take()
                && lanes_left == 0
                && context.shared.needs_lanes
            {
                for sender in &mut senders {
                    for mut last in M::last_of_all(&context) {
                        sender.activate().give(&capability, &mut last);
                    }
                }
            }
            let arrivals = receive(&mut input);
            if arrivals.is_empty() {
                return;
            }
            H::attach(|scope| {
                for arrival in arrivals {
                    let (capability, epoch) = (arrival.capability, arrival.epoch);
                    for laned in gather(scope, arrival.containers) {
                        if context.is_halted() {
                            return;
                        }
                        if !laned.batch.is_empty() {
                            let call = Call::new(what).in_epoch(epoch);
                            let call = call.with(laned.batch.len(), laned.origin);
                            let done = spans.around(scope, call, || {
                                logic(scope, epoch, laned.batch, &mut outputs)
                            });
                            if let Err(failure) = done {
                                context.fail(scope, &step, failure);
                                return;
                            }
                        }
                        lanes_left = lanes_left.saturating_sub(usize::from(laned.is_last));
                        let are_over = laned.is_last && lanes_left == 0;
                        for (sender, made) in senders.iter_mut().zip(&mut outputs) {
                            let mut session = sender.activate();
                            for made in made.drain(..) {
                                session.give(&capability, &mut made.by(laned.lane, laned.origin));
                            }
                            if laned.is_last
                                && let Some(mut last) = M::last(laned.lane)
                            {
                                session.give(&capability, &mut last);
                            }
                            if are_over {
                                for mut last in M::last_of_all(&context) {
                                    session.give(&capability, &mut last);
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    downs
}

/// Makes one batch of neighbours that came by the same lane.
pub(crate) fn gather<H: Host>(scope: H::Scope<'_>, containers: Vec<Laned<H>>) -> Vec<Laned<H>> {
    let mut gathered: Vec<Laned<H>> = Vec::new();
    for mut laned in containers {
        if let Some(before) = gathered.pop_if(|before| before.lane == laned.lane) {
            laned.batch = if laned.batch.is_empty() {
                before.batch
            } else {
                before.batch.append(scope, laned.batch)
            };
            laned.is_last |= before.is_last;
            laned.origin = Origin::of_both(before.origin, laned.origin);
        }
        gathered.push(laned);
    }
    gathered
}
