//! Where snapshots are kept: a directory of SQLite files.
//!
//! ```text
//! directory/
//!   part-0.sqlite3    home: snapshots, and the manifest, executions and commits
//!   part-1.sqlite3    snapshots
//!   …                 as many as [`init`] was told; a key is always in the same one
//!   lock              who runs, and how far the store had come when it last said so
//! ```
//!
//! The store keeps what it is told to keep and decides nothing: which rows of which executions
//! count is passed in as a [`CommittedPath`], how long to wait for a busy disk as a
//! [`RetryPolicy`].
//!
//! What it vouches for:
//!
//! * **One writer.** A run holds the lock of the directory and a [`Generation`] of its own,
//!   which every write transaction compares with that of the file. Whoever was taken over
//!   writes nothing more. See [`lease`](Lease).
//! * **What is read is what was written.** Each record has a checksum that binds its step, key,
//!   execution and epoch ([`crate::frame`]); each file a seal that counts its rows and sums
//!   their checksums; home a witness of how far every other file had come, and the lock file
//!   one of home. A changed, lost, added or exchanged row, an older copy of a file, and a lost
//!   write-ahead log are refused with a sentence.
//! * **Costs follow changes.** Loading is one pass in the order of the primary key. Collecting
//!   garbage visits the keys written since the last time, and no others.
//!
//! [`Reader`] looks, [`Store`] is the one that writes, [`Writer`] is a store on its own thread.
//!
//! [`Generation`]: crate::id::Generation

#[macro_use]
mod failpoint;

mod backup;
mod changes;
mod connection;
mod directory;
mod error;
mod export;
mod filling;
mod history;
mod import;
mod init;
mod inspect;
mod layout;
mod lease;
mod load;
mod partition;
mod path;
mod queue;
mod reader;
mod record;
mod repartition;
mod running;
mod seal;
mod sweep;
mod verify;
mod writer;

pub use backup::backup;
pub use error::{Result, StoreError};
pub use export::export;
pub use history::{Commit, Execution, Manifest, ManifestStep, StepKind};
pub use import::import;
pub use init::init;
pub use inspect::{FileUsage, Inspection, StepUsage, inspect};
pub use layout::partition_of;
pub use lease::{Claim, Lease, Observation, observe};
pub use load::{Load, Loaded};
pub use partition::Collected;
pub use path::{CommittedPath, Segment};
pub use reader::Reader;
pub use record::{Record, State};
pub use repartition::repartition;
pub use running::{Beginning, Store};
pub use sweep::Swept;
pub use verify::{Verification, verify};
pub use writer::{Patience, Report, RetryPolicy, Trouble, Writer, WriterHandle, WriterOptions};
