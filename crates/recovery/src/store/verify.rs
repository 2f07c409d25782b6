//! Verifying: everything that can be checked is, and all that is wrong is told.

use std::path::Path;

use super::directory::Directory;
use super::error::{Attempt, Result, StoreError};
use super::layout::{file_name, partition_of};
use super::load::Checked;
use super::partition::Partition;
use super::reader::Reader;

/// What was found.
#[derive(Debug, Default)]
pub struct Verification {
    /// How many snapshots were checked.
    pub rows: u64,
    /// What is wrong; nothing if the store can be used.
    pub problems: Vec<StoreError>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            let told = error.to_string();
            if !self.problems.iter().any(|known| known.to_string() == told) {
                self.problems.push(error);
            }
        }
    }
}

/// Checks a store: that all files are there and none is an older copy; of each file every
/// record, the seal, the structure, and that its keys belong to it.
pub fn verify(path: &Path) -> Verification {
    let mut found = Verification::default();
    let files = match Reader::open(path) {
        Ok(reader) => {
            for partition in &reader.partitions {
                check_file(partition, &mut found);
            }
            return found;
        }
        Err(error) => {
            found.problems.push(error);
            Directory::existing(path).and_then(|directory| directory.partition_files())
        }
    };
    // What is wrong with the whole is told; what else is wrong with the files by themselves?
    for file in files.unwrap_or_default() {
        match Partition::open(&file) {
            Ok(partition) => check_file(&partition, &mut found),
            Err(error) => found.note(Err(error)),
        }
    }
    found
}

fn check_file(partition: &Partition, found: &mut Verification) {
    let mut rows = 0;
    let records = partition.visit(&mut |row: Checked<'_>| {
        rows += 1;
        let identity = row.identity;
        let belongs = partition_of(identity.step, identity.key, partition.identity.count);
        if belongs == partition.identity.number {
            return Ok(());
        }
        Err(StoreError::corrupt(
            &partition.path,
            format!(
                "it has a snapshot of step `{}`, key `{}`, which belongs to `{}`",
                identity.step,
                identity.key,
                file_name(belongs)
            ),
        ))
    });
    found.rows += rows;
    found.note(records);
    found.note(check_structure(partition));
}

fn check_structure(partition: &Partition) -> Result<()> {
    let attempt = Attempt::new(&partition.path, "check the store file");
    let check = || {
        let mut statement = partition.connection.prepare("PRAGMA integrity_check(1)")?;
        statement.query_row((), |row| row.get::<_, String>(0))
    };
    let answer = check().map_err(attempt.sqlite())?;
    if answer == "ok" {
        return Ok(());
    }
    Err(StoreError::corrupt(&partition.path, answer))
}
