//! Repartitioning: the same store in another number of files.

use std::path::Path;

use super::error::Result;
use super::filling::copy;
use super::lease::{Claim, Lease};
use super::reader::Reader;

/// Writes a store to a new directory, in another number of files. All of it goes over: the
/// manifest, all executions, and also rows that don't count. The old store stays as it is; it
/// must not be in use, as a run that went on in it would be lost.
///
/// Gives the number of snapshots.
pub fn repartition(from: &Path, to: &Path, partitions: u32) -> Result<u64> {
    let directory = Reader::open(from)?.directory;
    let _lease = Lease::take(&directory, Claim::IfFree)?;
    copy(&Reader::open(from)?, to, partitions)
}
