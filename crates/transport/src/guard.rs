//! The data streams, which timely runs over.
//!
//! Timely takes a broken stream for a reason to panic in threads of its own, which brings the
//! process down. So it never sees one: whatever happens to a connection, timely reads whole frames
//! and then an orderly end, and what it writes is swallowed. That something happened is for
//! [`Control`](crate::Control) to say.
//!
//! A panic in one of timely's threads is worse: it poisons the queues of the workers, which then
//! panic, too. So one in the code here is a broken stream to timely. Of one in timely's own code,
//! the end of its stream tells.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use millstream_threads::{Panic, contain, panic_point};
use timely_communication::allocator::zero_copy::stream::Stream;

use crate::channel::Channel;
use crate::loss::Loss;
use crate::wire::scanner::{Scanner, Shape};

/// How a stream broke.
#[derive(Debug, Clone)]
pub(crate) enum Broken {
    /// The peer is lost, it seems.
    Lost(Loss),
    /// A thread of this process has panicked that reads from it or writes to it.
    Panicked(Panic),
}

/// What is told that a stream broke.
type OnBroken = Box<dyn Fn(&Broken) + Send + Sync>;

/// The stream to one peer, as timely takes it.
#[derive(Debug)]
pub struct Guarded {
    link: Arc<DataLink>,
    incoming: Scanner,
}

/// Ends all data streams at once: timely reads the end of each, and what it writes is swallowed.
///
/// The peers see their streams break, so tell them why first.
#[derive(Debug, Clone)]
pub struct Severer {
    links: Arc<[Arc<DataLink>]>,
}

/// How many bytes went to a peer and came from it, as timely sees them.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

/// What all handles of a stream share.
pub(crate) struct DataLink {
    channel: Arc<Channel>,
    shape: Shape,
    is_cut: AtomicBool,
    broken: OnceLock<Broken>,
    on_broken: OnceLock<OnBroken>,
    traffic: Arc<Traffic>,
}

impl DataLink {
    pub(crate) fn new(channel: Arc<Channel>, shape: Shape) -> Self {
        Self {
            channel,
            shape,
            is_cut: AtomicBool::new(false),
            broken: OnceLock::new(),
            on_broken: OnceLock::new(),
            traffic: Arc::default(),
        }
    }

    /// Ends it.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.channel.cut();
    }

    /// What to do once it breaks by itself, or has done so.
    pub(crate) fn on_broken(&self, act: impl Fn(&Broken) + Send + Sync + 'static) {
        // There is one control for it, which says so once.
        let _ = self.on_broken.set(Box::new(act));
        self.tell_broken();
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether nothing goes over it any more.
    fn is_over(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst) || self.broken.get().is_some()
    }

    fn fail(&self, broken: Broken) {
        if !self.is_over() && self.broken.set(broken).is_ok() {
            self.channel.cut();
            self.tell_broken();
        }
    }

    fn tell_broken(&self) {
        if let (Some(broken), Some(act)) = (self.broken.get(), self.on_broken.get()) {
            act(broken);
        }
    }
}

impl Guarded {
    pub(crate) fn new(link: Arc<DataLink>) -> Self {
        Self {
            incoming: Scanner::new(link.shape.clone()),
            link,
        }
    }

    /// The bytes that go over it.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(self.link.traffic())
    }

    /// Whether it was severed, or broke.
    pub fn is_over(&self) -> bool {
        self.link.is_over()
    }

    /// Gets more bytes from the peer; the loss, if none come any more.
    fn fetch(&mut self) -> Result<(), Loss> {
        let space = self.incoming.space();
        match self.link.channel.read(space) {
            Ok(0) => Err(Loss::Closed),
            Ok(count) => self.incoming.arrived(count).map_err(Loss::Defect),
            Err(error) => Err(Loss::of(&error)),
        }
    }

    fn read_whole(&mut self, place: &mut [u8]) -> usize {
        panic_point!("stream");
        loop {
            let count = self.incoming.take(place);
            if count > 0 || self.incoming.is_over() || place.is_empty() {
                let received = &self.link.traffic.received;
                received.fetch_add(count as u64, Ordering::Relaxed);
                return count;
            }
            if self.link.is_over() {
                self.incoming.cut();
            } else if let Err(loss) = self.fetch() {
                self.link.fail(Broken::Lost(loss));
                self.incoming.cut();
            }
        }
    }

    fn send(&self, bytes: &[u8]) {
        panic_point!("stream");
        if !self.link.is_over() {
            match self.link.channel.write_all(bytes) {
                Ok(()) => {
                    let sent = &self.link.traffic.sent;
                    sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(error) => self.link.fail(Broken::Lost(Loss::of(&error))),
            }
        }
    }
}

impl Read for Guarded {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        panic_point!("timely");
        Ok(contain(|| self.read_whole(place)).unwrap_or_else(|panic| {
            self.link.fail(Broken::Panicked(panic));
            self.incoming.cut();
            self.incoming.take(place)
        }))
    }
}

impl Write for Guarded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        panic_point!("timely");
        if let Err(panic) = contain(|| self.send(bytes)) {
            self.link.fail(Broken::Panicked(panic));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Guarded {
    /// A handle to the same stream. Only one of them may read.
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(Arc::clone(&self.link)))
    }

    /// It always blocks, which is what timely asks for.
    fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match how {
            Shutdown::Write if !self.link.is_over() => {
                if let Err(error) = self.link.channel.close_write() {
                    self.link.fail(Broken::Lost(Loss::of(&error)));
                }
            }
            // What is left unread is for nobody.
            Shutdown::Read | Shutdown::Write => {}
            Shutdown::Both => self.link.cut(),
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if thread::panicking() {
            let panic = Panic::of_this_thread();
            self.link.fail(Broken::Panicked(panic));
        }
    }
}

impl Severer {
    pub(crate) fn new(links: impl IntoIterator<Item = Arc<DataLink>>) -> Self {
        Self {
            links: links.into_iter().collect(),
        }
    }

    /// Ends them.
    pub fn sever(&self) {
        for link in self.links.iter() {
            link.cut();
        }
    }

    /// Whether any of them was severed, or broke.
    pub fn is_severed(&self) -> bool {
        self.links.iter().any(|link| link.is_over())
    }
}

impl Traffic {
    /// How many bytes timely got.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many bytes timely sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for DataLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DataLink")
            .field("is_cut", &self.is_cut)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
