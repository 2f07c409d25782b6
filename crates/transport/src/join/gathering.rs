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
use crate::error::{Absence, Delay, JoinError, Missing, Refusal};
use crate::identity::ProcessIndex;
use crate::join::greeting::{Arrival, Manners, Miss, Turned};
use crate::join::table::{Guest, Seat, Seated};
use crate::join::{Event, dial};
use crate::settings::Settings;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::hello::Purpose;

/// How long a process may be refused until it gives up, if nobody wants it.
const GRACE: Duration = Duration::from_millis(250);
/// How many of those who were refused are remembered.
const REMEMBERED: usize = 8;

/// The processes as they come together.
pub(super) struct Gathering<'a> {
    settings: &'a Settings,
    manners: Arc<Manners>,
    events: Sender<Event>,
    is_stopped: Arc<AtomicBool>,
    seats: BTreeMap<ProcessIndex, Seat<Arc<Channel>>>,
    absences: BTreeMap<ProcessIndex, Absence>,
    refused_since: BTreeMap<ProcessIndex, Instant>,
    turned: Vec<String>,
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
            refused_since: BTreeMap::new(),
            turned: Vec::new(),
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
            Event::Turned(turned) => {
                self.turn(&turned);
                Ok(())
            }
            Event::Reached(peer, arrivals) => {
                self.refused_since.remove(&peer);
                arrivals
                    .into_iter()
                    .try_for_each(|arrival| self.seat(arrival))
            }
            Event::Missed(peer, Miss::NotYet(absence)) => {
                self.absences.insert(peer, absence);
                Ok(())
            }
            Event::Missed(peer, Miss::Refused(refusal)) => {
                self.refused_since.entry(peer).or_insert_with(clock::now);
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
                let turned = Turned {
                    process: Some(hello.process),
                    from: arrival.from.clone(),
                    why: self.manners.explain_guest(reason, hello),
                };
                self.turn(&turned);
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

    fn turn(&mut self, turned: &Turned) {
        let Turned { process, from, why } = turned;
        let sentence = match process {
            Some(process) => format!("process {process} from {from}: {why}"),
            None => format!("a connection from {from}: {why}"),
        };
        if let Some(seat) = process.and_then(|process| self.seats.get(&process))
            && seat.run().is_none()
        {
            self.absences
                .insert(seat.peer, Absence::Refused(why.clone()));
        }
        if self.turned.len() < REMEMBERED && !self.turned.contains(&sentence) {
            (self.on_delay)(Delay::Refused(sentence.clone()));
            self.turned.push(sentence);
        }
    }

    /// Tells those who are here that all are, once it is so.
    pub(super) fn tell_ready(&mut self) {
        if !self.seats.values().all(Seat::is_taken) {
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
        let (peer, cause) = self.refused_since.iter().find_map(|(peer, since)| {
            let Some(Absence::Refused(cause)) = self.absences.get(peer) else {
                return None;
            };
            let is_final =
                matches!(cause, Refusal::Duplicate(_)) || (!is_wanted && now - *since >= GRACE);
            is_final.then(|| (*peer, cause.clone()))
        })?;
        let address = self.settings.address(peer)?.clone();
        Some(JoinError::Refused {
            peer,
            address,
            cause,
        })
    }

    /// The error of having waited in vain.
    pub(super) fn never_came(&self) -> JoinError {
        JoinError::NeverCame {
            waited: self.settings.limits.deadline,
            missing: self.missing(),
            refused: self.turned.clone(),
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
