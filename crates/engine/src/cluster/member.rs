//! This process as a member of a cluster, while the run is on.
//!
//! What others tell arrives on the threads of the transport, in an inbox. Before the start, the
//! calling thread takes it out, message by message (`lobby.rs`). From then on the *clerk* does,
//! a thread of its own: it changes the flags that workers look at, and never waits. What is for
//! the store goes on to a second thread, since that one may wait for the disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_recovery::id::{SinkPartition, WorkerIndex};
use millstream_threads::{Panic, contain, panic_point};
use millstream_transport::Severer;

use super::message::{Cause, CauseKind, Kept, Message};
use super::place::Place;
use super::wire::{Arrived, Mail, Wire};
use crate::context::Shared;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::halt::Reason;
use crate::host::Host;
use crate::keeper::Keeper;
use crate::metrics::Traffic;
use crate::plan::StepId;
use crate::recovery::weight_of;
use crate::run::Settings;

/// How much room of another's may be free before it is told at once, and not with the next pulse:
/// a quarter of what a worker has, since telling wakes several threads.
const OWED: usize = Settings::ROOM_PER_WORKER / 4;

/// How often to look up from waiting.
pub(crate) const PULSE: Duration = Duration::from_millis(10);

/// How long to wait for the others' last words.
const GOODBYE: Duration = Duration::from_secs(5);

/// What this process is to the others.
pub(crate) struct Member {
    pub(crate) place: Place,
    pub(crate) wire: Wire,
    severer: Severer,
    /// The room of each process that is free again and that it hasn't been told of.
    owed: Vec<AtomicUsize>,
    /// The newest epoch that the others know of.
    told_epoch: AtomicU64,
    /// Whether the others know that this run is halted.
    has_told_halt: AtomicBool,
    ending: Mutex<Ending>,
    /// Signalled when that changes.
    ended: Condvar,
}

/// How far the run is from its end, of which all hear.
#[derive(Default)]
struct Ending {
    /// How many other processes have ended well, as the leader hears.
    others: usize,
    /// Whether the leader has said that all is kept.
    is_done: bool,
}

