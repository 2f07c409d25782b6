//! How the store can fail, in sentences for the person who runs the dataflow.

use std::io;
use std::path::{Path, PathBuf};

use millstream_threads::Panic;
use rusqlite::ErrorCode;
use thiserror::Error;

use crate::frame::FrameError;
use crate::id::{Epoch, ExecutionId, Generation, StateKey, StepId, StorePartition};

/// What an operation on a store gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why an operation on a store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such directory.
    #[error(
        "The recovery directory `{}` does not exist. Make a store there first, or correct the path.",
        path.display()
    )]
    DirectoryMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no store.
    #[error(
        "The recovery directory `{}` has no partitions. Make a store there first, or correct the path.",
        path.display()
    )]
    NoPartitions {
        /// The directory.
        path: PathBuf,
    },
    /// Some files of the store aren't there.
    #[error(
        "The recovery directory `{}` lacks {} of its {count} partitions: {}. Bring the files back; a store cannot be used in part.",
        path.display(),
        missing.len(),
        file_names(missing)
    )]
    MissingPartitions {
        /// The directory.
        path: PathBuf,
        /// Those that lack.
        missing: Vec<StorePartition>,
        /// How many there should be.
        count: u32,
    },
    /// Making the store was cut short.
    #[error(
        "The store in `{}` was never finished: its making was interrupted. Nothing was kept in it yet; make it again.",
        path.display()
    )]
    HalfMade {
        /// The directory.
        path: PathBuf,
    },
    /// The files are sound but don't belong together.
    #[error("The store in `{}` is inconsistent: {why}", path.display())]
    Inconsistent {
        /// The directory.
        path: PathBuf,
        /// What doesn't fit, and what to do.
        why: String,
    },
    /// A file isn't what was written.
    #[error("The store file `{}` is damaged: {what}. Restore the whole store from a backup.", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A record isn't what was written.
    #[error(
        "The store file `{}` is damaged: the snapshot of step `{step}`, key `{key}`, epoch {epoch} of execution {execution} cannot be used: {source}. Restore the whole store from a backup.",
        path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// The step.
        step: StepId,
        /// The key.
        key: StateKey,
        /// The execution that wrote it.
        execution: ExecutionId,
        /// Its epoch.
        epoch: Epoch,
        /// What is wrong with it.
        source: FrameError,
    },
    /// A later millstream wrote it.
    #[error(
        "The store file `{}` is in format {found}, and this millstream reads up to {known}. Use the millstream that wrote it, or a later one.",
        path.display()
    )]
    FormatTooNew {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
    /// There is a store already.
    #[error(
        "The directory `{}` already holds a recovery store. Use it as it is, or remove it first if its state is no longer wanted.",
        path.display()
    )]
    AlreadyInitialised {
        /// The directory.
        path: PathBuf,
    },
    /// A store of so many partitions can't be made.
    #[error("A store cannot have {count} partitions: it takes from 1 to {most}.")]
    PartitionCount {
        /// What was asked for.
        count: u32,
        /// The most.
        most: u32,
    },
    /// The files would be on another machine.
    #[error(
        "The recovery directory `{}` is on {kind}, where SQLite cannot keep its write-ahead log safely. Use a directory on a local disk.",
        path.display()
    )]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// Another run has it.
    #[error(
        "The store in `{}` is in use by another run{}. Stop that one first.",
        path.display(),
        process.map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process of the other run, as far as known.
        process: Option<u64>,
    },
    /// Another run took over.
    #[error(
        "This run may no longer write to `{}`: another run has taken the store over (generation {theirs}; ours is {ours}).",
        path.display()
    )]
    Fenced {
        /// The file.
        path: PathBuf,
        /// The generation of this run.
        ours: Generation,
        /// The generation of the file.
        theirs: Generation,
    },
    /// Another program has locked a file.
    #[error(
        "Another program keeps `{}` locked, so it was not possible to {doing}. Let backup tools and shells release it.",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
    },
    /// The disk is full.
    #[error("The disk of `{}` is full, so it was not possible to {doing}. Free some space.", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
    },
    /// The operating system refused.
    #[error("It was not possible to {doing} (`{}`): {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("It was not possible to {doing} (`{}`): {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A state is larger than a record may be.
    #[error(
        "The state of step `{step}`, key `{key}` cannot be kept: {source}. Keep less in one key."
    )]
    TooLarge {
        /// The step.
        step: StepId,
        /// The key.
        key: StateKey,
        /// How large it is.
        source: FrameError,
    },
    /// A file to import isn't an export.
    #[error("Line {line} of the export cannot be used: {why}.")]
    Import {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The writer has stopped, for a reason that was reported.
    #[error("The store is no longer written to: its writer has stopped.")]
    Stopped,
    /// A thread that the store needs has panicked.
    #[error("The recovery store is no longer kept, which is a defect worth reporting: {0}.")]
    Panicked(Panic),
    /// The caller broke the rules of the store.
    #[error("Internal error of the recovery store: {0}. Please report it.")]
    Misuse(String),
}

