//! What to do, decided from facts.
//!
//! # The promise
//!
//! State at the beginning of epoch *e* is the fold of all inputs of the epochs before *e*. So
//! a dataflow resumes as if it had never stopped if what it loads is, of one single history,
//! the state before one epoch, and the position of every source there. All rules here serve
//! that sentence:
//!
//! - An [`Epoch`](crate::id::Epoch) becomes part of history when its commit record is durable,
//!   and that is written only when everything before it is: the [`coordinator`].
//! - What was written for epochs that never became history is as if it were not there, also
//!   if the same epochs come again and fall at other items: the [`path`].
//! - One execution at a time writes history: the [`lease`].
//! - A store that is not what it should be, or not this dataflow's, is refused before anything
//!   is written: [`partitions`] and [`resume`].
//!
//! # The rules of this folder
//!
//! Nothing here does I/O, reads a clock, starts a thread or draws a random number. Facts come
//! in as arguments, decisions go out as values, and who carries them out can be a store on a
//! disk or a model in a test. [`manifest`] is the data that the decisions are about, [`abort`]
//! the reasons to end with.
//!
//! # Example
//!
//! ```
//! use millstream_recovery::id::{Epoch, StorePartition, WorkerIndex, WriteSequence};
//! use millstream_recovery::protocol::coordinator::{
//!     Action, Coordinator, Fact, Frontier, Participants,
//! };
//!
//! let participants = Participants { workers: 1, partitions: 1, sinks: 0 };
//! let mut coordinator = Coordinator::new(participants, Epoch::FIRST);
//!
//! let frontier = Frontier::At(Epoch(3));
//! assert_eq!(coordinator.on(Fact::Passed { worker: WorkerIndex(0), frontier }), []);
//!
//! // Epochs 1 and 2 become history together.
//! let partition = StorePartition(0);
//! let sequence = WriteSequence(7);
//! let durable = Fact::Durable { partition, frontier, sequence };
//! let commit = Action::WriteCommit { epoch: Epoch(2), sequences: vec![(partition, sequence)] };
//! assert_eq!(coordinator.on(durable), [commit]);
//! ```

pub mod abort;
pub mod coordinator;
pub mod defect;
pub mod lease;
pub mod manifest;
pub mod partitions;
pub mod path;
pub mod resume;
pub mod retry;
