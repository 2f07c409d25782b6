//! Repartitioning: the same store in another number of files.

use std::path::Path;

use super::error::{Result, StoreError};
use super::filling::Filling;
use super::lease::{Claim, Lease};
use super::load::Checked;
use super::reader::Reader;

/// Writes a store to a new directory, in another number of files. All of it goes over: the
/// manifest, all executions, and also rows that don't count. The old store stays as it is; it
/// must not be in use.
///
/// Gives the number of snapshots.
pub fn repartition(from: &Path, to: &Path, partitions: u32) -> Result<u64> {
    let directory = Reader::open(from)?.directory;
    let _lease = Lease::take(&directory, Claim::IfFree)?;
    let reader = Reader::open(from)?;
    let mut filling = Filling::begin(to, partitions, reader.generation())?;
    for partition in &reader.partitions {
        partition.visit::<StoreError>(&mut |row: Checked<'_>| {
            let frame = row.frame.map(<[u8]>::to_vec);
            filling.put(&row.identity, row.checksum, frame)
        })?;
    }
    let (rows, _) = filling.sum();
    filling.finish(&reader.history)?;
    Ok(rows)
}
