//! What a process must know to join its cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Address;
use crate::error::JoinError;
use crate::identity::{ClusterId, Fingerprint, ProcessIndex};
use crate::security::Security;

/// Less than this, and a process that is only busy would be taken for dead.
const SHORTEST: Duration = Duration::from_millis(100);

/// What a process must know to join its cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which process this is.
    pub process: ProcessIndex,
    /// Where each process listens, this one too.
    pub addresses: Vec<Address>,
    /// How many workers each process has. All must have as many.
    pub workers: u32,
    /// The name of the cluster. All must have the same.
    pub cluster: ClusterId,
    /// What runs. All must have the same.
    pub fingerprint: Fingerprint,
    /// How processes know each other from strangers.
    pub security: Security,
    /// Whether to use a network without any security all the same.
    pub insecure: bool,
    /// How long and how much.
    pub limits: Limits,
}

/// How long to wait for others, and how much to take from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the others may take to come.
    pub deadline: Duration,
    /// How long a connection may take to say who it is.
    pub handshake: Duration,
    /// How long a peer may be silent until it is lost.
    pub silence: Duration,
    /// How many bytes a frame may have.
    pub frame: usize,
    /// How many bytes may wait for one peer until sending to it waits.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            handshake: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            frame: 64 << 20,
            queue: 256 << 20,
        }
    }
}

impl Settings {
    /// Settings with the usual limits, and no security: enough for processes of one host.
    pub fn new(
        process: ProcessIndex,
        addresses: Vec<Address>,
        workers: u32,
        cluster: ClusterId,
        fingerprint: Fingerprint,
    ) -> Self {
        Self {
            process,
            addresses,
            workers,
            cluster,
            fingerprint,
            security: Security::None,
            insecure: false,
            limits: Limits::default(),
        }
    }

    /// Whether they make sense.
    pub(crate) fn check(&self) -> Result<(), JoinError> {
        let Self {
            process, addresses, ..
        } = self;
        if process.index() >= addresses.len() {
            return Err(JoinError::NoSuchProcess {
                process: *process,
                count: addresses.len(),
            });
        }
        let mut places = BTreeMap::new();
        for (second, address) in ProcessIndex::all(addresses.len()).zip(addresses) {
            if let Some(first) = places.insert(address, second) {
                return Err(JoinError::SameAddress {
                    first,
                    second,
                    address: address.clone(),
                });
            }
        }
        self.limits.check()?;
        let workers = self.workers;
        limit(workers > 0, "number of workers", "at least 1", workers)
    }

    /// The place of a process; one that isn't in the list has none.
    pub(crate) fn address(&self, process: ProcessIndex) -> Option<&Address> {
        self.addresses.get(process.index())
    }

    /// The others.
    pub(crate) fn peers(&self) -> impl Iterator<Item = ProcessIndex> {
        let own = self.process;
        ProcessIndex::all(self.addresses.len()).filter(move |process| *process != own)
    }
}

impl Limits {
    fn check(&self) -> Result<(), JoinError> {
        for (span, what) in [
            (self.silence, "heartbeat silence"),
            (self.handshake, "handshake timeout"),
        ] {
            let is = format!("{} s", span.as_secs_f64());
            limit(span >= SHORTEST, what, "at least 0.1 s", is)?;
        }
        let is_frame = u32::try_from(self.frame).is_ok_and(|frame| frame > 0);
        let must = "from 1 to 4294967295 bytes";
        limit(is_frame, "largest frame", must, self.frame)
    }
}

fn limit(
    is_sound: bool,
    what: &'static str,
    must: &'static str,
    is: impl ToString,
) -> Result<(), JoinError> {
    if is_sound {
        Ok(())
    } else {
        let is = is.to_string();
        Err(JoinError::Limit { what, must, is })
    }
}
