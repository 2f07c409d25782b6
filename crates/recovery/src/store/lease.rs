//! The lease: who runs on this store.
//!
//! A run holds the operating system's lock on the file `lock`, so that a second one is refused
//! at once and a dead one holds nobody up. A run that is alive but stands still keeps the lock;
//! that it does can be seen from its heartbeat, and it may be taken over by force: a new file
//! takes the place of `lock`, and the [generation](crate::id::Generation) in every partition
//! keeps the old run from writing once it wakes. The lock is a courtesy; the generation is what
//! makes a second writer harmless.
//!
//! The file also says how far home had come when it last committed. That isn't synced with each
//! commit and needn't be: it is written after it, so it is never ahead, and when it has stayed
//! behind, less is noticed but nothing wrong is claimed.
//!
//! ```text
//! magic (8)  store (8)  sequence of home (8)  checksum (8)  process (8)  heartbeat (8)
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::directory::{Directory, create_file};
use super::error::{Attempt, Result, StoreError};
use crate::frame::Digest;

/// How often a lock that is held is looked at before it counts, and how long in between: a
/// child process that is just being started holds, for a moment, all that its parent held.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

const MAGIC: u64 = u64::from_le_bytes(*b"mslock\0\x01");
/// How often what doesn't match is read.
const READS: usize = 5;

const PROCESS_OFFSET: u64 = 32;
const HEARTBEAT_OFFSET: u64 = 40;

/// What to do when another run has the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Leave it to the other.
    IfFree,
    /// Take it over: the other stands still.
    ByForce,
}

/// What can be seen of a lease from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Whether a process holds it.
    pub is_held: bool,
    /// The process that took it last, as it is called on its machine.
    pub process: u64,
    /// Changes as long as the holder is well.
    pub heartbeat: u64,
}

/// The lease of this run. Clones are of the same one; it ends with the last.
#[derive(Debug, Clone)]
pub struct Lease {
    file: Arc<File>,
    directory: Directory,
}

impl Lease {
    /// Shows that this run is well; the number is to be another each time.
    pub fn beat(&self, heartbeat: u64) -> Result<()> {
        self.write(
            HEARTBEAT_OFFSET,
            &heartbeat.to_le_bytes(),
            "renew the lease",
        )
    }

    /// Whether another run has taken the lease by force.
    pub fn is_lost(&self) -> Result<bool> {
        let path = self.directory.lock();
        is_at(&self.file, &path)
            .map(|is_ours| !is_ours)
            .map_err(Attempt::new(&path, "look at the lease").io())
    }

    pub(super) fn take(directory: &Directory, claim: Claim) -> Result<Self> {
        let path = directory.lock();
        let attempt = Attempt::new(&path, "take the lease");
        let mut looks = 0;
        let file = loop {
            let file = open_or_create(&path).map_err(attempt.io())?;
            match file.try_lock() {
                // Between opening and locking it, another may have taken its place.
                Ok(()) if is_at(&file, &path).map_err(attempt.io())? => break file,
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(attempt.io()(error)),
                Err(TryLockError::WouldBlock) => match claim {
                    Claim::IfFree if looks < LOOKS => {
                        looks += 1;
                        thread::sleep(BETWEEN_LOOKS);
                    }
                    Claim::IfFree => {
                        return Err(StoreError::InUse {
                            path: directory.path().to_owned(),
                            process: Some(read_number(&file, PROCESS_OFFSET))
                                .filter(|process| *process != 0),
                        });
                    }
                    Claim::ByForce => {
                        let file = replace(directory, &file)?;
                        // Another may take over at the same time; one of the two stays.
                        if is_at(&file, &path).map_err(attempt.io())? {
                            break file;
                        }
                    }
                },
            }
        };
        remove_if_there(&directory.new_lock()).map_err(attempt.io())?;
        let lease = Self {
            file: Arc::new(file),
            directory: directory.clone(),
        };
        let process = u64::from(std::process::id());
        lease.write(PROCESS_OFFSET, &process.to_le_bytes(), "take the lease")?;
        Ok(lease)
    }

