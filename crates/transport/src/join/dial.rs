//! Connecting to a process that has a lower index, as often as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use millstream_threads::panic_point;

use crate::address::Address;
use crate::identity::ProcessIndex;
use crate::join::Event;
use crate::join::greeting::{Arrival, Manners, Miss};
use crate::wire::hello::Purpose;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Connects for both purposes, and tells of each attempt that fails.
pub(super) fn run(
    manners: &Manners,
    peer: ProcessIndex,
    address: &Address,
    events: &Sender<Event>,
    is_stopped: &AtomicBool,
) {
    let mut pause = FIRST_PAUSE;
    while !is_stopped.load(Ordering::Relaxed) {
        panic_point!("join");
        let event = match both(manners, peer, address) {
            Ok(arrivals) => Event::Reached(peer, arrivals),
            Err(miss) => Event::Missed(peer, miss),
        };
        let is_reached = matches!(event, Event::Reached(..));
        if events.send(event).is_err() || is_reached {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn both(manners: &Manners, peer: ProcessIndex, address: &Address) -> Result<[Arrival; 2], Miss> {
    let data = manners.reach(peer, address, Purpose::Data)?;
    let control = manners.reach(peer, address, Purpose::Control)?;
    if data.hello.run == control.hello.run {
        Ok([data, control])
    } else {
        // It was started again in between.
        both(manners, peer, address)
    }
}

/// Starts to connect.
pub(super) fn start(
    manners: &Arc<Manners>,
    peer: ProcessIndex,
    address: &Address,
    events: &Sender<Event>,
    is_stopped: &Arc<AtomicBool>,
) -> std::io::Result<()> {
    let manners = Arc::clone(manners);
    let address = address.clone();
    let events = events.clone();
    let is_stopped = Arc::clone(is_stopped);
    thread::Builder::new()
        .name(format!("dial-{peer}"))
        .spawn(move || run(&manners, peer, &address, &events, &is_stopped))?;
    Ok(())
}
