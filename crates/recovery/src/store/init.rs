//! Making a store.
//!
//! Several files can't appear at once, so a file `unfinished` is there until all of them are
//! durable. A store that is found with it was never used and may be made again.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::directory::{Directory, create_file};
use super::error::{Attempt, Result, StoreError};
use super::layout::{HOME, MOST_PARTITIONS};
use super::seal::{FileIdentity, Seal};
use super::{connection, lease};
use crate::id::StorePartition;

/// Makes a store of so many partitions, in a directory that is made if it isn't there.
pub fn init(path: &Path, partitions: u32) -> Result<()> {
    Making::begin(path, partitions)?.finish()
}

/// A store that isn't finished. Dropping it leaves it so.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) directory: Directory,
    /// Locked, so that nobody else takes the store for the remains of a crash.
    _marker: File,
}

impl Making {
    /// Makes the files.
    pub(super) fn begin(path: &Path, partitions: u32) -> Result<Self> {
        if !(1..=MOST_PARTITIONS).contains(&partitions) {
            return Err(StoreError::PartitionCount {
                count: partitions,
                most: MOST_PARTITIONS,
            });
        }
        let directory = Directory::make(path)?;
        let marker = mark_unfinished(&directory)?;
        directory.sync()?;
        let store = create_partition(&directory, HOME, partitions, None)?;
        for number in 1..partitions {
            fail_point!("init-partition");
            create_partition(&directory, StorePartition(number), partitions, Some(&store))?;
        }
        lease::create(&directory, &store)?;
        Ok(Self {
            directory,
            _marker: marker,
        })
    }

    /// Makes it a store.
    pub(super) fn finish(self) -> Result<()> {
        self.directory.sync()?;
        fail_point!("init-finish");
        let marker = self.directory.marker();
        fs::remove_file(&marker).map_err(Attempt::new(&marker, "finish the store").io())?;
        fail_point!("init-finished");
        self.directory.sync()
    }
}

/// Puts the marker there, locked as long as the file lives. What an earlier making left behind
/// is removed.
fn mark_unfinished(directory: &Directory) -> Result<File> {
    let marker = directory.marker();
    let attempt = Attempt::new(&marker, "make the store");
    match create_file(&marker) {
        Ok(file) => {
            file.lock().map_err(attempt.io())?;
            // Only now is it certain that nobody else makes one.
            if let Err(error) = refuse_store(directory) {
                fs::remove_file(&marker).map_err(attempt.io())?;
                return Err(error);
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = File::open(&marker).map_err(attempt.io())?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse {
                        path: directory.path().to_owned(),
                        process: None,
                    });
                }
                Err(TryLockError::Error(error)) => return Err(attempt.io()(error)),
            }
            remove_remains(directory)?;
            Ok(file)
        }
        Err(error) => Err(attempt.io()(error)),
    }
}

fn refuse_store(directory: &Directory) -> Result<()> {
    if directory.partition_files()?.is_empty() && !directory.lock().exists() {
        return Ok(());
    }
    Err(StoreError::AlreadyInitialised {
        path: directory.path().to_owned(),
    })
}

fn remove_remains(directory: &Directory) -> Result<()> {
    let mut remains = vec![directory.lock()];
    for file in directory.partition_files()? {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.clone().into_os_string();
            name.push(suffix);
            remains.push(name.into());
        }
    }
    for path in remains {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Attempt::new(&path, "remove what is left of the store").io()(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes one file, and the name of the store if it has none yet.
fn create_partition(
    directory: &Directory,
    number: StorePartition,
    count: u32,
    store: Option<&str>,
) -> Result<String> {
    let path = directory.partition(number);
    let attempt = Attempt::new(&path, "make the store file");
    create_file(&path).map_err(attempt.io())?;
    let connection = connection::create(&path)?;
    let store = match store {
        Some(store) => store.to_owned(),
        None => connection
            .query_row("SELECT lower(hex(randomblob(16)))", (), |row| row.get(0))
            .map_err(attempt.sqlite())?,
    };
    let identity = FileIdentity {
        store,
        number,
        count,
    };
    identity.write(&connection, &path)?;
    Seal::new().write(&connection, &identity, &path)?;
    connection
        .close()
        .map_err(|(_, error)| attempt.sqlite()(error))?;
    Ok(identity.store)
}
