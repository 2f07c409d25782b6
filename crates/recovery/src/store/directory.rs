//! The directory of a store: the names in it, who may read it, and on what it lies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::{Attempt, Result, StoreError};
use super::layout::file_name;
use crate::id::StorePartition;

/// Only the user who runs the dataflow may read state.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The directory of a store.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// Without symbolic links: SQLite is told to follow none.
    path: PathBuf,
}

impl Directory {
    /// One that is there.
    pub(super) fn existing(path: &Path) -> Result<Self> {
        let missing = || StoreError::DirectoryMissing {
            path: path.to_owned(),
        };
        let attempt = Attempt::new(path, "open the recovery directory");
        let canonical = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(attempt.io())?,
        };
        if !canonical.is_dir() {
            return Err(attempt.io()(io::ErrorKind::NotADirectory.into()));
        }
        let directory = Self { path: canonical };
        directory.refuse_network()?;
        Ok(directory)
    }

    /// One that is made if it isn't there.
    pub(super) fn make(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
            .map_err(Attempt::new(path, "make the recovery directory").io())?;
        Self::existing(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn partition(&self, partition: StorePartition) -> PathBuf {
        self.path.join(file_name(partition))
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// What is about to take the place of [`lock`](Self::lock).
    pub(super) fn new_lock(&self) -> PathBuf {
        self.path.join("lock.new")
    }

    /// There while the store is being made, and never again.
    pub(super) fn marker(&self) -> PathBuf {
        self.path.join("unfinished")
    }

    /// All that look like files of a store, whatever their number says.
    pub(super) fn partition_files(&self) -> Result<Vec<PathBuf>> {
        let attempt = Attempt::new(&self.path, "list the recovery directory");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(attempt.io())? {
            let path = entry.map_err(attempt.io())?.path();
            if path.extension().is_some_and(|it| it == "sqlite3") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync(&self) -> Result<()> {
        fail_point!("directory-sync");
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(Attempt::new(&self.path, "sync the recovery directory").io())
    }

    #[cfg(target_os = "linux")]
    fn refuse_network(&self) -> Result<()> {
        let status = rustix::fs::statfs(&self.path)
            .map_err(io::Error::from)
            .map_err(Attempt::new(&self.path, "see what the recovery directory is on").io())?;
        // The type is 32 bits, in a word whose size and sign differ between machines.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the upper half is empty or copies of the sign"
        )]
        let kind = status.f_type as u32;
        match network_name(kind) {
            None => Ok(()),
            Some(kind) => Err(StoreError::NetworkFileSystem {
                path: self.path.clone(),
                kind,
            }),
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "asked on Linux only"
    )]
    fn refuse_network(&self) -> Result<()> {
        Ok(())
    }
}

/// A new file that nobody else may read; fails if there is one.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
}

/// What people call the file systems of other machines, by their type in `statfs`.
#[cfg(target_os = "linux")]
fn network_name(kind: u32) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x00C3_6400 => Some("CephFS"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x7375_7245 => Some("Coda"),
        0x564C => Some("NCP"),
        _ => None,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not() {
        for kind in [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42] {
            assert!(network_name(kind).is_some());
        }
        let ext4_xfs_btrfs_tmpfs_overlay =
            [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630];
        for kind in ext4_xfs_btrfs_tmpfs_overlay {
            assert_eq!(network_name(kind), None);
        }
    }
}
