//! The greeting: the first thing that goes over a connection, once it is secure.
//!
//! Who connects says who it is in a [`Hello`]; who listens answers with a [`Reply`], which says
//! who it is in turn, and whether they go together. Both have a fixed size, so that nothing of a
//! stranger's is read beyond it. The magic, the protocol and the version stay where they are in
//! all versions, since that is how two of them find out that they don't go together.

use std::fmt;
use std::time::Duration;

use crate::identity::{Fingerprint, ProcessIndex, RunId};

/// What this version speaks. Raised with every change of what goes over a connection.
pub const PROTOCOL: u16 = 1;

/// How many bytes a [`Hello`] has.
pub const HELLO_BYTES: usize = 108;

/// How many bytes a [`Reply`] has.
pub const REPLY_BYTES: usize = 8 + HELLO_BYTES;

/// The first bytes of a greeting.
pub const MAGIC: [u8; 8] = *b"mlstream";

const VERSION_BYTES: usize = 20;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The stream of timely.
    Data,
    /// Heartbeats and messages.
    Control,
}

/// The version of a crate, in a bounded text that is safe to print.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    length: u8,
    text: [u8; VERSION_BYTES],
}

/// Who a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hello {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The version of its crate.
    pub version: Version,
    /// What stands for its cluster.
    pub cluster: [u8; 32],
    /// Which process it is.
    pub process: ProcessIndex,
    /// Which process it wants to talk to.
    pub to: ProcessIndex,
    /// How many there are.
    pub processes: u32,
    /// How many workers each has.
    pub workers: u32,
    /// How many milliseconds its peers may be silent.
    pub silence: u32,
    /// What it runs.
    pub fingerprint: Fingerprint,
    /// Which start of the process it is.
    pub run: RunId,
}

/// Why two processes don't go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// They speak different protocols.
    Protocol = 1,
    /// They are of two clusters.
    Cluster = 2,
    /// They count the processes differently.
    Processes = 3,
    /// They have different numbers of workers.
    Workers = 4,
    /// They run different code.
    Code = 5,
    /// One is not the process that it should be there.
    Process = 6,
    /// Another process of the same index has joined.
    Duplicate = 7,
    /// The certificate is that of another process.
    Certificate = 8,
    /// Only one of them uses TLS.
    Plain = 9,
}

/// What a greeting is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reply {
    /// Why not, if not.
    pub refused: Option<Reason>,
    /// Who answers.
    pub from: Hello,
}

/// Why bytes are no greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoGreeting {
    /// They are something else.
    Stranger,
    /// They begin as one, and go on as something else.
    Garbled,
    /// They are one of another protocol.
    OtherProtocol {
        /// Which.
        protocol: u16,
        /// Of which version of the crate.
        version: Version,
    },
}

impl Version {
    /// That of this crate.
    pub fn own() -> Self {
        Self::new(env!("CARGO_PKG_VERSION"))
    }

    /// As much of a text as has a place and can be printed.
    pub fn new(text: &str) -> Self {
        let mut version = Self {
            length: 0,
            text: [0; VERSION_BYTES],
        };
        for (place, byte) in version
            .text
            .iter_mut()
            .zip(text.bytes().take_while(u8::is_ascii_graphic))
        {
            *place = byte;
            version.length += 1;
        }
        version
    }

