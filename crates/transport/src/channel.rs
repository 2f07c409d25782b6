//! A connection as the rest of the crate has it: bytes in both directions, secured or not.
//!
//! One thread reads, others write; none waits for the lock of another while it waits for the
//! network. For TLS this means that raw bytes are read and written outside of the lock on its
//! state, and that writers stand in line for the order of what they wrote.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::{ClientConnection, Connection, ServerConnection};

use crate::socket::Socket;

const CHUNK: usize = 32 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Arc<Socket>,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    connection: Mutex<Connection>,
    /// Held by whoever writes to the socket.
    outgoing: Mutex<()>,
    /// Held by whoever reads from the socket: what has not been decrypted.
    incoming: Mutex<Raw>,
}

#[derive(Debug)]
struct Raw {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Channel {
    /// Without security.
    pub(crate) fn plain(socket: Arc<Socket>) -> Self {
        Self { socket, tls: None }
    }

    /// With TLS as the side that listens. Returns when both know each other.
    pub(crate) fn accept(socket: Arc<Socket>, connection: ServerConnection) -> io::Result<Self> {
        Self::secure(socket, Connection::Server(connection))
    }

    /// With TLS as the side that connects.
    pub(crate) fn connect(socket: Arc<Socket>, connection: ClientConnection) -> io::Result<Self> {
        Self::secure(socket, Connection::Client(connection))
    }

    fn secure(socket: Arc<Socket>, mut connection: Connection) -> io::Result<Self> {
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut &*socket) {
                // The other end should hear why. If it can't, the first error is the cause.
                let alert = encrypted(&mut connection);
                let _ = alert.and_then(|alert| (&*socket).write_all(&alert));
                return Err(error);
            }
        }
        connection.set_buffer_limit(None);
        Ok(Self {
            socket,
            tls: Some(Tls {
                connection: Mutex::new(connection),
                outgoing: Mutex::new(()),
                incoming: Mutex::new(Raw {
                    buffer: vec![0; CHUNK].into(),
                    start: 0,
                    end: 0,
                }),
            }),
        })
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The certificate of the other end, if there is one.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        let connection = lock(&self.tls.as_ref()?.connection);
        let certificates = connection.peer_certificates()?;
        Some(certificates.first()?.as_ref().to_vec())
    }

    /// Reads what there is, waiting for something; zero at the end.
    pub(crate) fn read(&self, place: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&*self.socket).read(place),
            Some(tls) => tls.read(&self.socket, place),
        }
    }

    /// Reads until the place is full.
    pub(crate) fn read_exact(&self, place: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < place.len() {
            match self.read(&mut place[filled..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Writes everything.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.tls {
            None => (&*self.socket).write_all(bytes),
            Some(tls) => tls.write_all(&self.socket, bytes),
        }
    }

    /// Says that no more bytes come; lets those on their way arrive.
    pub(crate) fn close_write(&self) -> io::Result<()> {
        if let Some(tls) = &self.tls {
            tls.close(&self.socket)?;
        }
        self.socket.close_write()
    }

    /// Ends both directions, and every read and write that waits.
    pub(crate) fn cut(&self) {
        self.socket.cut();
    }
}

impl Tls {
    fn read(&self, socket: &Socket, place: &mut [u8]) -> io::Result<usize> {
        let mut raw = lock(&self.incoming);
        loop {
            if let Some(count) = self.decrypted(socket, &mut raw, place)? {
                return Ok(count);
            }
            raw.start = 0;
            raw.end = 0;
            let count = (&mut &*socket).read(&mut raw.buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            raw.end = count;
        }
    }

    /// What the bytes at hand make; `None` if they don't make anything.
    fn decrypted(
        &self,
        socket: &Socket,
        raw: &mut Raw,
        place: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let mut connection = lock(&self.connection);
        loop {
            match connection.reader().read(place) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other.map(Some),
            }
            if raw.start == raw.end {
                return Ok(None);
            }
            let mut rest = &raw.buffer[raw.start..raw.end];
            connection.read_tls(&mut rest)?;
            raw.start = raw.end - rest.len();
            let processed = connection.process_new_packets();
            if connection.wants_write() {
                // Whoever is writing takes it along otherwise.
                if let Ok(_line) = self.outgoing.try_lock() {
                    let bytes = encrypted(&mut connection)?;
                    drop(connection);
                    (&mut &*socket).write_all(&bytes)?;
                    connection = lock(&self.connection);
                }
            }
            processed.map_err(io::Error::other)?;
        }
    }

    fn write_all(&self, socket: &Socket, bytes: &[u8]) -> io::Result<()> {
        // No more than this is held encrypted at once.
        for part in bytes.chunks(CHUNK * 8) {
            let _line = lock(&self.outgoing);
            let encrypted = {
                let mut connection = lock(&self.connection);
                connection.writer().write_all(part)?;
                encrypted(&mut connection)?
            };
            (&mut &*socket).write_all(&encrypted)?;
        }
        Ok(())
    }

    fn close(&self, socket: &Socket) -> io::Result<()> {
        let _line = lock(&self.outgoing);
        let encrypted = {
            let mut connection = lock(&self.connection);
            connection.send_close_notify();
            encrypted(&mut connection)?
        };
        (&mut &*socket).write_all(&encrypted)
    }
}

fn encrypted(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
