//! Sending batches to other workers.
//!
//! The sending operator decides where each item goes and makes one [`Parcel`] per
//! destination; the channel only reads the address. Parcels take [`Room`] when
//! they are sent and give it back when they are taken in, which is what bounds
//! the queues between workers. What goes to another process is packed by its sender, who can
//! say which step it is of if that fails, and unpacked by the operator that takes it.
//!
//! [`Room`]: crate::room::Room

use timely::Accountable;
use timely::bytes::arc::{Bytes, BytesMut};
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
use crate::host::{Failure, Host};
use crate::lane::{Lane, Laned};
use crate::physical::PhysicalOperator;
use crate::spans::Origin;
use crate::timely_ext::receive::receive;
use crate::timely_ext::{BatchStream, Time};

/// What can cross to another process, as bytes.
pub(crate) trait Pack<H: Host>: Accountable + Default + Sized {
    fn pack(self, scope: H::Scope<'_>) -> Result<Vec<u8>, Failure<H>>;

    fn unpack(scope: H::Scope<'_>, bytes: &[u8]) -> Result<Self, Failure<H>>;
}

impl<H: Host> Pack<H> for Batch<H> {
    fn pack(self, scope: H::Scope<'_>) -> Result<Vec<u8>, Failure<H>> {
        H::pack(scope, self)
    }

    fn unpack(scope: H::Scope<'_>, bytes: &[u8]) -> Result<Self, Failure<H>> {
        H::unpack(scope, bytes)
    }
}

/// A batch with an address.
pub(crate) struct Parcel<C> {
    /// The worker that it goes to.
    pub(crate) worker: usize,
    /// Which of the receiver's partitions, or inputs, it is for; or which worker it is
    /// from, where that matters.
    pub(crate) partition: usize,
    /// Whether the worker that it is from sends nothing any more.
    pub(crate) is_last: bool,
    /// The trace that it belongs to.
    pub(crate) origin: Option<Origin>,
    /// The process that it is from, whose room it takes.
    process: usize,
    weight: usize,
    /// How many items there are.
    count: i64,
    contents: Contents<C>,
}

/// How many bytes of a batch can go to another process: somewhat less than a frame may have.
const MOST_BYTES: usize = 60 << 20;

/// What is in a parcel.
enum Contents<C> {
    /// As it is, for a worker of the same process.
    Here(C),
    /// As bytes, for one of another process, or from there.
    Packed(Bytes),
}

impl<C> Parcel<C> {
    /// Addresses something that takes so much room.
    pub(crate) fn new<H: Host>(
        context: &Context<H>,
        scope: H::Scope<'_>,
        worker: usize,
        partition: usize,
        (weight, batch): (usize, C),
    ) -> Result<Self, Failure<H>>
    where
        C: Pack<H>,
    {
        context.shared.room.take(weight);
        let count = batch.record_count();
        let place = &context.shared.place;
        let contents = if place.has(worker) {
            Contents::Here(batch)
        } else {
            let bytes = batch.pack(scope)?;
            if bytes.len() > MOST_BYTES {
                let why = format!(
                    "a batch of {count} items takes {} bytes, and {MOST_BYTES} can cross at \
                     once; emit less at a time",
                    bytes.len()
                );
                return Err(H::no_crossing(scope, why));
            }
            Contents::Packed(BytesMut::from(bytes).freeze())
        };
        Ok(Self {
            worker,
            partition,
            is_last: false,
            origin: None,
            process: place.process,
            weight,
            count,
            contents,
        })
    }

    /// It belongs to a trace.
    pub(crate) fn in_trace(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }

    /// The last of those that a worker sends to another.
    pub(crate) fn last(worker: usize, from: usize) -> Self
    where
        C: Default,
    {
        Self {
            worker,
            partition: from,
            is_last: true,
            ..Self::default()
        }
    }

    /// Whether there are no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What is in it. Gives back the room that it took.
    pub(crate) fn open<H: Host>(
        self,
        context: &Context<H>,
        scope: H::Scope<'_>,
    ) -> Result<C, Failure<H>>
    where
        C: Pack<H>,
    {
        context.give_back(self.process, self.weight);
        match self.contents {
            Contents::Here(batch) => Ok(batch),
            Contents::Packed(bytes) => C::unpack(scope, &bytes),
        }
    }

    /// Looks into it, and leaves it unpacked.
    pub(crate) fn look<H: Host, R>(
        &mut self,
        scope: H::Scope<'_>,
        look: impl FnOnce(&mut C) -> R,
    ) -> Result<R, Failure<H>>
    where
        C: Pack<H>,
    {
        let mut batch = match std::mem::replace(&mut self.contents, Contents::Here(C::default())) {
            Contents::Here(batch) => batch,
            Contents::Packed(bytes) => C::unpack(scope, &bytes)?,
        };
        let seen = look(&mut batch);
        self.contents = Contents::Here(batch);
        Ok(seen)
    }
}

impl<C: Default> Default for Parcel<C> {
    fn default() -> Self {
        Self {
            worker: 0,
            partition: 0,
            is_last: false,
            origin: None,
            process: 0,
            weight: 0,
            count: 0,
            contents: Contents::Here(C::default()),
        }
    }
}

impl<C> Accountable for Parcel<C> {
    fn record_count(&self) -> i64 {
        // The last counts as well, or timely could take its epoch to be over.
        self.count.max(i64::from(self.is_last))
    }
}

/// The label of a parcel in bytes: ten numbers.
const LABEL: usize = 80;

/// How a parcel goes to another process: its label, and what is in it.
impl<C: Default> ContainerBytes for Parcel<C> {
    fn from_bytes(mut bytes: Bytes) -> Self {
        let label = bytes.extract_to(LABEL.min(bytes.len()));
        let number = |index: usize| {
            let field = label.get(index * 8..index * 8 + 8);
            let field = field.and_then(|field| field.try_into().ok());
            field.map_or(0, u64::from_le_bytes)
        };
        // Of a process of the same program, on a machine that has as many bits, or more.
        let size = |index| usize::try_from(number(index)).unwrap_or(usize::MAX);
        Self {
            worker: size(0),
            partition: size(1),
            is_last: number(2) == 1,
            origin: origin_of([number(6), number(7), number(8), number(9)]),
            process: size(3),
            weight: size(4),
            count: i64::try_from(number(5)).unwrap_or(i64::MAX),
            contents: if bytes.is_empty() {
                Contents::Here(C::default())
            } else {
                Contents::Packed(bytes)
            },
        }
    }

    fn length_in_bytes(&self) -> usize {
        LABEL + self.packed().len()
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        let numbers = [
            self.worker as u64,
            self.partition as u64,
            u64::from(self.is_last),
            self.process as u64,
            self.weight as u64,
            self.count.unsigned_abs(),
        ];
        let numbers = numbers.into_iter().chain(numbers_of(self.origin));
        // Timely writes to memory of the length that was asked for: that can't fail.
        for number in numbers {
            let _ = writer.write_all(&number.to_le_bytes());
        }
        let _ = writer.write_all(self.packed());
    }
}

/// A trace as numbers: both halves of its own, its first span, and a flag that is zero if
/// there is no trace.
fn numbers_of(origin: Option<Origin>) -> [u64; 4] {
    let Some(origin) = origin else {
        return [0; 4];
    };
    #[expect(clippy::cast_possible_truncation, reason = "it is a half")]
    let half = |shift: u32| (origin.trace >> shift) as u64;
    [
        half(64),
        half(0),
        origin.span,
        1 + u64::from(origin.is_recorded),
    ]
}

/// The trace that is known by such numbers.
fn origin_of([high, low, span, flag]: [u64; 4]) -> Option<Origin> {
    (flag > 0).then(|| Origin {
        trace: u128::from(high) << 64 | u128::from(low),
        span,
        is_recorded: flag > 1,
    })
}

impl<C> Parcel<C> {
    /// The bytes that cross. What isn't packed is the end of a lane, with nothing in it.
    fn packed(&self) -> &[u8] {
        match &self.contents {
            Contents::Here(_) => &[],
            Contents::Packed(bytes) => bytes,
        }
    }
}

/// Sends each parcel to the worker that it is addressed to.
pub(crate) struct ByAddress;

impl<C: Default + 'static> Distributor<Parcel<C>> for ByAddress {
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
    operator: &PhysicalOperator<H>,
    parcels: Stream<'scope, Time, Parcel<Batch<H>>>,
) -> BatchStream<'scope, H> {
    let mut builder = OperatorBuilder::new(format!("{}.exchange", operator.id), parcels.scope());
    let mut input = builder.new_input(parcels, by_address());
    builder.set_notify_for(0, FrontierInterest::Never);
    let (mut output, batches) = builder.new_output();
    let lanes: Vec<Lane> = (0..context.workers).map(|_| context.new_lane()).collect();
    let lane_of = lanes.clone();
    let (context, step) = (context.clone(), operator.written_as.clone());
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let arrivals = receive(&mut input);
            if arrivals.is_empty() || context.is_halted() {
                return;
            }
            H::attach(|scope| {
                let mut output = output.activate();
                for arrival in arrivals {
                    for parcel in arrival.containers {
                        let (lane, is_last) = (lane_of[parcel.partition], parcel.is_last);
                        let origin = parcel.origin;
                        match parcel.open(&context, scope) {
                            Ok(batch) => {
                                let mut arrived = Laned::new(lane, origin, batch);
                                arrived.is_last = is_last;
                                output.give(&arrival.capability, &mut arrived);
                            }
                            Err(failure) => return context.fail(scope, &step, failure),
                        }
                    }
                }
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

#[cfg(test)]
mod tests {
    use super::{numbers_of, origin_of};
    use crate::spans::Origin;

    #[test]
    fn a_trace_crosses_as_it_is() {
        for is_recorded in [false, true] {
            let origin = Some(Origin {
                trace: 1 << 127 | 5,
                span: u64::MAX,
                is_recorded,
            });
            assert_eq!(origin_of(numbers_of(origin)), origin);
        }
        assert_eq!(origin_of(numbers_of(None)), None);
    }
}
