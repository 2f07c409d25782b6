//! How two processes greet each other over one connection, seen from either end.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, ServerConnection};

use crate::address::Address;
use crate::channel::Channel;
use crate::error::{Absence, Refusal, Refused};
use crate::identity::{ProcessIndex, RunId};
use crate::security::{Credentials, Distrust, distrust, is_named, server_name};
use crate::settings::{Limits, Settings};
use crate::socket::{NoConnection, Socket};
use crate::wire::hello::{
    HELLO_BYTES, Hello, MAGIC, NoGreeting, PROTOCOL, Purpose, REPLY_BYTES, Reason, Reply, Version,
};

/// What a record of TLS begins with that starts a handshake, or that ends one.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 3];
const TLS_ALERT: [u8; 2] = [0x15, 3];

/// What a process says of itself, and how it makes connections safe.
#[derive(Debug, Clone)]
pub(super) struct Manners {
    pub(super) process: ProcessIndex,
    pub(super) limits: Limits,
    credentials: Option<Credentials>,
    hello: Hello,
}

/// A connection whose other end has said who it is.
pub(super) struct Arrival {
    pub(super) purpose: Purpose,
    /// Where it is, as far as the system knows.
    pub(super) from: String,
    pub(super) hello: Hello,
    pub(super) channel: Arc<Channel>,
}

/// Why a process was not reached.
pub(super) enum Miss {
    /// It may be later.
    NotYet(Absence),
    /// The two don't go together.
    Refused(Refusal),
}

impl Manners {
    pub(super) fn new(settings: &Settings, run: RunId, credentials: Option<Credentials>) -> Self {
        let silence = settings.limits.silence.as_millis();
        Self {
            process: settings.process,
            limits: settings.limits,
            credentials,
            hello: Hello {
                purpose: Purpose::Data,
                version: Version::own(),
                cluster: settings.cluster.digest(),
                process: settings.process,
                to: settings.process,
                processes: u32::try_from(settings.addresses.len()).unwrap_or(u32::MAX),
                workers: settings.workers,
                silence: u32::try_from(silence).unwrap_or(u32::MAX),
                fingerprint: settings.fingerprint,
                run,
            },
        }
    }

    /// What to answer someone with.
    pub(super) fn reply(&self, to: ProcessIndex, refused: Option<Reason>) -> Reply {
        Reply {
            refused,
            from: Hello { to, ..self.hello },
        }
    }

    /// Whether someone may join who is who it says it is.
    pub(super) fn check(&self, other: &Hello) -> Result<(), Reason> {
        self.hello.check(other)?;
        // Whoever has the higher index connects.
        if other.process > self.process {
            Ok(())
        } else {
            Err(Reason::Process)
        }
    }

    /// Listens to what someone who connected says; nothing, if it is nothing.
    pub(super) fn greet(&self, socket: Arc<Socket>) -> Result<Arrival, Option<Refused>> {
        let from = socket.other_end();
        let refused = |process, cause| {
            let from = from.clone();
            Some(Refused {
                process,
                from,
                cause,
            })
        };
        // A process that has none yet is no stranger, and somebody will look for it.
        let is_plain = self.credentials.is_some() && socket.begins_with(&MAGIC);
        let channel = match self.secure(Arc::clone(&socket)) {
            Ok(channel) => channel,
            Err(error) => {
                drain(&socket);
                if is_plain {
                    return Err(refused(None, Refusal::LacksSecurity));
                }
                let why = distrust(&error).filter(|why| *why != Distrust::NoTls);
                return Err(why.and_then(|why| refused(None, Refusal::Distrust(why.to_string()))));
            }
        };
        let mut bytes = [0; HELLO_BYTES];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        channel.read_exact(magic).map_err(|_| None)?;
        if *magic != MAGIC {
            if magic.starts_with(&TLS_HANDSHAKE) {
                self.refuse(&channel, self.process, Reason::Plain);
                return Err(refused(None, Refusal::HasSecurity));
            }
            return Err(None);
        }
        channel.read_exact(rest).map_err(|_| None)?;
        let hello = match Hello::decode(&bytes) {
            Ok(hello) => hello,
            Err(NoGreeting::OtherProtocol { protocol, version }) => {
                self.refuse(&channel, self.process, Reason::Protocol);
                let why = other_protocol(protocol, version);
                return Err(refused(None, why));
            }
            Err(_) => return Err(None),
        };
        if let Some(certificate) = channel.certificate()
            && !is_named(&certificate, hello.process)
        {
            self.refuse(&channel, hello.process, Reason::Certificate);
            let why = Refusal::Distrust(Distrust::OtherName.to_string());
            return Err(refused(Some(hello.process), why));
        }
        let channel = Arc::new(channel);
        Ok(Arrival {
            purpose: hello.purpose,
            from,
            hello,
            channel,
        })
    }

    fn secure(&self, socket: Arc<Socket>) -> io::Result<Channel> {
        match &self.credentials {
            None => Ok(Channel::plain(socket)),
            Some(credentials) => {
                let connection = ServerConnection::new(Arc::clone(&credentials.server));
                Channel::accept(socket, connection.map_err(io::Error::other)?)
            }
        }
    }

    /// Says no.
    pub(super) fn refuse(&self, channel: &Channel, to: ProcessIndex, reason: Reason) {
        // Who doesn't wait for the answer doesn't get it.
        let _ = channel.write_all(&self.reply(to, Some(reason)).encode());
        let _ = channel.close_write();
    }