    /// Says how far home has come.
    pub(super) fn witness(&self, store: &str, sequence: u64) -> Result<()> {
        fail_point!("lease-witness");
        match self.write(0, &witness_bytes(store, sequence), "note the commit") {
            // What it is of is durable already, and the word of it may stay behind.
            Err(StoreError::Full { .. }) => Ok(()),
            other => other,
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        fail_point!("lease-sync");
        let path = self.directory.lock();
        self.file
            .sync_all()
            .map_err(Attempt::new(&path, "sync the lease").io())
    }

    fn write(&self, offset: u64, bytes: &[u8], doing: &'static str) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(Attempt::new(&self.directory.lock(), doing).io())
    }
}

/// Looks at a lease without taking it.
pub fn observe(directory: &Path) -> Result<Observation> {
    let directory = Directory::existing(directory)?;
    let path = directory.lock();
    let attempt = Attempt::new(&path, "look at the lease");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Observation {
                is_held: false,
                process: 0,
                heartbeat: 0,
            });
        }
        other => other.map_err(attempt.io())?,
    };
    let is_held = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => return Err(attempt.io()(error)),
    };
    Ok(Observation {
        is_held,
        process: read_number(&file, PROCESS_OFFSET),
        heartbeat: read_number(&file, HEARTBEAT_OFFSET),
    })
}

/// How far home had come at least; `None` if the directory has no word of it.
pub(super) fn read_witness(directory: &Directory, store: &str) -> Result<Option<u64>> {
    let path = directory.lock();
    let attempt = Attempt::new(&path, "read the lease");
    // A run may be writing it while it is read here; what is damaged stays so.
    for _ in 0..READS {
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(attempt.io())?,
        };
        // A lock that was taken and never witnessed has nothing but the process, after zeros.
        if bytes.iter().take(32).all(|byte| *byte == 0) {
            return Ok(None);
        }
        if let Some((witness, _)) = bytes.split_first_chunk::<32>() {
            let [_, _, sequence, _] = fields(witness);
            if *witness == witness_bytes(store, sequence) {
                return Ok(Some(sequence));
            }
        }
    }
    Err(StoreError::corrupt(
        &path,
        "it does not match its checksum, or is that of another store",
    ))
}

/// The lock file of a new store.
pub(super) fn create(directory: &Directory, store: &str) -> Result<()> {
    let path = directory.lock();
    let create = || {
        let file = create_file(&path)?;
        file.write_all_at(&witness_bytes(store, 0), 0)?;
        file.write_all_at(&[0; 16], PROCESS_OFFSET)?;
        file.sync_all()
    };
    create().map_err(Attempt::new(&path, "make the lock file").io())
}

/// Puts a new lock file, locked, in the place of one that is held.
fn replace(directory: &Directory, held: &File) -> Result<File> {
    let path = directory.lock();
    let attempt = Attempt::new(&path, "take the lease by force");
    let place = directory.new_lock();
    let replace = || {
        remove_if_there(&place)?;
        let mut witness = [0; 32];
        // A word that was never written leaves none behind.
        let _ = held.read_exact_at(&mut witness, 0);
        let file = create_file(&place)?;
        file.write_all_at(&witness, 0)?;
        file.write_all_at(&[0; 16], PROCESS_OFFSET)?;
        file.lock()?;
        file.sync_all()?;
        fail_point!("lease-rename");
        fs::rename(&place, &path)?;
        fail_point!("lease-renamed");
        Ok(file)
    };
    let file = replace().map_err(attempt.io())?;
    directory.sync()?;
    Ok(file)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create_file(path) {
            // Another was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).write(true).open(path)
            }
            other => other,
        },
        other => other,
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_number(file: &File, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

fn witness_bytes(store: &str, sequence: u64) -> [u8; 32] {
    let store = Digest::new().text(store).finish();
    let checksum = Digest::new().number(store).number(sequence).finish();
    let mut bytes = [0; 32];
    for (place, number) in bytes
        .chunks_exact_mut(8)
        .zip([MAGIC, store, sequence, checksum])
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn fields(witness: &[u8; 32]) -> [u64; 4] {
    let mut fields = [0; 4];
    for (field, bytes) in fields.iter_mut().zip(witness.as_chunks::<8>().0) {
        *field = u64::from_le_bytes(*bytes);
    }
    fields
}
