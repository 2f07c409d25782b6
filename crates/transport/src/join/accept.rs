//! Taking connections while processes gather.
//!
//! Each is greeted in a thread of its own, and none for long: one that has not said who it is in
//! time is dropped, and so is the oldest when there are too many. A process that is dropped by
//! mistake, among many strangers, comes again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use millstream_threads::panic_point;

use crate::clock;
use crate::join::Event;
use crate::join::greeting::Manners;
use crate::listener::Listener;
use crate::socket::Socket;

/// How many may be greeted at once.
const MOST: usize = 256;
/// How often to see whether to stop.
const TICK: Duration = Duration::from_millis(20);
const STACK: usize = 512 << 10;

/// Someone who is being greeted.
struct Pending {
    since: Instant,
    socket: Arc<Socket>,
    /// Taken by whoever comes first: one who has greeted the guest, or one who drops it.
    is_decided: Arc<AtomicBool>,
}

impl Pending {
    fn drop_if_undecided(&self) {
        if !self.is_decided.swap(true, Ordering::SeqCst) {
            self.socket.cut();
        }
    }
}

/// Takes connections until it is told to stop.
pub(super) fn run(
    listener: &Listener,
    manners: &Arc<Manners>,
    events: &Sender<Event>,
    is_stopped: &AtomicBool,
) {
    let mut pending: VecDeque<Pending> = VecDeque::new();
    while !is_stopped.load(Ordering::Relaxed) {
        panic_point!("join");
        let accepted = listener.accept(TICK);
        let now = clock::now();
        pending.retain(|guest| !guest.is_decided.load(Ordering::SeqCst));
        while let Some(oldest) = pending.front()
            && (pending.len() >= MOST || now - oldest.since >= manners.limits.handshake)
        {
            oldest.drop_if_undecided();
            pending.pop_front();
        }
        match accepted {
            Ok(Some(socket)) => pending.extend(greet(socket, now, manners, events)),
            Ok(None) => {}
            // There are too many open files, say; it gets better when some are closed.
            Err(_) => thread::sleep(TICK),
        }
    }
    for guest in pending {
        guest.drop_if_undecided();
    }
}

/// Begins to greet someone. Without a thread to do so, the connection is closed.
fn greet(
    socket: Socket,
    since: Instant,
    manners: &Arc<Manners>,
    events: &Sender<Event>,
) -> Option<Pending> {
    let socket = Arc::new(socket);
    let is_decided = Arc::new(AtomicBool::new(false));
    let pending = Pending {
        since,
        socket: Arc::clone(&socket),
        is_decided: Arc::clone(&is_decided),
    };
    let manners = Arc::clone(manners);
    let events = events.clone();
    thread::Builder::new()
        .name("greet".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            panic_point!("join");
            let greeted = manners.greet(socket);
            if is_decided.swap(true, Ordering::SeqCst) {
                return;
            }
            // Nobody listens any more once all are there.
            let _ = match greeted {
                Ok(arrival) => events.send(Event::Arrived(arrival)),
                Err(Some(refused)) => events.send(Event::Refused(refused)),
                Err(None) => Ok(()),
            };
        })
        .ok()?;
    Some(pending)
}
