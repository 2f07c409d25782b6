//! Clusters of threads that stand for processes.

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_transport::{
    Address, ClusterId, ControlHandle, Delay, Fingerprint, Guarded, JoinError, Joined, PeerEvent,
    PeerEventKind, ProcessIndex, Settings, Severer, Wish, join,
};

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Places at addresses of this host that nothing else uses.
pub(crate) fn tcp(count: usize) -> Vec<Address> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let host = format!(
        "127.{}.{}.{}",
        1 + std::process::id() % 250,
        number / 250,
        1 + number % 250
    );
    (7000..)
        .take(count)
        .map(|port| format!("{host}:{port}").parse().unwrap())
        .collect()
}

/// Sockets in a directory.
pub(crate) fn unix(directory: &Path, count: usize) -> Vec<Address> {
    (0..count)
        .map(|process| Address::Unix(directory.join(format!("{process}.sock"))))
        .collect()
}

/// Settings of one process, with limits that make tests quick.
pub(crate) fn settings(addresses: &[Address], process: u32) -> Settings {
    let mut settings = Settings::new(
        ProcessIndex(process),
        addresses.to_vec(),
        2,
        ClusterId("wages".to_owned()),
        Fingerprint(5),
    );
    settings.limits.deadline = Duration::from_secs(10);
    settings.limits.silence = Duration::from_secs(1);
    settings
}

/// Those of all processes.
pub(crate) fn all(addresses: &[Address]) -> Vec<Settings> {
    (0..)
        .zip(addresses)
        .map(|(process, _)| settings(addresses, process))
        .collect()
}

/// Joins in a thread.
pub(crate) fn start(settings: Settings) -> JoinHandle<Result<Joined, JoinError>> {
    thread::spawn(move || join(&settings, &|| Wish::Join, &|_| ()))
}

/// Joins in a thread, which is expected to succeed; gives also what is told of who was refused.
pub(crate) fn start_noting(settings: Settings) -> JoinHandle<(Joined, Vec<String>)> {
    thread::spawn(move || {
        let refused = RefCell::new(Vec::new());
        let on_delay = |delay| {
            if let Delay::Refused(why) = delay {
                refused.borrow_mut().push(why.to_string());
            }
        };
        let joined = join(&settings, &|| Wish::Join, &on_delay).unwrap();
        (joined, refused.into_inner())
    })
}

/// Joins all, which is expected to succeed.
pub(crate) fn gather(settings: Vec<Settings>) -> Vec<Joined> {
    let threads: Vec<_> = settings.into_iter().map(start).collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap().unwrap())
        .collect()
}

/// A process that has joined, and its events.
pub(crate) struct Running {
    pub(crate) streams: Vec<Option<Guarded>>,
    pub(crate) severer: Severer,
    pub(crate) control: ControlHandle,
    pub(crate) events: Receiver<PeerEvent>,
}

impl Running {
    pub(crate) fn start(joined: Joined) -> Self {
        let (sender, events) = mpsc::channel();
        let control = joined.control.start(move |event| {
            let _ = sender.send(event);
        });
        Self {
            streams: joined.data,
            severer: joined.severer,
            control: control.unwrap(),
            events,
        }
    }

    /// The stream to a process.
    pub(crate) fn stream(&mut self, process: usize) -> Guarded {
        self.streams[process].take().unwrap()
    }

    /// The next event.
    pub(crate) fn event(&self) -> (u32, PeerEventKind) {
        let event = self.events.recv_timeout(SOON).unwrap();
        (event.peer.0, event.kind)
    }

    /// Makes sure that nothing more happens for a while.
    pub(crate) fn is_quiet(&self, span: Duration) -> bool {
        self.events.recv_timeout(span).is_err()
    }
}

/// A message as text.
pub(crate) fn text(kind: PeerEventKind) -> String {
    match kind {
        PeerEventKind::Message(message) => String::from_utf8(message).unwrap(),
        other => panic!("{other:?} is no message"),
    }
}
