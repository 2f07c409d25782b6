//! The names of what a cluster is made of.

use std::fmt;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// One process of a cluster, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessIndex(pub u32);

/// A cluster, as the user named it. Processes of two clusters never join.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub String);

/// What the processes run: the same number for the same code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

/// One start of one process, drawn at random. That of process 0 names the run of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

impl ProcessIndex {
    /// As an index of a list.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// All processes of a cluster of as many.
    pub(crate) fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..).map(Self).take(count)
    }
}

impl ClusterId {
    /// What stands for it in a greeting, where it must be short and needn't be readable.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, self.0.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        bytes
    }
}

impl RunId {
    /// A new one; `None` if the system has no random numbers.
    pub(crate) fn draw() -> Option<Self> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for ProcessIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RunId({self})")
    }
}
