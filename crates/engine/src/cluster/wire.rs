//! The connections between the processes, as the engine uses them.

use std::any::Any;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_threads::Panic;
use millstream_transport::{
    ControlHandle, Delay, Guarded, JoinError, PeerEvent, PeerEventKind, ProcessIndex, Settings,
    Wish, join,
};
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::initialize::Hooks;

use super::member::Member;
use super::message::Message;
use super::place::Place;
use crate::encoding::{decode, encode};
use crate::error::Error;
use crate::host::Host;
use crate::metrics::Traffic;
use crate::run::Caller;

/// Something that came from a process.
pub(crate) type Mail = (usize, Arrived);

/// What can come.
pub(crate) enum Arrived {
    Message(Message),
    /// Something that is no message.
    Garbled(String),
    /// The process has left, in order.
    Finished,
    /// The process is gone.
    Lost(String),
    /// A thread of this process has panicked that serves the process.
    Panicked(Panic),
    /// This process has left: nothing comes after that.
    Left,
}

/// Sends messages to other processes. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Wire {
    handle: Arc<ControlHandle>,
    process: usize,
    inbox: Sender<Mail>,
}

impl Wire {
    /// Tells a process something. One that is gone is told nothing: that it is gone, all hear.
    pub(crate) fn send(&self, process: usize, message: &Message) {
        let _ = self.handle.send(index(process), encode(message));
    }

    /// Tells all others.
    pub(crate) fn send_all(&self, message: &Message) {
        let _ = self.handle.send_all(&encode(message));
    }

    /// Says goodbye, and waits a while for the others to do so. Nothing is sent or arrives after
    /// that.
    pub(crate) fn finish(&self, within: Duration) {
        self.handle.finish(within);
        // Whoever looks may have gone before.
        let _ = self.inbox.send((self.process, Arrived::Left));
    }

    /// How many bytes of items went to a process, and came from it.
    pub(crate) fn traffic(&self, process: usize) -> Option<Traffic> {
        let traffic = self.handle.traffic(index(process))?;
        Some(Traffic {
            process,
            sent: traffic.sent(),
            received: traffic.received(),
        })
    }
}

/// The connections that carry data: one for each other process, none for this one.
pub(crate) type Sockets = Vec<Option<Guarded>>;

/// A process that has joined its cluster.
pub(crate) struct Network {
    pub(crate) member: Arc<Member>,
    pub(crate) sockets: Sockets,
    pub(crate) inbox: Receiver<Mail>,
}

impl Network {
    /// Joins a cluster; none if the run is to drain before it has begun. `on_delay` hears why
    /// that takes long.
    pub(crate) fn join<H: Host>(
        settings: &Settings,
        workers_each: usize,
        caller: &dyn Caller<H>,
        on_delay: impl Fn(Delay),
    ) -> Result<Option<Self>, Error<H>> {
        let interrupted = Mutex::new(None);
        let wish = || match caller.interrupted() {
            // With nothing begun, there is nothing to drain.
            Ok(()) if caller.drains() => Wish::LeaveIfOthersLack,
            Ok(()) => Wish::Join,
            Err(error) => {
                *interrupted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Wish::Leave
            }
        };
        let joined = match join(settings, &wish, &on_delay) {
            Ok(joined) => joined,
            Err(JoinError::Interrupted) => {
                let interrupted = interrupted.into_inner();
                let error = interrupted.unwrap_or_else(PoisonError::into_inner);
                return error.map_or(Ok(None), |error| Err(Error::Interrupted(error)));
            }
            Err(error) => return Err(Error::Join(error)),
        };
        let (sender, inbox) = channel();
        let arrivals = sender.clone();
        let handle = joined
            .control
            .start(move |event| {
                // Nobody looks any more when the run is over.
                let _ = arrivals.send(mail_of(event));
            })
            .map_err(|error| Error::Internal(format!("can't start to listen: {error}")))?;
        let wire = Wire {
            handle: Arc::new(handle),
            process: settings.process.index(),
            inbox: sender,
        };
        let place = Place {
            process: settings.process.index(),
            processes: settings.addresses.len(),
            workers_each,
        };
        Ok(Some(Self {
            member: Arc::new(Member::new(place, wire, joined.severer)),
            sockets: joined.data,
            inbox,
        }))
    }
}

fn mail_of(event: PeerEvent) -> Mail {
    let arrived = match event.kind {
        PeerEventKind::Message(bytes) => match decode(&bytes) {
            Ok(message) => Arrived::Message(message),
            Err(why) => Arrived::Garbled(format!("it sent what is no message ({why})")),
        },
        PeerEventKind::Finished => Arrived::Finished,
        PeerEventKind::Lost(loss) => Arrived::Lost(loss.to_string()),
        PeerEventKind::Panicked(panic) => Arrived::Panicked(panic),
    };
    (event.peer.index(), arrived)
}

/// What timely's workers are made of, and what ends with them.
pub(crate) type Allocators = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// Gives timely the connections that carry data.
pub(crate) fn connect(sockets: Sockets, place: Place) -> Result<Allocators, String> {
    let hooks = Hooks::default();
    let within = ProcessBuilder::new_typed_vector(
        place.workers_each,
        hooks.refill.clone(),
        hooks.spill.clone(),
    );
    let (builders, guard) = initialize_networking_from_sockets(
        within,
        sockets,
        place.process,
        place.workers_each,
        hooks,
    )
    .map_err(|error| format!("can't use the connections: {error}"))?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    Ok((builders, Box::new(guard)))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are fewer processes than that"
)]
fn index(process: usize) -> ProcessIndex {
    ProcessIndex(process as u32)
}