    fn decode(length: u8, text: [u8; VERSION_BYTES]) -> Option<Self> {
        let (used, unused) = text.split_at_checked(usize::from(length))?;
        let is_sound =
            used.iter().all(u8::is_ascii_graphic) && unused.iter().all(|byte| *byte == 0);
        is_sound.then_some(Self { length, text })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text
            .iter()
            .take(usize::from(self.length))
            .try_for_each(|byte| write!(formatter, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Version({self})")
    }
}

impl Hello {
    /// As bytes.
    pub fn encode(&self) -> [u8; HELLO_BYTES] {
        let purpose = match self.purpose {
            Purpose::Data => 1,
            Purpose::Control => 2,
        };
        let mut bytes = [0; HELLO_BYTES];
        let mut rest = bytes.as_mut_slice();
        for part in [
            MAGIC.as_slice(),
            &PROTOCOL.to_be_bytes(),
            &[purpose, self.version.length],
            &self.version.text,
            &self.cluster,
            &self.process.0.to_be_bytes(),
            &self.to.0.to_be_bytes(),
            &self.processes.to_be_bytes(),
            &self.workers.to_be_bytes(),
            &self.silence.to_be_bytes(),
            &self.fingerprint.0.to_be_bytes(),
            &self.run.0,
        ] {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; HELLO_BYTES]) -> Result<Self, NoGreeting> {
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(NoGreeting::Stranger);
        }
        let protocol = u16::from_be_bytes(fields.take());
        let [purpose, length] = fields.take();
        let version = Version::decode(length, fields.take()).ok_or(NoGreeting::Garbled)?;
        if protocol != PROTOCOL {
            return Err(NoGreeting::OtherProtocol { protocol, version });
        }
        Ok(Self {
            purpose: match purpose {
                1 => Purpose::Data,
                2 => Purpose::Control,
                _ => return Err(NoGreeting::Garbled),
            },
            version,
            cluster: fields.take(),
            process: ProcessIndex(u32::from_be_bytes(fields.take())),
            to: ProcessIndex(u32::from_be_bytes(fields.take())),
            processes: u32::from_be_bytes(fields.take()),
            workers: u32::from_be_bytes(fields.take()),
            silence: u32::from_be_bytes(fields.take()),
            fingerprint: Fingerprint(u64::from_be_bytes(fields.take())),
            run: RunId(fields.take()),
        })
    }

    /// Whether another process goes with this one, whichever it is.
    pub fn check(&self, other: &Self) -> Result<(), Reason> {
        if other.cluster != self.cluster {
            Err(Reason::Cluster)
        } else if other.processes != self.processes {
            Err(Reason::Processes)
        } else if other.fingerprint != self.fingerprint {
            Err(Reason::Code)
        } else if other.workers != self.workers {
            Err(Reason::Workers)
        } else {
            let is_peer = other.process.0 < self.processes && other.process != self.process;
            if is_peer && other.to == self.process {
                Ok(())
            } else {
                Err(Reason::Process)
            }
        }
    }

    /// How often to say something to the process, for it not to take us for dead.
    pub fn beat(&self) -> Duration {
        let tenth = Duration::from_millis(u64::from(self.silence) / 10);
        tenth.clamp(Duration::from_millis(1), Duration::from_secs(1))
    }
}

impl Reply {
    /// As bytes.
    pub fn encode(&self) -> [u8; REPLY_BYTES] {
        let mut bytes = [0; REPLY_BYTES];
        let (magic, rest) = bytes.split_at_mut(7);
        magic.copy_from_slice(&MAGIC[..7]);
        let (verdict, hello) = rest.split_at_mut(1);
        verdict.fill(self.refused.map_or(0, |reason| reason as u8));
        hello.copy_from_slice(&self.from.encode());
        bytes
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; REPLY_BYTES]) -> Result<Self, NoGreeting> {
        let mut fields = Fields(bytes);
        if fields.take::<7>() != MAGIC[..7] {
            return Err(NoGreeting::Stranger);
        }
        let [verdict] = fields.take();
        let from = Hello::decode(&fields.take())?;
        let refused = match verdict {
            0 => None,
            1 => Some(Reason::Protocol),
            2 => Some(Reason::Cluster),
            3 => Some(Reason::Processes),
            4 => Some(Reason::Workers),
            5 => Some(Reason::Code),
            6 => Some(Reason::Process),
            7 => Some(Reason::Duplicate),
            8 => Some(Reason::Certificate),
            9 => Some(Reason::Plain),
            _ => return Err(NoGreeting::Garbled),
        };
        Ok(Self { refused, from })
    }
}

