//! Where others connect to.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::PollFlags;

use crate::address::Address;
use crate::socket::{self, Socket};

/// How many connections may wait to be accepted: more than strangers open at once.
const BACKLOG: i32 = 4096;

/// A place to listen at; the file of a Unix socket goes with it.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
}

/// The file of a Unix socket, which is removed in the end if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Listener {
    /// Listens; the error says what to do.
    pub(crate) fn bind(address: &Address) -> Result<Self, String> {
        let listener = match address {
            Address::Tcp { host, port } => TcpListener::bind((host.as_str(), *port))
                .map(Self::Tcp)
                .map_err(|error| tcp_advice(&error))?,
            Address::Unix(path) => unix(path)?,
        };
        let prepare = || {
            rustix::net::listen(&listener, BACKLOG)?;
            match &listener {
                Self::Tcp(listener) => listener.set_nonblocking(true),
                Self::Unix { listener, .. } => listener.set_nonblocking(true),
            }
        };
        prepare().map_err(|error: io::Error| error.to_string())?;
        Ok(listener)
    }

    /// Takes a connection, if one comes in time.
    pub(crate) fn accept(&self, most: Duration) -> io::Result<Option<Socket>> {
        if !socket::wait(self, PollFlags::IN, most)? {
            return Ok(None);
        }
        let accepted = match self {
            Self::Tcp(listener) => listener
                .accept()
                .and_then(|(stream, _)| Socket::tcp(stream)),
            Self::Unix { listener, .. } => {
                listener.accept().map(|(stream, _)| Socket::Unix(stream))
            }
        };
        match accepted {
            Ok(socket) => {
                socket.set_nonblocking(false)?;
                Ok(Some(socket))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix { listener, .. } => listener.as_fd(),
        }
    }
}

fn tcp_advice(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; end it, or use another port, or give each process a \
             number of its own"
                .to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "it is no address of this host; give the address of this process".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Listens at a Unix socket, in the place of one that a dead process has left.
fn unix(path: &Path) -> Result<Listener, String> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let is_socket =
                fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
            if !is_socket {
                return Err("there is a file that is no socket; use another path".to_owned());
            }
            if UnixStream::connect(path).is_ok() {
                return Err(
                    "another process listens there; end it, or use another path, or give \
                            each process a number of its own"
                        .to_owned(),
                );
            }
            fs::remove_file(path).and_then(|()| UnixListener::bind(path))
        }
        other => other,
    };
    let listener = listener.map_err(|error| error.to_string())?;
    let file = || {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let metadata = fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        })
    };
    let file = file().map_err(|error: io::Error| error.to_string())?;
    Ok(Listener::Unix {
        listener,
        _file: file,
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            // Whoever comes next removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}
