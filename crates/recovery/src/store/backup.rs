//! Backing up: a copy of a store as it is at one moment.

use std::path::Path;

use super::error::Result;
use super::filling::copy;
use super::reader::Reader;

/// Copies a store to a new directory, also while a run is using it. Copying the files one after
/// another wouldn't do: each would be of another moment, and the store is refused when it isn't
/// of one.
///
/// Gives the number of snapshots.
pub fn backup(from: &Path, to: &Path) -> Result<u64> {
    let reader = Reader::open(from)?;
    copy(&reader, to, reader.partition_count())
}
