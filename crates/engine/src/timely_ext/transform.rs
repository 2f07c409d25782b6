//! Operators that take a batch, make others of it, and remember nothing that
//! depends on time.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::physical::PhysicalOperator;
use crate::timely_ext::exchange::Carrier;
use crate::timely_ext::receive::{Arrival, receive};
use crate::timely_ext::{BatchStream, Time};

/// What a transforming operator makes for each of its outputs.
pub(crate) type Outputs<C, const N: usize> = [Vec<C>; N];

/// Builds an operator with `N` outputs that calls `logic` with everything that is
/// queued for an epoch, as one batch.
pub(crate) fn transform<'scope, H, C, L, const N: usize>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    up: BatchStream<'scope, H>,
    mut logic: L,
) -> [Stream<'scope, Time, C>; N]
where
    H: Host,
    C: Carrier<H>,
    L: FnMut(H::Scope<'_>, Epoch, Batch<H>, &mut Outputs<C, N>) -> Result<(), Failure<H>> + 'static,
{
    let mut builder = OperatorBuilder::new(operator.id.to_string(), up.scope());
    let mut input = builder.new_input(up, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let mut senders = Vec::with_capacity(N);
    let downs = std::array::from_fn(|_| {
        let (sender, down) = builder.new_output::<C>();
        senders.push(sender);
        down
    });

    let context = context.clone();
    let step = operator.written_as.clone();
    let mut outputs: Outputs<C, N> = std::array::from_fn(|_| Vec::new());
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let arrivals = receive::<H, _, _>(&mut input);
            if arrivals.is_empty() {
                return;
            }
            H::attach(|scope| {
                for arrival in arrivals {
                    if context.is_halted() {
                        return;
                    }
                    let (capability, epoch, batch) = gather(scope, arrival);
                    if let Err(failure) = logic(scope, epoch, batch, &mut outputs) {
                        context.fail(scope, &step, failure);
                        return;
                    }
                    for (sender, made) in senders.iter_mut().zip(&mut outputs) {
                        let mut session = sender.activate();
                        for mut container in made.drain(..) {
                            session.give(&capability, &mut container);
                        }
                    }
                }
            });
        }
    });
    downs
}

/// The one batch of an arrival.
pub(crate) fn gather<H: Host>(
    scope: H::Scope<'_>,
    arrival: Arrival<Batch<H>>,
) -> (
    timely::dataflow::operators::InputCapability<Time>,
    Epoch,
    Batch<H>,
) {
    let mut containers = arrival.containers.into_iter();
    let mut batch = containers.next().unwrap_or_default();
    for more in containers {
        batch = batch.append(scope, more);
    }
    (arrival.capability, arrival.epoch, batch)
}
