//! What a process must know to join its cluster.

use std::time::Duration;

use crate::address::Address;
use crate::identity::{ClusterId, Fingerprint, ProcessIndex};
use crate::security::Security;

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
