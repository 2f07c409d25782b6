//! How the processes of a cluster come together.
//!
//! Each listens at its own address, and connects to those with a lower index, once for data and
//! once for control, until they are there. A process is here when both connections stand, and a
//! process is done when all are here *and have said the same*: so nobody starts to work, and to
//! watch the others, while some still wait for someone. One that dies before is waited for anew.

mod accept;
mod dial;
mod gathering;
mod greeting;
mod table;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::channel::Channel;
use crate::clock;
use crate::control::{Control, ControlPart};
use crate::error::{Delay, JoinError, Refused};
use crate::guard::{DataLink, Guarded, Severer};
use crate::identity::{ProcessIndex, RunId};
use crate::listener::Listener;
use crate::security::check_exposure;
use crate::settings::Settings;
use crate::wire::scanner::Shape;
use gathering::Gathering;
use greeting::{Arrival, Manners, Miss};
use table::Seated;

/// How often to see whether to stop.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait until it is told who is missing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens while processes gather.
enum Event {
    /// Someone connected, and has said who it is.
    Arrived(Arrival),
    /// Someone connected, and was sent away.
    Refused(Refused),
    /// We connected to someone.
    Reached(ProcessIndex, [Arrival; 2]),
    /// We did not.
    Missed(ProcessIndex, Miss),
    /// A process says over its control connection that all are there.
    Ready(ProcessIndex, Arc<Channel>),
    /// The control connection of a process is gone.
    Gone(ProcessIndex, Arc<Channel>),
}

/// What is wished of a process that is joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Join,
    /// Leave.
    Leave,
    /// Leave, unless all are here. If they are, they may count on this one.
    LeaveIfOthersLack,
}

/// What a process has once all have joined.
#[derive(Debug)]
pub struct Joined {
    /// The run of the cluster, which is the same in all processes.
    pub run: RunId,
    /// The data streams by process, as timely takes them: none to this process.
    pub data: Vec<Option<Guarded>>,
    /// What ends the data streams.
    pub severer: Severer,
    /// The control connections, yet to be started.
    pub control: Control,
}

/// Waits until all processes of the cluster are there, and connected to each other.
///
/// Returns soon after it is wished to leave, or the deadline is over. `on_delay` is told
/// of who is refused meanwhile, once for each and not more than a few times, and after some seconds
/// of who is missing.
pub fn join(
    settings: &Settings,
    wish: &dyn Fn() -> Wish,
    on_delay: &dyn Fn(Delay),
) -> Result<Joined, JoinError> {
    settings.check()?;
    check_exposure(&settings.addresses, &settings.security, settings.insecure)?;
    let credentials = settings.security.credentials(settings.process)?;
    let run = RunId::draw().ok_or_else(|| {
        JoinError::System(io::Error::other("the system has no random numbers to give"))
    })?;
    let manners = Arc::new(Manners::new(settings, run, credentials));
    let begun = clock::now();
    let until = begun + settings.limits.deadline;
    let mut is_told = false;
    let (sender, events) = mpsc::channel();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let mut gathering = Gathering::new(
        settings,
        Arc::clone(&manners),
        sender.clone(),
        Arc::clone(&is_stopped),
        on_delay,
    );
    let _gate = Gate::open(settings, &is_stopped, move |listener, is_stopped| {
        accept::run(&listener, &manners, &sender, is_stopped);
    })?;
    gathering.dial_all().map_err(JoinError::System)?;
    while !gathering.is_complete() {
        let leaves = match wish() {
            Wish::Join => false,
            Wish::Leave => true,
            Wish::LeaveIfOthersLack => gathering.lacks_some(),
        };
        if leaves {
            return Err(JoinError::Interrupted);
        }
        let now = clock::now();
        if let Some(error) = gathering.give_up(now) {
            return Err(error);
        }
        if now >= until {
            return Err(gathering.never_came());
        }
        gathering.tell_refusals(now);
        if !is_told && now >= begun + PATIENCE {
            gathering.tell_missing();
            is_told = true;
        }
        take_events(&mut gathering, &events).map_err(JoinError::System)?;
        gathering.tell_ready();
    }
    Ok(joined(settings, run, gathering.finish()))
}

fn take_events(gathering: &mut Gathering<'_>, events: &Receiver<Event>) -> io::Result<()> {
    let first = events.recv_timeout(TICK);
    first
        .into_iter()
        .chain(events.try_iter())
        .try_for_each(|event| gathering.take(event))
}

fn joined(settings: &Settings, own: RunId, seated: Vec<Seated<Arc<Channel>>>) -> Joined {
    let workers = u64::from(settings.workers);
    let first = u64::from(settings.process.0) * workers;
    let shape = Shape {
        workers: first..first + workers,
        limit: settings.limits.frame,
    };
    let mut run = own;
    let mut data: Vec<_> = settings.addresses.iter().map(|_| None).collect();
    let mut links = Vec::new();
    let mut parts = Vec::new();
    for seat in seated {
        if seat.peer == ProcessIndex(0) {
            run = seat.run;
        }
        // Nothing beats on it, so the system must see that nobody answers. If it can't be asked
        // to, the connection breaks in a moment and says so.
        let _ = seat.data.socket().set_patience(settings.limits.silence);
        let link = Arc::new(DataLink::new(seat.data, shape.clone()));
        if let Some(stream) = data.get_mut(seat.peer.index()) {
            *stream = Some(Guarded::new(Arc::clone(&link)));
        }
        links.push(Arc::clone(&link));
        parts.push(ControlPart {
            peer: seat.peer,
            channel: seat.control,
            data: link,
            beat: seat.beat,
        });
    }
    Joined {
        run,
        data,
        severer: Severer::new(links),
        control: Control {
            parts,
            limits: settings.limits,
        },
    }
}

/// What lets others in, until it is dropped.
struct Gate {
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Listens, unless nobody would come.
    fn open(
        settings: &Settings,
        is_stopped: &Arc<AtomicBool>,
        run: impl FnOnce(Listener, &AtomicBool) + Send + 'static,
    ) -> Result<Self, JoinError> {
        let mut gate = Self {
            is_stopped: Arc::clone(is_stopped),
            thread: None,
        };
        if let Some(address) = settings.address(settings.process)
            && settings.addresses.len() > 1
        {
            let listener = Listener::bind(address).map_err(|cause| JoinError::Listen {
                process: settings.process,
                address: address.clone(),
                cause,
            })?;
            let is_stopped = Arc::clone(is_stopped);
            let thread = thread::Builder::new()
                .name("accept".to_owned())
                .spawn(move || run(listener, &is_stopped));
            gate.thread = Some(thread.map_err(JoinError::System)?);
        }
        Ok(gate)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}