impl Member {
    pub(crate) fn new(place: Place, wire: Wire, severer: Severer) -> Self {
        Self {
            place,
            wire,
            severer,
            owed: (0..place.processes).map(|_| AtomicUsize::new(0)).collect(),
            told_epoch: AtomicU64::new(0),
            has_told_halt: AtomicBool::new(false),
            ending: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Room of another process is free again.
    pub(crate) fn give_back(&self, process: usize, weight: usize) {
        let owed = &self.owed[process];
        if owed.fetch_add(weight, Ordering::AcqRel) + weight >= OWED {
            self.pay(process);
        }
    }

    fn pay(&self, process: usize) {
        let weight = self.owed[process].swap(0, Ordering::AcqRel);
        if weight > 0 {
            self.wire.send(process, &Message::GiveBack(weight));
        }
    }

    /// Tells the others what they don't know yet; called every few milliseconds.
    pub(crate) fn pulse<H: Host>(&self, shared: &Shared<H>) {
        for process in self.others() {
            self.pay(process);
        }
        let newest = shared.epochs.newest().0;
        if self.told_epoch.fetch_max(newest, Ordering::AcqRel) < newest {
            self.wire.send_all(&Message::Epoch(newest));
        }
        if shared.halt.is_raised() {
            self.tell_halt(|| shared.halt.cause(self.place.process));
        }
    }

    /// Tells the others why this run stops, once; also what one of them has said, so that
    /// everyone hears the cause before anyone leaves.
    pub(crate) fn tell_halt(&self, cause: impl FnOnce() -> Option<Cause>) {
        if !self.has_told_halt.swap(true, Ordering::AcqRel) {
            match cause() {
                Some(cause) => self.wire.send_all(&Message::Halt(cause)),
                None => self.has_told_halt.store(false, Ordering::Release),
            }
        }
    }

    /// Ends the connections of the data, so that nobody waits for them.
    pub(crate) fn sever(&self) {
        self.severer.sever();
    }

    /// Says goodbye, and waits a while for the others to do so.
    pub(crate) fn leave(&self) {
        self.wire.finish(GOODBYE);
    }

    /// The workers of this process have ended well. Waits for the others: on the leader, until
    /// they have, too; elsewhere, until the leader says that all is kept. Gives up as soon as
    /// `goes_on` says no.
    pub(crate) fn await_others(&self, goes_on: impl Fn() -> bool) {
        if !self.place.leads() {
            self.wire.send(0, &Message::Ended);
        }
        let awaited = self.place.processes - 1;
        let leads = self.place.leads();
        let is_over = |ending: &Ending| {
            if leads {
                ending.others == awaited
            } else {
                ending.is_done
            }
        };
        let mut ending = self.lock();
        while !is_over(&ending) && goes_on() {
            (ending, _) = self
                .ended
                .wait_timeout(ending, PULSE)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All is kept, as the leader knows.
    pub(crate) fn tell_done(&self) {
        self.lock().is_done = true;
        self.wire.send_all(&Message::Done);
    }

    /// How many bytes of items went to each other process, and came from there.
    pub(crate) fn traffic(&self) -> Vec<Traffic> {
        let others = self.others();
        others
            .filter_map(|process| self.wire.traffic(process))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        let own = self.place.process;
        (0..self.place.processes).filter(move |process| *process != own)
    }
}

/// Takes what others tell out of the inbox, from now until nothing can come any more.
pub(crate) fn start_clerk<H: Host>(
    member: &Arc<Member>,
    shared: &Arc<Shared<H>>,
    keeper: Option<Keeper>,
    (early, inbox): (VecDeque<Mail>, Receiver<Mail>),
) -> Result<JoinHandle<()>, String> {
    let store = match &keeper {
        Some(keeper @ Keeper::Store(_)) => {
            let live = Arc::downgrade(shared);
            Some(start_store_clerk(member, keeper.clone(), move |panic| {
                if let Some(shared) = live.upgrade() {
                    shared.stop_for(panic);
                }
            })?)
        }
        _ => None,
    };
    let clerk = Clerk {
        member: Arc::clone(member),
        shared: Arc::clone(shared),
        keeper,
        store,
    };
    spawn("millstream-clerk", move || {
        let all = early.into_iter().chain(inbox);
        let taken = contain(|| {
            for mail in all.take_while(|(_, arrived)| !matches!(arrived, Arrived::Left)) {
                clerk.take(mail);
            }
        });
        if let Err(panic) = taken {
            clerk.halt(Error::panicked(panic));
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| format!("can't start the thread `{name}`: {error}"))
}

struct Clerk<H: Host> {
    member: Arc<Member>,
    shared: Arc<Shared<H>>,
    keeper: Option<Keeper>,
    /// Where on the leader that goes which is for the store.
    store: Option<Sender<(usize, Message)>>,
}

impl<H: Host> Clerk<H> {
    fn take(&self, (from, arrived): Mail) {
        panic_point!("clerk");
        if from == 0 && matches!(arrived, Arrived::Finished | Arrived::Lost(_)) {
            self.let_go();
        }
        match arrived {
            Arrived::Message(message) => self.hear(from, message),
            // One that leaves in order has told all before why, and so has the leader that all
            // is done. Of others, this process may hear that later, from the leader.
            Arrived::Finished if from != 0 || self.is_over() => {}
            Arrived::Finished => {
                let why = "it has left before the end".to_owned();
                self.halt(Error::peer_lost(from, why));
            }
            Arrived::Lost(_) if self.is_over() => self.member.sever(),
            Arrived::Lost(why) | Arrived::Garbled(why) => self.halt(Error::peer_lost(from, why)),
            Arrived::Panicked(panic) => self.halt(Error::panicked(panic)),
            Arrived::Left => {}
        }
    }

    /// Whether all that this process has to do is done.
    fn is_over(&self) -> bool {
        self.member.lock().is_done || self.shared.halt.is_raised()
    }

    fn hear(&self, from: usize, message: Message) {
        let shared = &self.shared;
        match message {
            Message::Epoch(epoch) => {
                shared.epochs.begun(Epoch(epoch));
                // It need not be told what it has told.
                self.member.told_epoch.fetch_max(epoch, Ordering::AcqRel);
                shared.threads.wake();
            }
            Message::GiveBack(weight) => shared.room.give_back(weight),
            Message::Halt(cause) => {
                self.raise(match cause.kind {
                    CauseKind::Aborted => Reason::Aborted,
                    _ => Reason::Failed(Error::of_peer(cause)),
                });
            }
            Message::Handed(weight) => {
                if let Some(Keeper::Leader(leader)) = &self.keeper {
                    leader.handed(weight);
                }
            }
            Message::Committed(epoch) => {
                shared.committed.store(epoch, Ordering::Release);
                shared.threads.wake();
            }
            Message::Publish(through) => {
                shared.publishes.store(through, Ordering::Release);
                shared.threads.wake();
            }
            Message::StopSources => {
                shared.drains.store(true, Ordering::Relaxed);
                shared.threads.wake();
            }
            Message::Ended => {
                self.member.lock().others += 1;
                self.member.ended.notify_all();
            }
            Message::Done => {
                self.member.lock().is_done = true;
                self.member.ended.notify_all();
            }
            for_the_store => {
                if let Some(store) = &self.store {
                    let _ = store.send((from, for_the_store));
                }
            }
        }
    }

    /// Nobody is to wait for the leader to take something.
    fn let_go(&self) {
        if let Some(Keeper::Leader(leader)) = &self.keeper {
            leader.let_go();
        }
    }

    fn halt(&self, error: Error<H>) {
        self.raise(Reason::Failed(error));
    }

    fn raise(&self, reason: Reason<H>) {
        // A reason after the first is of no interest.
        drop(self.shared.halt.raise(reason));
        self.let_go();
        self.shared.threads.wake();
        self.member.ended.notify_all();
    }
}

/// Takes what others hand over for the store, in order.
fn start_store_clerk(
    member: &Arc<Member>,
    keeper: Keeper,
    on_panic: impl FnOnce(Panic) + Send + 'static,
) -> Result<Sender<(usize, Message)>, String> {
    let (sender, messages) = channel::<(usize, Message)>();
    let wire = member.wire.clone();
    spawn("millstream-store-clerk", move || {
        let kept = contain(|| {
            for (from, message) in messages {
                keep(&keeper, &wire, from, message);
            }
        });
        if let Err(panic) = kept {
            on_panic(panic);
        }
    })?;
    Ok(sender)
}

fn keep(keeper: &Keeper, wire: &Wire, from: usize, message: Message) {
    panic_point!("clerk");
    match message {
        Message::Records {
            step,
            epoch,
            changes,
        } => {
            let changes: Vec<_> = changes.into_iter().map(Kept::into_change).collect();
            let weight = changes.iter().map(weight_of).sum();
            while !keeper.has_room() {
                keeper.await_room(PULSE);
            }
            keeper.record(&StepId(step.into()), Epoch(epoch), changes);
            wire.send(from, &Message::Handed(weight));
        }
        Message::Passed { worker, epoch } => keeper.passed(WorkerIndex(worker), Epoch(epoch)),
        Message::Finished { worker, last } => keeper.finished(WorkerIndex(worker), Epoch(last)),
        Message::Prepared {
            sink,
            epoch,
            has_ended,
        } => keeper.prepared(SinkPartition(sink), Epoch(epoch), has_ended),
        Message::Published { sink, through } => {
            keeper.published(SinkPartition(sink), Epoch(through));
        }
        Message::Drain => keeper.drain(),
        // Everything else has its place before the start, or with the clerk.
        _ => {}
    }
}