impl StoreError {
    /// The exit code of a run that ends by this.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AlreadyInitialised { .. }
            | Self::PartitionCount { .. }
            | Self::NetworkFileSystem { .. } => 64,
            Self::TooLarge { .. } | Self::Panicked(_) | Self::Misuse(_) => 70,
            Self::FormatTooNew { .. } => 72,
            Self::InUse { .. } | Self::Fenced { .. } => 73,
            Self::Busy { .. }
            | Self::Full { .. }
            | Self::Io { .. }
            | Self::Database { .. }
            | Self::Stopped => 74,
            Self::DirectoryMissing { .. }
            | Self::NoPartitions { .. }
            | Self::MissingPartitions { .. }
            | Self::HalfMade { .. }
            | Self::Inconsistent { .. }
            | Self::Corrupt { .. }
            | Self::Record { .. }
            | Self::Import { .. } => 76,
        }
    }

    pub(super) fn inconsistent(path: &Path, why: impl Into<String>) -> Self {
        Self::Inconsistent {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

fn file_names(partitions: &[StorePartition]) -> String {
    let names: Vec<_> = partitions
        .iter()
        .map(|partition| super::layout::file_name(*partition))
        .collect();
    names.join(", ")
}

/// What is being attempted, and on which file: what an error of below is told with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) path: &'a Path,
    /// Completes "it was not possible to …".
    pub(super) doing: &'static str,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(path: &'a Path, doing: &'static str) -> Self {
        Self { path, doing }
    }

    /// For `map_err` on what the operating system does.
    pub(super) fn io(self) -> impl Fn(io::Error) -> StoreError {
        move |source| {
            let path = self.path.to_owned();
            let doing = self.doing;
            if source.kind() == io::ErrorKind::StorageFull {
                return StoreError::Full { path, doing };
            }
            StoreError::Io {
                path,
                doing,
                source,
            }
        }
    }

    /// For `map_err` on what SQLite does.
    ///
    /// Our statements are constants and the schema was compared, so what SQLite can't make
    /// sense of is the content of the file.
    pub(super) fn sqlite(self) -> impl Fn(rusqlite::Error) -> StoreError {
        move |source| {
            let path = self.path.to_owned();
            let doing = self.doing;
            let rusqlite::Error::SqliteFailure(failure, _) = &source else {
                return StoreError::corrupt(self.path, source.to_string());
            };
            match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    StoreError::Busy { path, doing }
                }
                ErrorCode::DiskFull => StoreError::Full { path, doing },
                // The index of the log holds nothing durable; that it can't grow is no failed
                // write of data, but a full disk.
                ErrorCode::SystemIoFailure
                    if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
                {
                    StoreError::Full { path, doing }
                }
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::TooBig
                | ErrorCode::TypeMismatch
                | ErrorCode::ConstraintViolation
                | ErrorCode::Unknown => StoreError::corrupt(self.path, source.to_string()),
                _ => StoreError::Database {
                    path,
                    doing,
                    source,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences() {
        let path = PathBuf::from("/store/part-0.sqlite3");
        let doing = "write snapshots";
        let (step, key) = (StepId("flow.count".to_owned()), StateKey("a".to_owned()));
        let errors = [
            StoreError::DirectoryMissing { path: path.clone() },
            StoreError::NoPartitions { path: path.clone() },
            StoreError::MissingPartitions {
                path: path.clone(),
                missing: vec![StorePartition(1)],
                count: 2,
            },
            StoreError::HalfMade { path: path.clone() },
            StoreError::inconsistent(&path, "they differ."),
            StoreError::corrupt(&path, "its seal does not match"),
            StoreError::Record {
                path: path.clone(),
                step: step.clone(),
                key: key.clone(),
                execution: ExecutionId(1),
                epoch: Epoch(1),
                source: FrameError::Checksum,
            },
            StoreError::FormatTooNew {
                path: path.clone(),
                found: 2,
                known: 1,
            },
            StoreError::AlreadyInitialised { path: path.clone() },
            StoreError::PartitionCount { count: 0, most: 1 },
            StoreError::NetworkFileSystem {
                path: path.clone(),
                kind: "NFS",
            },
            StoreError::InUse {
                path: path.clone(),
                process: None,
            },
            StoreError::Fenced {
                path: path.clone(),
                ours: Generation(1),
                theirs: Generation(2),
            },
            StoreError::Busy {
                path: path.clone(),
                doing,
            },
            StoreError::Full {
                path: path.clone(),
                doing,
            },
            StoreError::TooLarge {
                step,
                key,
                source: FrameError::TooLarge(1),
            },
            StoreError::Import {
                line: 1,
                why: "it is empty".to_owned(),
            },
            StoreError::Stopped,
            StoreError::Panicked(Panic::of_this_thread()),
            StoreError::Misuse("no execution has begun".to_owned()),
        ];
        for error in errors {
            let told = error.to_string();
            assert!(told.starts_with(char::is_uppercase), "{told}");
            assert!(told.ends_with('.'), "{told}");
            assert!(!told.contains(".."), "{told}");
        }
    }

    #[test]
    fn what_sqlite_says_is_told_with_the_attempt() {
        let attempt = Attempt::new(Path::new("/store/part-0.sqlite3"), "write snapshots");
        let failure = |code| {
            let failure = rusqlite::ffi::Error::new(code);
            attempt.sqlite()(rusqlite::Error::SqliteFailure(failure, None))
        };
        assert!(matches!(failure(5), StoreError::Busy { .. }));
        assert!(matches!(failure(13), StoreError::Full { .. }));
        assert!(matches!(failure(11), StoreError::Corrupt { .. }));
        let io = failure(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        assert!(matches!(io, StoreError::Database { .. }));
        assert_eq!(io.exit_code(), 74);
        assert!(
            io.to_string()
                .starts_with("It was not possible to write snapshots (`/store/part-0.sqlite3`): ")
        );
    }
}
