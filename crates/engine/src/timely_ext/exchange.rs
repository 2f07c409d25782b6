//! Sending batches to other workers.
//!
//! The sending operator decides where each item goes and makes one [`Parcel`] per
//! destination; the channel only reads the address. Parcels take [`Room`] when
//! they are sent and give it back when they are taken in, which is what bounds
//! the queues between workers.
//!
//! [`Room`]: crate::room::Room

use std::sync::Arc;

use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Stamp;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::lane::{Lane, Laned};
use crate::timely_ext::{BatchStream, Time};

/// A batch with an address.
pub(crate) struct Parcel<C> {
    /// The worker that it goes to.
    pub(crate) worker: usize,
    /// Which of the receiver's partitions, or inputs, it is for; or which worker it is
    /// from, where that matters.
    pub(crate) partition: usize,
    /// The room that it takes.
    pub(crate) weight: usize,
    /// Whether the worker that it is from sends nothing any more.
    pub(crate) is_last: bool,
    pub(crate) batch: C,
}

impl<H: Host> Parcel<Batch<H>> {
    /// Addresses a batch, and takes room for it.
    pub(crate) fn new(
        context: &Context<H>,
        scope: H::Scope<'_>,
        worker: usize,
        partition: usize,
        batch: Batch<H>,
    ) -> Self {
        let weight = batch.weight(scope);
        context.shared.room.take(weight);
        Self {
            worker,
            partition,
            weight,
            is_last: false,
            batch,
        }
    }
}

impl<C: Default> Default for Parcel<C> {
    fn default() -> Self {
        Self {
            worker: 0,
            partition: 0,
            weight: 0,
            is_last: false,
            batch: C::default(),
        }
    }
}

impl<C: Accountable> Accountable for Parcel<C> {
    fn record_count(&self) -> i64 {
        // The last counts as well, or timely could take its epoch to be over.
        self.batch.record_count().max(i64::from(self.is_last))
    }
}

/// Timely wants every exchanged container to have a byte form. Workers of one
/// process hand parcels over as they are, so it is never asked for.
impl<C> ContainerBytes for Parcel<C> {
    fn from_bytes(_bytes: Bytes) -> Self {
        unreachable!("parcels stay within their process")
    }

    fn length_in_bytes(&self) -> usize {
        unreachable!("parcels stay within their process")
    }

    fn into_bytes<W: std::io::Write>(&self, _writer: &mut W) {
        unreachable!("parcels stay within their process")
    }
}

/// Sends each parcel to the worker that it is addressed to.
pub(crate) struct ByAddress;

impl<C: Accountable + Default + 'static> Distributor<Parcel<C>> for ByAddress {
    fn partition<T: Clone, P: Push<Message<T, Parcel<C>>>>(
        &mut self,
        parcel: &mut Parcel<C>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let worker = parcel.worker;
        Message::push_at(parcel, stamp.clone(), &mut pushers[worker]);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel<C>>>>(
        &mut self,
        _stamp: &Stamp<T>,
        _pushers: &mut [P],
    ) {
        // Nothing is held back.
    }
}

/// The pact of a channel that carries parcels.
pub(crate) type ByAddressPact = DistributorPact<fn(usize) -> ByAddress>;

pub(crate) fn by_address() -> ByAddressPact {
    DistributorPact(|_workers| ByAddress)
}

/// Sends parcels to their workers, and goes on with their contents there: a lane for
/// each worker that sent them, as the parcel says.
pub(crate) fn exchange<'scope, H: Host>(
    context: &Context<H>,
    name: &str,
    parcels: Stream<'scope, Time, Parcel<Batch<H>>>,
) -> BatchStream<'scope, H> {
    let mut builder = OperatorBuilder::new(format!("{name}.exchange"), parcels.scope());
    let mut input = builder.new_input(parcels, by_address());
    builder.set_notify_for(0, FrontierInterest::Never);
    let (mut output, batches) = builder.new_output();
    let shared = Arc::clone(&context.shared);
    let lanes: Vec<Lane> = (0..context.workers).map(|_| context.new_lane()).collect();
    let lane_of = lanes.clone();
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let mut output = output.activate();
            input.for_each(|capability, parcel| {
                shared.room.give_back(parcel.weight);
                let batch = std::mem::take(&mut parcel.batch);
                let lane = lane_of[parcel.partition];
                let mut arrived = Laned::new(lane, batch);
                arrived.is_last = parcel.is_last;
                output.give(&capability, &mut arrived);
            });
        }
    });
    BatchStream { batches, lanes }
}

/// Deals items out to several destinations, as one batch for each that gets any.
pub(crate) struct Sorter<T> {
    piles: Vec<Vec<T>>,
}

impl<T> Sorter<T> {
    pub(crate) fn new(destinations: usize) -> Self {
        Self {
            piles: std::iter::repeat_with(Vec::new)
                .take(destinations)
                .collect(),
        }
    }

    pub(crate) fn put(&mut self, destination: usize, item: T) {
        self.piles[destination].push(item);
    }

    /// The destinations that got any, and what they got.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (usize, Vec<T>)> + '_ {
        self.piles
            .iter_mut()
            .enumerate()
            .filter(|(_, pile)| !pile.is_empty())
            .map(|(destination, pile)| (destination, std::mem::take(pile)))
    }
}
