//! A store that is looked at: opened, and found to be whole and of one piece.

use std::collections::BTreeMap;
use std::path::Path;

use super::directory::Directory;
use super::error::{Result, StoreError};
use super::history::{Commit, Execution, History, Manifest};
use super::layout::file_name;
use super::lease::read_witness;
use super::load::{Load, Loaded};
use super::partition::Partition;
use super::path::CommittedPath;
use super::seal::Seal;
use crate::id::{Generation, StorePartition, WorkerIndex};

/// How often a store that moves on while it is opened is looked at anew.
const LOOKS: usize = 50;

/// A store as it was at one moment, though a run may be writing to it all the time.
///
/// While it is open, the logs of the files can't be written back beyond that moment, so it
/// shouldn't stay open for long.
#[derive(Debug)]
pub struct Reader {
    pub(super) directory: Directory,
    /// Home first, each at the place of its number.
    pub(super) partitions: Vec<Partition>,
    pub(super) history: History,
    /// The newest generation of any partition.
    pub(super) generation: Generation,
}

impl Reader {
    /// Opens a store, if all of it is there and belongs together.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = Directory::existing(path)?;
        if directory.marker().exists() {
            return Err(StoreError::HalfMade {
                path: directory.path().to_owned(),
            });
        }
        let mut reader = Self::assemble(directory)?;
        for _ in 0..LOOKS {
            let told = read_witness(&reader.directory, reader.store_id())?;
            for partition in &reader.partitions {
                partition.hold()?;
            }
            let error = match reader.compare(told) {
                Ok(()) => return Ok(reader),
                Err(error) => error,
            };
            // A commit may have come between one file and another.
            if !matches!(error, StoreError::Inconsistent { .. }) {
                return Err(error);
            }
            let held = reader.home().seal()?.sequence;
            for partition in &reader.partitions {
                partition.let_go()?;
            }
            if reader.home().seal()?.sequence == held {
                return Err(error);
            }
        }
        Err(StoreError::Busy {
            path: reader.home().path.clone(),
            doing: "see the store at one moment",
        })
    }

    /// Opens a store to be written to, finished or not. It isn't held at a moment, and nobody
    /// else may be writing.
    pub(super) fn of(directory: Directory) -> Result<Self> {
        let mut reader = Self::assemble(directory)?;
        let told = read_witness(&reader.directory, reader.store_id())?;
        reader.compare(told)?;
        Ok(reader)
    }

    fn assemble(directory: Directory) -> Result<Self> {
        Ok(Self {
            partitions: open_all(&directory)?,
            directory,
            history: History::default(),
            generation: Generation(0),
        })
    }

    /// How many files it has.
    pub fn partition_count(&self) -> u32 {
        self.home().identity.count
    }

    /// The random name of the store.
    pub fn store_id(&self) -> &str {
        &self.home().identity.store
    }

    /// How often it was taken over.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whose store it is; `None` until its first execution.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        self.history.manifest(&self.home().path)
    }

    /// All executions, in their order.
    pub fn executions(&self) -> &[Execution] {
        &self.history.executions
    }

    /// The last commit.
    pub fn committed(&self) -> Option<Commit> {
        self.history.committed()
    }

    /// Delivers the state of every key on the path, with the worker that `route` names for its
    /// step and key. It counts only if all ends well: a lost row shows at the end of a file.
    pub fn load<E: From<StoreError>>(
        &self,
        path: &CommittedPath,
        route: impl Fn(&str, &str) -> WorkerIndex,
        mut deliver: impl FnMut(Loaded<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Load, E> {
        let mut load = Load::default();
        for partition in &self.partitions {
            let of_one = partition.load(path, &route, &mut deliver)?;
            load.rows += of_one.rows;
            load.live += of_one.live;
        }
        Ok(load)
    }

    pub(super) fn home(&self) -> &Partition {
        // There is one: a store without files isn't opened.
        &self.partitions[0]
    }

    /// Compares what the files say of each other, and what was `told` of home by the lock,
    /// which was read before them.
    fn compare(&mut self, told: Option<u64>) -> Result<()> {
        let seals: Vec<Seal> = self
            .partitions
            .iter()
            .map(Partition::seal)
            .collect::<Result<_>>()?;
        self.history = self.home().history()?;
        self.generation = seals
            .iter()
            .map(|seal| seal.generation)
            .max()
            .unwrap_or(Generation(0));
        self.refuse_older_home(told, seals[0])?;
        let sequences: BTreeMap<_, _> = self
            .history
            .witnesses
            .iter()
            .map(|witness| (witness.partition, witness.sequence))
            .collect();
        for (partition, seal) in self.partitions.iter().zip(&seals).skip(1) {
            let number = partition.identity.number;
            if sequences
                .get(&number)
                .is_some_and(|at_least| seal.sequence < *at_least)
            {
                return Err(self.inconsistent(format!(
                    "`{}` is an older copy, or has lost its write-ahead log. Bring back the file \
                     with its `-wal` beside it, or the whole store from one backup.",
                    file_name(number)
                )));
            }
            if seal.committed > self.history.committed() {
                return Err(self.inconsistent(format!(
                    "`{}` is an older copy than `{}`, or has lost its write-ahead log. Bring back \
                     the file with its `-wal` beside it, or the whole store from one backup.",
                    file_name(self.home().identity.number),
                    file_name(number)
                )));
            }
        }
        Ok(())
    }

    fn refuse_older_home(&self, told: Option<u64>, sealed: Seal) -> Result<()> {
        let home = file_name(self.home().identity.number);
        match told {
            Some(at_least) if sealed.sequence < at_least => Err(self.inconsistent(format!(
                "`{home}` is older than the file `lock` says, so it is an older copy, or has lost \
                 its write-ahead log. Bring back the file with its `-wal` beside it. If the whole \
                 store was restored from a backup on purpose, remove `lock`."
            ))),
            None if !sealed.closed => Err(self.inconsistent(
                "it was copied without its file `lock` while a run was using it, or after one \
                 had crashed, and commits may be missing. Copy all files of the directory, those \
                 that end in `-wal` too."
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn inconsistent(&self, why: String) -> StoreError {
        StoreError::inconsistent(self.directory.path(), why)
    }
}

/// Opens all files and sees whether they are one store.
fn open_all(directory: &Directory) -> Result<Vec<Partition>> {
    let files = directory.partition_files()?;
    let mut partitions: BTreeMap<StorePartition, Partition> = BTreeMap::new();
    for file in files {
        let partition = Partition::open(&file)?;
        if let Some((_, first)) = partitions.first_key_value() {
            refuse_stranger(directory, first, &partition)?;
        }
        let number = partition.identity.number;
        if let Some(other) = partitions.insert(number, partition) {
            return Err(StoreError::inconsistent(
                directory.path(),
                format!(
                    "`{}` and `{}` are the same partition. Move the copy out of the directory.",
                    file_in_words(&other),
                    file.display()
                ),
            ));
        }
    }
    let Some((_, first)) = partitions.first_key_value() else {
        return Err(StoreError::NoPartitions {
            path: directory.path().to_owned(),
        });
    };
    let count = first.identity.count;
    let missing: Vec<_> = (0..count)
        .map(StorePartition)
        .filter(|number| !partitions.contains_key(number))
        .collect();
    if !missing.is_empty() {
        return Err(StoreError::MissingPartitions {
            path: directory.path().to_owned(),
            missing,
            count,
        });
    }
    for (number, partition) in &partitions {
        if partition.path != directory.partition(*number) {
            return Err(StoreError::inconsistent(
                directory.path(),
                format!(
                    "`{}` is partition {number}, so its name must be `{}`. Give it its name back.",
                    file_in_words(partition),
                    file_name(*number)
                ),
            ));
        }
    }
    Ok(partitions.into_values().collect())
}

fn refuse_stranger(directory: &Directory, first: &Partition, other: &Partition) -> Result<()> {
    let why = if first.identity.store != other.identity.store {
        "are of different stores"
    } else if first.identity.count != other.identity.count {
        "disagree on how many partitions there are"
    } else {
        return Ok(());
    };
    Err(StoreError::inconsistent(
        directory.path(),
        format!(
            "`{}` and `{}` {why}. Keep the files of one store only.",
            file_in_words(first),
            file_in_words(other)
        ),
    ))
}

fn file_in_words(partition: &Partition) -> String {
    partition
        .path
        .file_name()
        .unwrap_or(partition.path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
