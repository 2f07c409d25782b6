//! A proxy that a test can make lose what goes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use millstream_transport::Address;

/// A proxy before a listener.
pub(crate) struct Proxy {
    pub(crate) address: Address,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What the side that connected says is lost.
    is_to_lost: AtomicBool,
    /// What the side that listens says is lost.
    is_from_lost: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn new(behind: &Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let shared = Arc::new(Shared::default());
        let (behind, own) = (behind.to_string(), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // Who connects before there is anyone comes again.
                if let Ok(behind) = TcpStream::connect(&behind) {
                    Shared::join(&own, stream, behind);
                }
            }
        });
        Self { address, shared }
    }

    /// Loses what the side that connected says.
    pub(crate) fn lose_to(&self) {
        self.shared.is_to_lost.store(true, Ordering::SeqCst);
    }

    /// Loses what the side that listens says.
    pub(crate) fn lose_from(&self) {
        self.shared.is_from_lost.store(true, Ordering::SeqCst);
    }

    /// Closes everything.
    pub(crate) fn close(&self) {
        for stream in self.shared.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn join(this: &Arc<Self>, near: TcpStream, far: TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        this.streams
            .lock()
            .unwrap()
            .extend([clone(&near), clone(&far)]);
        let (shared, from, to) = (Arc::clone(this), clone(&near), clone(&far));
        thread::spawn(move || pass(from, to, || shared.is_to_lost.load(Ordering::SeqCst)));
        let shared = Arc::clone(this);
        thread::spawn(move || pass(far, near, || shared.is_from_lost.load(Ordering::SeqCst)));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_lost: impl Fn() -> bool) {
    let mut bytes = [0; 4096];
    loop {
        match from.read(&mut bytes) {
            Ok(count) if count > 0 => {
                if !is_lost() && to.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
            // The network that loses what is said loses the end as well.
            _ if is_lost() => return,
            _ => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}
