//! A connection as the operating system has it: TCP, or a Unix socket.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv, sockopt};

use crate::address::Address;

/// A connection. Reads, writes and shutting down may happen in several threads.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// The name stands for no address.
    Unresolved(io::Error),
    /// Nobody takes it.
    Unreachable(io::Error),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Does the same with either.
macro_rules! either {
    ($socket:expr, $stream:ident => $body:expr) => {
        match $socket {
            Socket::Tcp($stream) => $body,
            Socket::Unix($stream) => $body,
        }
    };
}

impl Socket {
    /// Connects, if someone listens there.
    pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Self, NoConnection> {
        match address {
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path)?)),
            Address::Tcp { host, port } => {
                let mut last = ErrorKind::AddrNotAvailable.into();
                let places = (host.as_str(), *port).to_socket_addrs();
                for place in places.map_err(NoConnection::Unresolved)? {
                    match TcpStream::connect_timeout(&place, timeout) {
                        // A port of our own that nobody listens at may be given to ourselves.
                        Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                            last = ErrorKind::ConnectionRefused.into();
                        }
                        Ok(stream) => return Ok(Self::tcp(stream)?),
                        Err(error) => last = error,
                    }
                }
                Err(NoConnection::Unreachable(last))
            }
        }
    }

    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Who is at the other end, as far as the system knows.
    pub(crate) fn other_end(&self) -> String {
        match self {
            Self::Tcp(stream) => match stream.peer_addr() {
                Ok(address) => address.ip().to_string(),
                Err(_) => "an unknown address".to_owned(),
            },
            Self::Unix(_) => "this host".to_owned(),
        }
    }

    /// How long a read may wait.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(timeout))
    }

    /// How long a read or a write may wait.
    pub(crate) fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        either!(self, stream => stream.set_write_timeout(timeout))
    }

    /// For how long the other host may answer nothing, whether there is something to send or
    /// not, or have no room for what is sent, until the connection is broken. A Unix socket
    /// always answers.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        let Self::Tcp(stream) = self else {
            return Ok(());
        };
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, milliseconds)?;
        // Of whole seconds.
        let pause = Duration::from_secs((patience.as_secs() / 3).max(1));
        sockopt::set_tcp_keepidle(stream, pause)?;
        sockopt::set_tcp_keepintvl(stream, pause)?;
        Ok(sockopt::set_socket_keepalive(stream, true)?)
    }

    /// Whether what comes first is this. Waits no longer than a read, and leaves it there; if it
    /// comes in pieces, over a Unix socket, no more is seen than the first.
    pub(crate) fn begins_with<const N: usize>(&self, start: &[u8; N]) -> bool {
        let mut seen = [0; N];
        let flags = RecvFlags::PEEK | RecvFlags::WAITALL;
        loop {
            match recv(self, &mut seen[..], flags) {
                Ok((count, _)) => return count == N && seen == *start,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    pub(crate) fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        either!(self, stream => stream.set_nonblocking(is_nonblocking))
    }

    /// Says that no more bytes come; lets those on their way arrive.
    pub(crate) fn close_write(&self) -> io::Result<()> {
        either!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// Ends both directions, and every read and write that waits.
    pub(crate) fn cut(&self) {
        // One that is gone already is as wanted.
        let _ = either!(self, stream => stream.shutdown(Shutdown::Both));
    }

    /// Whether the other end has closed, or the connection broke.
    pub(crate) fn is_gone(&self) -> bool {
        let flags = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        wait(self, flags, Duration::ZERO).unwrap_or(true)
    }
}

/// Waits for something to happen at a socket; says whether it did.
pub(crate) fn wait(socket: &impl AsFd, flags: PollFlags, most: Duration) -> io::Result<bool> {
    let mut sockets = [PollFd::new(socket, flags)];
    let most = Timespec::try_from(most).map_err(io::Error::other)?;
    match poll(&mut sockets, Some(&most)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

impl Read for &Socket {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = either!(*self, stream => (&mut &*stream).read(place));
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(*self, stream => (&mut &*stream).write(bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(*self, stream => (&mut &*stream).write_vectored(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
