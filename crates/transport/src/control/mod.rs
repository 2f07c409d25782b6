//! The control connections: who is alive, and what processes tell each other.
//!
//! Each peer has a thread that reads and one that writes, so that a process whose own threads are
//! busy still shows that it is alive. A peer is *finished* when it has said goodbye in order, and
//! *lost* when anything else ends its connection, or nothing comes over it for too long. Who
//! takes another for lost tells it so, for both to know; and the data stream ends with it.
//!
//! A panic in a thread of this process is told here, like an event of the peer that the thread
//! serves, and whoever hears of it is expected to tell all peers and to end. It can be told to the
//! peer, too, unless it was the thread that writes to it: then the last that this says is a
//! goodbye with that reason.

mod outbox;
mod peer;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_threads::Panic;
use thiserror::Error;

use crate::channel::Channel;
use crate::clock;
use crate::guard::{DataLink, Traffic};
use crate::identity::ProcessIndex;
use crate::loss::Loss;
use crate::settings::Limits;
use crate::wire::frame::Farewell;
use peer::Peer;

/// How long those who are told of an end without order may take to hear of it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Something about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerEvent {
    /// Which.
    pub peer: ProcessIndex,
    /// What.
    pub kind: PeerEventKind,
}

/// What there is about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEventKind {
    /// It sent this.
    Message(Vec<u8>),
    /// It said goodbye, in order. Nothing more comes from it.
    Finished,
    /// It is lost. Nothing more comes from it.
    Lost(Loss),
    /// A thread of this process has panicked that serves it. The peer is well, but nothing may come
    /// from it any more, and what is sent to it may not arrive.
    Panicked(Panic),
}

/// Why something can't be sent to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// There is no such peer.
    #[error("can't send to process {0}: it is not a peer of this process")]
    NoPeer(ProcessIndex),
    /// The peer is gone.
    #[error("can't send to process {0}: it is gone")]
    Gone(ProcessIndex),
    /// The peer wouldn't take it.
    #[error(
        "can't send {bytes} bytes to process {peer} at once: {limit} are the most that a message \
         may have"
    )]
    TooLarge {
        /// To whom.
        peer: ProcessIndex,
        /// How much.
        bytes: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// The control connections of a process that has joined.
///
/// Start it soon: until then, the peers hear nothing.
#[derive(Debug)]
pub struct Control {
    pub(crate) parts: Vec<ControlPart>,
    pub(crate) limits: Limits,
}

/// The connection to one peer.
#[derive(Debug)]
pub(crate) struct ControlPart {
    pub(crate) peer: ProcessIndex,
    pub(crate) channel: Arc<Channel>,
    pub(crate) data: Arc<DataLink>,
    /// How often the peer wants to hear something.
    pub(crate) beat: Duration,
}

/// What is started: it lives until it is finished, abandoned or dropped.
#[derive(Debug)]
pub struct ControlHandle {
    peers: Vec<Arc<Peer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Control {
    /// Starts to listen to the peers, and to show them that this process is alive.
    ///
    /// What happens is told in order for each peer, by one thread for each. While it is looked
    /// at, nothing more is read from that peer; so keep it short.
    pub fn start(
        self,
        on_event: impl Fn(PeerEvent) + Send + Sync + 'static,
    ) -> io::Result<ControlHandle> {
        let on_event: Arc<dyn Fn(PeerEvent) + Send + Sync> = Arc::new(on_event);
        let mut handle = ControlHandle {
            peers: Vec::new(),
            threads: Mutex::default(),
        };
        for part in self.parts {
            let peer = Arc::new(Peer::new(part, self.limits, Arc::clone(&on_event)));
            handle.peers.push(Arc::clone(&peer));
            Peer::watch_data(&peer);
            let index = peer.index();
            let reader = Arc::clone(&peer);
            for (name, run) in [
                (
                    "read",
                    Box::new(move || reader.read()) as Box<dyn FnOnce() + Send>,
                ),
                ("write", Box::new(move || peer.write())),
            ] {
                let thread = thread::Builder::new()
                    .name(format!("control-{name}-{index}"))
                    .spawn(run)?;
                handle.threads().push(thread);
            }
        }
        Ok(handle)
    }
}

impl ControlHandle {
    /// Sends something to a peer. Waits for room only if very much is on its way already.
    pub fn send(&self, peer: ProcessIndex, message: Vec<u8>) -> Result<(), SendError> {
        let link = self.peers.iter().find(|link| link.index() == peer);
        link.ok_or(SendError::NoPeer(peer))?.send(Arc::new(message))
    }

    /// Sends something to all peers that are not gone.
    pub fn send_all(&self, message: &[u8]) -> Result<(), SendError> {
        let message = Arc::new(message.to_vec());
        for peer in &self.peers {
            match peer.send(Arc::clone(&message)) {
                Ok(()) | Err(SendError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The bytes of the data stream of a peer.
    pub fn traffic(&self, peer: ProcessIndex) -> Option<Arc<Traffic>> {
        let link = self.peers.iter().find(|link| link.index() == peer)?;
        Some(Arc::clone(link.data().traffic()))
    }

    /// Says goodbye to all, and waits until all have done so, or are lost. Gives those who have
    /// not within the time.
    pub fn finish(&self, within: Duration) -> Vec<ProcessIndex> {
        self.say_goodbye(Farewell::Done);
        let missing = self.wait(within);
        self.end();
        missing
    }

    /// Ends without waiting for anyone. What was sent before still goes out, if the peers take it
    /// at once; the data streams end.
    pub fn abandon(self) {
        drop(self);
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_goodbye(&self, farewell: Farewell) {
        for peer in &self.peers {
            peer.say_goodbye(farewell);
        }
    }

    fn wait(&self, within: Duration) -> Vec<ProcessIndex> {
        let until = clock::now() + within;
        let mut missing = Vec::new();
        for peer in &self.peers {
            if !peer.wait_until_closed(until) {
                missing.push(peer.index());
            }
        }
        missing
    }

    fn end(&self) {
        for peer in &self.peers {
            peer.end();
        }
        let own = thread::current().id();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // One that tells of something may drop this, and can't wait for itself.
            if thread.thread().id() != own {
                // A panic of whoever was told is not ours.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        if !self.threads().is_empty() {
            for peer in &self.peers {
                peer.mute();
            }
            self.say_goodbye(Farewell::Abandoned);
            self.wait(LAST_WORDS);
            for peer in &self.peers {
                peer.data().cut();
            }
            self.end();
        }
    }
}
