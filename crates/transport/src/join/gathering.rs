//! The processes of a cluster as they come together: who is here, who was refused, who is missing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use millstream_threads::panic_point;

use crate::channel::Channel;
use crate::clock;
use crate::error::{Absence, Delay, JoinError, Missing, Refusal, Refused};
use crate::identity::ProcessIndex;
use crate::join::greeting::{Arrival, Manners, Miss};
use crate::join::table::{Guest, Seat, Seated};
use crate::join::{Event, dial};
use crate::settings::Settings;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::hello::Purpose;

/// How long a process may be refused until it gives up, if nobody wants it.
const GRACE: Duration = Duration::from_millis(250);
/// How many of those who were refused are remembered: of those who are known, and of others.
const REMEMBERED: usize = 8;

/// A process that refuses this one.
struct Refusing {
    since: Instant,
    is_told: bool,
}

/// The processes as they come together.
pub(super) struct Gathering<'a> {
    settings: &'a Settings,
    manners: Arc<Manners>,
    events: Sender<Event>,
    is_stopped: Arc<AtomicBool>,
    seats: BTreeMap<ProcessIndex, Seat<Arc<Channel>>>,
    absences: BTreeMap<ProcessIndex, Absence>,
    refusing: BTreeMap<ProcessIndex, Refusing>,
    /// Who was refused here.
    refused: Vec<Refused>,
    on_delay: &'a dyn Fn(Delay),
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        manners: Arc<Manners>,
        events: Sender<Event>,
        is_stopped: Arc<AtomicBool>,
        on_delay: &'a dyn Fn(Delay),
    ) -> Self {
        Self {
            settings,
            manners,
            events,
            is_stopped,
            seats: settings
                .peers()
                .map(|peer| (peer, Seat::new(peer)))
                .collect(),
            absences: BTreeMap::new(),
            refusing: BTreeMap::new(),
            refused: Vec::new(),
            on_delay,
        }
    }

    /// Begins to connect to those who have a lower index.
    pub(super) fn dial_all(&self) -> io::Result<()> {
        let lower = self.settings.peers().filter(|peer| self.is_lower(*peer));
        lower.into_iter().try_for_each(|peer| self.dial(peer))
    }

    fn is_lower(&self, peer: ProcessIndex) -> bool {
        peer < self.settings.process
    }

    fn dial(&self, peer: ProcessIndex) -> io::Result<()> {
        match self.settings.address(peer) {
            Some(address) => {
                dial::start(&self.manners, peer, address, &self.events, &self.is_stopped)
            }
            None => Ok(()),
        }
    }

    /// Takes in what happened.
    pub(super) fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Arrived(arrival) => self.arrived(arrival),
            Event::Refused(refused) => {
                self.refuse(refused);
                Ok(())
            }
            Event::Reached(peer, arrivals) => {
                self.refusing.remove(&peer);
                arrivals
                    .into_iter()
                    .try_for_each(|arrival| self.seat(arrival))
            }
            Event::Missed(peer, Miss::NotYet(absence)) => {
                // What is wrong with one that was there says more.
                if !matches!(self.absences.get(&peer), Some(Absence::Refused(_))) {
                    self.absences.insert(peer, absence);
                }
                Ok(())
            }
            Event::Missed(peer, Miss::Refused(refusal)) => {
                let refusing = Refusing {
                    since: clock::now(),
                    is_told: false,
                };
                self.refusing.entry(peer).or_insert(refusing);
                self.absences.insert(peer, Absence::Refused(refusal));
                Ok(())
            }
            Event::Ready(peer, control) => {
                if let Some(seat) = self.seat_of(peer, &control) {
                    seat.is_ready = true;
                }
                Ok(())
            }
            Event::Gone(peer, control) => {
                let Some(seat) = self.seat_of(peer, &control) else {
                    return Ok(());
                };
                for connection in seat.leave() {
                    connection.cut();
                }
                if self.is_lower(peer) {
                    self.dial(peer)?;
                }
                Ok(())
            }
        }
    }

    /// The seat of a peer, if this is its control connection still.
    fn seat_of(
        &mut self,
        peer: ProcessIndex,
        control: &Arc<Channel>,
    ) -> Option<&mut Seat<Arc<Channel>>> {
        let seat = self.seats.get_mut(&peer)?;
        seat.is_control(|held| Arc::ptr_eq(held, control))
            .then_some(seat)
    }

    /// Someone connected, and is who it says it is.
    fn arrived(&mut self, arrival: Arrival) -> io::Result<()> {
        let Arrival { hello, channel, .. } = &arrival;
        let admitted = self.manners.check(hello).and_then(|()| {
            let guest = guest(&arrival);
            match self.seats.get(&hello.process) {
                Some(seat) => seat.admit(&guest, |channel| channel.socket().is_gone()),
                None => Ok(()),
            }
        });
        match admitted {
            Ok(()) => {
                let reply = self.manners.reply(hello.process, None);
                if channel.write_all(&reply.encode()).is_err() {
                    return Ok(());
                }
                self.seat(arrival)
            }
            Err(reason) => {
                self.manners.refuse(channel, hello.process, reason);
                self.refuse(Refused {
                    process: Some(hello.process),
                    from: arrival.from.clone(),
                    cause: self.manners.explain_guest(reason, hello),
                });
                Ok(())
            }
        }
    }

    fn seat(&mut self, arrival: Arrival) -> io::Result<()> {
        let peer = arrival.hello.process;
        let Some(seat) = self.seats.get_mut(&peer) else {
            return Ok(());
        };
        let replaced = seat.take(&guest(&arrival), Arc::clone(&arrival.channel));
        for connection in replaced {
            connection.cut();
        }
        self.absences.remove(&peer);
        if arrival.purpose == Purpose::Control {
            watch(&arrival, peer, &self.events)?;
        }
        Ok(())
    }

    fn refuse(&mut self, refused: Refused) {
        if let Some(seat) = refused.process.and_then(|process| self.seats.get(&process))
            && seat.run().is_none()
        {
            let absence = Absence::Refused(refused.cause.clone());
            self.absences.insert(seat.peer, absence);
        }
        // Strangers can't use up what is there for those who are known.
        let is_known = |refused: &Refused| refused.process.is_some();
        let alike = |other: &&Refused| is_known(other) == is_known(&refused);
        let count = self.refused.iter().filter(alike).count();
        if count < REMEMBERED && !self.refused.contains(&refused) {
            (self.on_delay)(Delay::Refused(refused.clone()));
            self.refused.push(refused);
        }
    }

    /// Tells those who are here that all are, once it is so.
    pub(super) fn tell_ready(&mut self) {
        if self.lacks_some() {
            return;
        }
        for seat in self.seats.values_mut().filter(|seat| !seat.is_told) {
            if let Some(control) = seat.control() {
                // One that is gone is noticed by whoever watches it.
                let _ = control.write_all(&Header::Ready.encode());
            }
            seat.is_told = true;
        }
    }

    /// Whether some are not here.
    pub(super) fn lacks_some(&self) -> bool {
        !self.seats.values().all(Seat::is_taken)
    }

    /// Whether all are here, and say that all are.
    pub(super) fn is_complete(&self) -> bool {
        self.seats
            .values()
            .all(|seat| seat.is_taken() && seat.is_ready)
    }

    /// Whether there is no use in waiting: someone refuses us, and nobody wants us.
    ///
    /// Who is wanted by others waits, since then the fault is that of the one who refuses.
    pub(super) fn give_up(&self, now: Instant) -> Option<JoinError> {
        let is_wanted = self.seats.values().any(|seat| seat.run().is_some());
        let (peer, cause) = self.refusing.iter().find_map(|(peer, refusing)| {
            let Some(Absence::Refused(cause)) = self.absences.get(peer) else {
                return None;
            };
            let is_long = now - refusing.since >= GRACE;
            let is_final = matches!(cause, Refusal::Duplicate(_)) || (!is_wanted && is_long);
            is_final.then(|| (*peer, cause.clone()))
        })?;
        let address = self.settings.address(peer)?.clone();
        Some(JoinError::Refused {
            peer,
            address,
            cause,
        })
    }

    /// Tells who refuses us for some time, while others want us.
    pub(super) fn tell_refusals(&mut self, now: Instant) {
        for (peer, refusing) in &mut self.refusing {
            let address = self.settings.address(*peer);
            let absence = self.absences.get(peer);
            if refusing.is_told || now - refusing.since < GRACE {
                continue;
            }
            refusing.is_told = true;
            if let (Some(address), Some(cause)) = (address, absence) {
                (self.on_delay)(Delay::RefusedBy(Missing {
                    process: *peer,
                    address: address.clone(),
                    cause: cause.clone(),
                }));
            }
        }
    }

    /// The error of having waited in vain.
    pub(super) fn never_came(&self) -> JoinError {
        JoinError::NeverCame {
            waited: self.settings.limits.deadline,
            missing: self.missing(),
            refused: self.refused.clone(),
        }
    }

    /// Tells who is missing.
    pub(super) fn tell_missing(&self) {
        (self.on_delay)(Delay::Missing(self.missing()));
    }

    fn missing(&self) -> Vec<Missing> {
        // Who waits for others is to blame only if nobody else is.
        let is_all_here = self.seats.values().all(Seat::is_taken);
        let missing = self.seats.values().filter(|seat| {
            let is_here = if is_all_here {
                seat.is_ready
            } else {
                seat.is_taken()
            };
            !is_here
        });
        let missing = missing.filter_map(|seat| {
            let cause = match self.absences.get(&seat.peer) {
                _ if seat.is_taken() => Absence::Waiting,
                Some(absence) => absence.clone(),
                None => Absence::NotHeardOf,
            };
            Some(Missing {
                process: seat.peer,
                address: self.settings.address(seat.peer)?.clone(),
                cause,
            })
        });
        missing.collect()
    }

    /// Everyone.
    pub(super) fn finish(mut self) -> Vec<Seated<Arc<Channel>>> {
        let seats = std::mem::take(&mut self.seats);
        seats.into_values().filter_map(Seat::seated).collect()
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        for connection in self.seats.values().flat_map(Seat::connections) {
            connection.cut();
        }
    }
}

fn guest(arrival: &Arrival) -> Guest {
    Guest {
        run: arrival.hello.run,
        purpose: arrival.purpose,
        beat: arrival.hello.beat(),
    }
}

/// Waits for a peer to say that all are there, and tells of its end if it comes before.
fn watch(arrival: &Arrival, peer: ProcessIndex, events: &Sender<Event>) -> io::Result<()> {
    let channel = Arc::clone(&arrival.channel);
    let events = events.clone();
    thread::Builder::new()
        .name(format!("await-{peer}"))
        .spawn(move || {
            panic_point!("join");
            let mut bytes = [0; HEADER_BYTES];
            let read = channel.read_exact(&mut bytes);
            let is_ready = read.is_ok() && Header::decode(bytes, 0) == Ok(Header::Ready);
            // Nobody listens any more if it was given up.
            let _ = events.send(if is_ready {
                Event::Ready(peer, channel)
            } else {
                Event::Gone(peer, channel)
            });
        })?;
    Ok(())
}