/// Bytes that are read field by field. What lies behind the end is zero.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> impl Strategy<Value = Hello> {
        (
            any::<bool>(),
            "[!-~]{0,20}",
            any::<[u8; 32]>(),
            any::<[u32; 5]>(),
            any::<u64>(),
            any::<[u8; 16]>(),
        )
            .prop_map(|(is_data, version, cluster, numbers, fingerprint, run)| {
                let [process, to, processes, workers, silence] = numbers;
                Hello {
                    purpose: if is_data {
                        Purpose::Data
                    } else {
                        Purpose::Control
                    },
                    version: Version::new(&version),
                    cluster,
                    process: ProcessIndex(process),
                    to: ProcessIndex(to),
                    processes,
                    workers,
                    silence,
                    fingerprint: Fingerprint(fingerprint),
                    run: RunId(run),
                }
            })
    }

    const HELLO: Hello = Hello {
        purpose: Purpose::Data,
        version: Version {
            length: 0,
            text: [0; VERSION_BYTES],
        },
        cluster: [7; 32],
        process: ProcessIndex(1),
        to: ProcessIndex(2),
        processes: 3,
        workers: 2,
        silence: 10_000,
        fingerprint: Fingerprint(5),
        run: RunId([9; 16]),
    };

    proptest! {
        #[test]
        fn hello_is_read_as_it_is_written(hello in hello()) {
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }

        #[test]
        fn reply_is_read_as_it_is_written(from in hello(), verdict in 0..=9_u8) {
            let mut bytes = Reply { refused: None, from }.encode();
            bytes[7] = verdict;
            let reply = Reply::decode(&bytes).unwrap();
            prop_assert_eq!(reply.refused.map_or(0, |reason| reason as u8), verdict);
            prop_assert_eq!(reply.encode(), bytes);
        }

        #[test]
        fn what_is_read_is_all_that_was_written(mut bytes in prop::collection::vec(any::<u8>(), HELLO_BYTES)) {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..10].copy_from_slice(&PROTOCOL.to_be_bytes());
            bytes[10] = 1 + bytes[10] % 3;
            bytes[11] %= 4;
            bytes[15..32].fill(0);
            let bytes = *bytes.first_chunk().unwrap();
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert_eq!(hello.encode(), bytes);
            }
        }
    }

    #[test]
    fn other_protocol_is_known_by_what_never_moves() {
        let mut bytes = [0xff; HELLO_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&2_u16.to_be_bytes());
        bytes[11] = 5;
        bytes[12..17].copy_from_slice(b"9.8.7");
        bytes[17..32].fill(0);
        assert_eq!(
            Hello::decode(&bytes),
            Err(NoGreeting::OtherProtocol {
                protocol: 2,
                version: Version::new("9.8.7"),
            })
        );
    }

    #[test]
    fn version_that_can_not_be_printed_is_garbled() {
        let mut bytes = HELLO.encode();
        bytes[11] = 1;
        bytes[12] = 0x1b;
        assert_eq!(Hello::decode(&bytes), Err(NoGreeting::Garbled));
        bytes[11] = 21;
        assert_eq!(Hello::decode(&bytes), Err(NoGreeting::Garbled));
    }

    #[test]
    fn each_difference_has_its_reason() {
        let other = |change: fn(&mut Hello)| {
            let mut other = Hello {
                process: ProcessIndex(2),
                to: ProcessIndex(1),
                ..HELLO
            };
            change(&mut other);
            HELLO.check(&other)
        };
        assert_eq!(other(|_| ()), Ok(()));
        assert_eq!(other(|other| other.run = RunId([1; 16])), Ok(()));
        assert_eq!(other(|other| other.silence = 1), Ok(()));
        assert_eq!(other(|other| other.cluster = [0; 32]), Err(Reason::Cluster));
        assert_eq!(other(|other| other.processes = 4), Err(Reason::Processes));
        assert_eq!(other(|other| other.workers = 1), Err(Reason::Workers));
        let fingerprint = |other: &mut Hello| other.fingerprint = Fingerprint(6);
        assert_eq!(other(fingerprint), Err(Reason::Code));
        let process = |other: &mut Hello| other.process = ProcessIndex(3);
        assert_eq!(other(process), Err(Reason::Process));
        let own = |other: &mut Hello| other.process = HELLO.process;
        assert_eq!(other(own), Err(Reason::Process));
        let to = |other: &mut Hello| other.to = ProcessIndex(0);
        assert_eq!(other(to), Err(Reason::Process));
    }

    #[test]
    fn beat_is_a_tenth_of_the_silence_and_at_least_each_second() {
        let beat = |silence| Hello { silence, ..HELLO }.beat();
        assert_eq!(beat(2_000), Duration::from_millis(200));
        assert_eq!(beat(10_000), Duration::from_secs(1));
        assert_eq!(beat(120_000), Duration::from_secs(1));
        assert_eq!(beat(0), Duration::from_millis(1));
    }
}
