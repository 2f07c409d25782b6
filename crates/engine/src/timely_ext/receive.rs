//! Receiving: everything that is queued at an input, as one batch per epoch.

use timely::Accountable;
use timely::communication::Pull;
use timely::dataflow::channels::Message;
use timely::dataflow::operators::InputCapability;
use timely::dataflow::operators::generic::InputHandleCore;

use crate::epoch::Epoch;
use crate::timely_ext::Time;

/// What arrived for one epoch.
pub(crate) struct Arrival<C> {
    pub(crate) capability: InputCapability<Time>,
    pub(crate) epoch: Epoch,
    pub(crate) containers: Vec<C>,
}

/// Takes everything that is queued, earliest epoch first; within an epoch in the
/// order of arrival.
pub(crate) fn receive<C: Accountable + Default, P: Pull<Message<Time, C>>>(
    input: &mut InputHandleCore<Time, C, P>,
) -> Vec<Arrival<C>> {
    let mut arrivals: Vec<Arrival<C>> = Vec::new();
    input.for_each(|capability, container| {
        // A message without a time makes no claim to be seen; we send none.
        let Some(epoch) = capability.least().copied().map(Epoch) else {
            return;
        };
        let container = std::mem::take(container);
        // Most often it is of the epoch of the one before.
        match arrivals
            .iter_mut()
            .rev()
            .find(|arrival| arrival.epoch == epoch)
        {
            Some(arrival) => arrival.containers.push(container),
            None => arrivals.push(Arrival {
                capability,
                epoch,
                containers: vec![container],
            }),
        }
    });
    arrivals.sort_by_key(|arrival| arrival.epoch);
    arrivals
}