    /// Connects to a process, and says who we are.
    pub(super) fn reach(
        &self,
        peer: ProcessIndex,
        address: &Address,
        purpose: Purpose,
    ) -> Result<Arrival, Miss> {
        let socket = Socket::connect(address, self.limits.handshake).map_err(unreachable)?;
        let socket = Arc::new(socket);
        let late = |error: io::Error| Miss::NotYet(Absence::Unreachable(error.to_string()));
        socket
            .set_timeouts(Some(self.limits.handshake))
            .map_err(late)?;
        let channel = match &self.credentials {
            None => Channel::plain(Arc::clone(&socket)),
            Some(credentials) => {
                let name = server_name(peer).ok_or(Miss::Refused(Refusal::Stranger))?;
                let connection = ClientConnection::new(Arc::clone(&credentials.client), name)
                    .map_err(|error| late(io::Error::other(error)))?;
                Channel::connect(Arc::clone(&socket), connection).map_err(|error| {
                    drain(&socket);
                    untrusted(error)
                })?
            }
        };
        let hello = Hello {
            purpose,
            to: peer,
            ..self.hello
        };
        // If it fails, the answer may still say why.
        let _ = channel.write_all(&hello.encode());
        let mut bytes = [0; REPLY_BYTES];
        if let Err(error) = channel.read_exact(&mut bytes) {
            // What has come may be enough to know what it is.
            return Err(if bytes.starts_with(&TLS_ALERT) {
                Miss::Refused(Refusal::WantsSecurity)
            } else {
                untrusted(error)
            });
        }
        let other = self
            .understand(peer, &hello, &bytes)
            .map_err(Miss::Refused)?;
        channel.socket().set_timeouts(None).map_err(late)?;
        Ok(Arrival {
            purpose,
            from: address.to_string(),
            hello: other,
            channel: Arc::new(channel),
        })
    }

    /// What an answer means.
    fn understand(
        &self,
        peer: ProcessIndex,
        own: &Hello,
        bytes: &[u8; REPLY_BYTES],
    ) -> Result<Hello, Refusal> {
        let reply = Reply::decode(bytes).map_err(|error| match error {
            NoGreeting::OtherProtocol { protocol, version } => other_protocol(protocol, version),
            NoGreeting::Stranger | NoGreeting::Garbled => Refusal::Stranger,
        })?;
        let reason = match reply.refused {
            // It wants another process than us, or is another one than it should be.
            Some(Reason::Process) | None if reply.from.process != peer => Err(Reason::Process),
            None => own.check(&reply.from),
            Some(reason) => Err(reason),
        };
        match reason {
            Ok(()) => Ok(reply.from),
            Err(Reason::Certificate) => Err(Refusal::Distrust(
                Distrust::OursRefused("it is not for this process".to_owned()).to_string(),
            )),
            Err(Reason::Duplicate) => Err(Refusal::Duplicate(self.process)),
            Err(reason) => Err(self.explain(reason, peer, &reply.from)),
        }
    }

    /// Why someone who connected is refused.
    pub(super) fn explain_guest(&self, reason: Reason, guest: &Hello) -> Refusal {
        match reason {
            Reason::Process => Refusal::Sought(guest.to),
            reason => self.explain(reason, guest.process, guest),
        }
    }

    /// Why we and another don't go together.
    fn explain(&self, reason: Reason, expected: ProcessIndex, other: &Hello) -> Refusal {
        match reason {
            Reason::Protocol | Reason::Cluster => Refusal::Cluster,
            Reason::Processes => Refusal::Processes {
                own: self.hello.processes,
                other: other.processes,
            },
            Reason::Workers => Refusal::Workers {
                own: self.hello.workers,
                other: other.workers,
            },
            Reason::Code => Refusal::Code,
            Reason::Process => Refusal::Process {
                expected,
                found: other.process,
            },
            Reason::Duplicate => Refusal::Duplicate(other.process),
            Reason::Certificate => Refusal::Distrust(Distrust::OtherName.to_string()),
            Reason::Plain => Refusal::WantsSecurity,
        }
    }
}

fn other_protocol(protocol: u16, version: Version) -> Refusal {
    Refusal::Protocol {
        own: (PROTOCOL, Version::own().to_string()),
        other: (protocol, version.to_string()),
    }
}

fn unreachable(why: NoConnection) -> Miss {
    Miss::NotYet(match why {
        NoConnection::Unresolved(error) => Absence::Unresolved(error.to_string()),
        NoConnection::Unreachable(error) => Absence::Unreachable(match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => "nobody listens there".to_owned(),
            _ => error.to_string(),
        }),
    })
}

fn unanswered(error: &io::Error) -> Absence {
    Absence::Unreachable(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer".to_owned(),
        _ => "it closed the connection without an answer".to_owned(),
    })
}

fn untrusted(error: io::Error) -> Miss {
    match distrust(&error) {
        Some(why) => Miss::Refused(Refusal::Distrust(why.to_string())),
        None => Miss::NotYet(unanswered(&error)),
    }
}

/// Lets the last words arrive: a connection that is closed before everything was read may take
/// them back.
fn drain(socket: &Socket) {
    use std::io::Read;
    let _ = socket.close_write();
    let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
    let mut bytes = [0; 4096];
    for _ in 0..16 {
        if !(&mut &*socket)
            .read(&mut bytes)
            .is_ok_and(|count| count > 0)
        {
            return;
        }
    }
}
