//! One peer: a thread that reads what it says, and one that writes to it.

use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millstream_threads::{contain, panic_point};

use crate::channel::Channel;
use crate::clock;
use crate::control::outbox::{Life, Next, Outbox};
use crate::control::{ControlPart, PeerEvent, PeerEventKind, SendError};
use crate::guard::{Broken, DataLink};
use crate::identity::ProcessIndex;
use crate::loss::Loss;
use crate::settings::Limits;
use crate::wire::frame::{Decoder, Farewell, Frame, Header};

const CHUNK: usize = 64 << 10;
/// How long the last words to a lost peer may take.
const PARTING: Duration = Duration::from_millis(250);

/// One peer, as its threads and the handle share it.
pub(super) struct Peer {
    index: ProcessIndex,
    channel: Arc<Channel>,
    data: Arc<DataLink>,
    limits: Limits,
    on_event: Arc<dyn Fn(PeerEvent) + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    is_reading: bool,
    is_writing: bool,
    wanted: Wanted,
}

/// What the handle still wants of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// To hear of it, and to say what waits.
    All,
    /// To say what waits.
    Writing,
    /// Nothing.
    Nothing,
}

/// Whether the reader goes on.
enum Reading {
    On,
    Over,
}

impl Peer {
    pub(super) fn new(
        part: ControlPart,
        limits: Limits,
        on_event: Arc<dyn Fn(PeerEvent) + Send + Sync>,
    ) -> Self {
        Self {
            index: part.peer,
            channel: part.channel,
            data: part.data,
            limits,
            on_event,
            state: Mutex::new(State {
                outbox: Outbox::new(clock::now(), part.beat, limits.queue),
                is_reading: true,
                is_writing: true,
                wanted: Wanted::All,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn index(&self) -> ProcessIndex {
        self.index
    }

    pub(super) fn data(&self) -> &Arc<DataLink> {
        &self.data
    }

    /// Hears of it when the data stream breaks.
    pub(super) fn watch_data(this: &Arc<Self>) {
        let peer = Arc::downgrade(this);
        this.data.on_broken(move |broken| {
            if let Some(peer) = peer.upgrade() {
                let mut state = peer.lock();
                match broken {
                    Broken::Lost(loss) => state.outbox.note_broken(clock::now(), loss.clone()),
                    Broken::Panicked(panic) => state.outbox.note_panic(panic.clone()),
                }
                peer.changed.notify_all();
            }
        });
    }

    pub(super) fn send(&self, message: Arc<Vec<u8>>) -> Result<(), SendError> {
        if message.len() > self.limits.frame {
            return Err(SendError::TooLarge {
                peer: self.index,
                bytes: message.len(),
                limit: self.limits.frame,
            });
        }
        let mut state = self.lock();
        while state.outbox.is_open() && state.is_writing {
            if state.outbox.has_room(message.len()) {
                state.outbox.push(message);
                self.changed.notify_all();
                return Ok(());
            }
            state = self.wait(state);
        }
        Err(SendError::Gone(self.index))
    }

    pub(super) fn say_goodbye(&self, farewell: Farewell) {
        self.lock().outbox.say_goodbye(farewell);
        self.changed.notify_all();
    }

    /// Waits until nothing more is read and written; says whether that is so.
    pub(super) fn wait_until_closed(&self, until: Instant) -> bool {
        let is_open = |state: &mut State| {
            state.is_reading || (state.is_writing && state.outbox.life != Life::Lost)
        };
        let within = until.saturating_duration_since(clock::now());
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), within, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        !is_open(&mut state)
    }

    /// Ends both threads, whatever they do.
    pub(super) fn end(&self) {
        self.lock().wanted = Wanted::Nothing;
        self.changed.notify_all();
        self.channel.cut();
    }

    /// Nothing more is told of it.
    pub(super) fn mute(&self) {
        self.lock().wanted = Wanted::Writing;
    }

    /// What the writing thread does.
    pub(super) fn write(&self) {
        if let Err(panic) = contain(|| self.write_all()) {
            self.tell(PeerEventKind::Panicked(panic));
            // If it stopped within a frame, the peer will find that this makes no sense. It takes
            // this process for lost either way.
            let goodbye = Header::GoodBye(Farewell::Panicked).encode();
            let _ = self.channel.write_all(&goodbye);
        }
        // A peer that is gone needs no end.
        let _ = self.channel.close_write();
        let is_lost = {
            let mut state = self.lock();
            state.is_writing = false;
            state.outbox.life == Life::Lost
        };
        self.changed.notify_all();
        if is_lost {
            self.part(|state| state.is_reading);
        }
    }

    /// Writes until nothing more is to be written, or can be.
    fn write_all(&self) {
        loop {
            panic_point!("control");
            let mut state = self.lock();
            let next = state.outbox.next(clock::now());
            let written = match next {
                _ if state.wanted == Wanted::Nothing => break,
                Next::Close => break,
                Next::Wait(most) => {
                    let waited = self.changed.wait_timeout(state, most);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                Next::Lose(loss) => {
                    drop(state);
                    self.lose(loss.clone(), Some(loss.farewell()));
                    continue;
                }
                Next::Tell(panic) => {
                    drop(state);
                    self.tell(PeerEventKind::Panicked(panic));
                    continue;
                }
                Next::Message(message) => {
                    drop(state);
                    // There may be room now.
                    self.changed.notify_all();
                    let header = Header::Message(message.len()).encode();
                    let written = self.channel.write_all(&header);
                    written.and_then(|()| self.channel.write_all(&message))
                }
                Next::Heartbeat => {
                    drop(state);
                    self.channel.write_all(&Header::Heartbeat.encode())
                }
                Next::GoodBye(farewell) => {
                    drop(state);
                    self.channel.write_all(&Header::GoodBye(farewell).encode())
                }
            };
            if written.is_err() {
                // The reader finds out what it was, and has read what came before.
                break;
            }
        }
    }

    /// What the reading thread does.
    pub(super) fn read(&self) {
        let read = contain(|| self.read_all());
        {
            let mut state = self.lock();
            state.is_reading = false;
            state.outbox.is_deaf = read.is_err();
        }
        self.changed.notify_all();
        match read {
            Ok(()) => self.part(|state| state.is_writing),
            // The connection stays, for the peer to be told why.
            Err(panic) => self.tell(PeerEventKind::Panicked(panic)),
        }
    }

    /// Reads until nothing more comes, or what comes is of no interest.
    fn read_all(&self) {
        let mut decoder = Decoder::new(self.limits.frame);
        let mut buffer = vec![0; CHUNK];
        // Without it, a peer that is silent is not noticed; there is no reason for it to fail.
        let _ = self
            .channel
            .socket()
            .set_read_timeout(Some(self.limits.silence));
        loop {
            let read = self.channel.read(&mut buffer);
            panic_point!("control");
            let reading = match read {
                Ok(0) => self.lose(Loss::Closed, None),
                Ok(count) => self.take(&mut decoder, &buffer[..count]),
                Err(error) if is_timeout(error.kind()) => {
                    let loss = Loss::Silent(self.limits.silence);
                    self.lose(loss, Some(Farewell::Silent))
                }
                Err(error) => self.lose(Loss::of(&error), None),
            };
            match reading {
                Reading::On => {}
                Reading::Over => break,
            }
        }
    }

    /// Looks at what came.
    fn take(&self, decoder: &mut Decoder, mut bytes: &[u8]) -> Reading {
        loop {
            let frame = match decoder.next(&mut bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Reading::On,
                Err(defect) => {
                    let loss = Loss::Defect(defect);
                    let farewell = loss.farewell();
                    return self.lose(loss, Some(farewell));
                }
            };
            match frame {
                Frame::Heartbeat | Frame::Ready => {}
                Frame::Message(message) => self.tell(PeerEventKind::Message(message)),
                Frame::GoodBye(Farewell::Done) => self.finished(),
                Frame::GoodBye(Farewell::Abandoned) => {
                    return self.lose(Loss::Abandoned, None);
                }
                Frame::GoodBye(farewell) => return self.lose(Loss::Told(farewell), None),
            }
        }
    }

    fn finished(&self) {
        {
            let mut state = self.lock();
            if state.outbox.life != Life::Alive {
                return;
            }
            state.outbox.life = Life::Finished;
        }
        self.changed.notify_all();
        self.tell(PeerEventKind::Finished);
    }

    /// The peer is lost, unless it had said goodbye or was lost before.
    fn lose(&self, loss: Loss, tell: Option<Farewell>) -> Reading {
        {
            let mut state = self.lock();
            let was_alive = state.outbox.life == Life::Alive;
            state.outbox.lose(tell);
            if !was_alive {
                self.changed.notify_all();
                return Reading::Over;
            }
        }
        self.changed.notify_all();
        self.data.cut();
        self.tell(PeerEventKind::Lost(loss));
        Reading::Over
    }

    /// Waits a moment for the other thread, whose words may be on their way, and ends the
    /// connection.
    fn part(&self, is_busy: impl Fn(&mut State) -> bool) {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), PARTING, is_busy)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        self.channel.cut();
    }

    fn tell(&self, kind: PeerEventKind) {
        if self.lock().wanted == Wanted::All {
            (self.on_event)(PeerEvent {
                peer: self.index,
                kind,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Peer")
            .field("index", &self.index)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
