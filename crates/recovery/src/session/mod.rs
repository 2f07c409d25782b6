//! One run on one store: what the engine uses of this crate.
//!
//! [`protocol`](crate::protocol) decides and touches nothing, [`store`](crate::store) keeps and
//! decides nothing. A session is the two put together, in three steps:
//!
//! 1. [`open`] takes the store over, or refuses to, with a sentence and an exit code. Nothing
//!    is written to a store that is refused.
//! 2. [`Opened`] gives what is known at the start: where to resume, and the state of every
//!    key, in one pass.
//! 3. [`Session`] is the run. Workers hand over records and say how far they have come; what
//!    follows from that comes back as an [`Event`].
//!
//! # When an epoch becomes history
//!
//! A worker that has [`passed`](Session::passed) an epoch has handed over all its records, and
//! the writer answers once they are durable in every file. Only then does the coordinator hear
//! of it. So it need not know the files of the store, and the store witnesses for itself, in
//! each commit, how far every file had come.
//!
//! # When steps change
//!
//! State of a step that has another name now is loaded under the new name, and recorded under
//! it in the first epoch of the new execution, with tombstones under the old. So it moves with
//! the first commit, at once. An execution that dies before has changed nothing, and the alias
//! works again. State that is dropped goes in the same way.
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! use millstream_recovery::frame::Codec;
//! use millstream_recovery::id::{Epoch, FlowId, StateKey, StepId, WorkerIndex};
//! use millstream_recovery::protocol::manifest::{SchemaVersion, StepKind};
//! use millstream_recovery::protocol::resume::{Changes, Flow, FlowStep};
//! use millstream_recovery::protocol::retry::RetryPolicy;
//! use millstream_recovery::session::{DEFAULT_SILENCE, Opening, open};
//! use millstream_recovery::store::{Record, State, init};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! init(directory.path(), 2)?;
//!
//! let count = StepId("flow.count".to_owned());
//! let step = FlowStep {
//!     kind: StepKind::Stateful,
//!     form: "a count".to_owned(),
//!     schema: SchemaVersion(1),
//!     oldest_readable: SchemaVersion(1),
//! };
//! let opened = open(Opening {
//!     directory: directory.path().to_owned(),
//!     flow: Flow {
//!         id: FlowId("flow".to_owned()),
//!         steps: BTreeMap::from([(count.clone(), step)]),
//!     },
//!     changes: Changes::default(),
//!     workers: 1,
//!     sinks: 0,
//!     started: 0,
//!     retry: RetryPolicy::default(),
//!     room: 64 * 1024 * 1024,
//!     silence: DEFAULT_SILENCE,
//! })?;
//! assert_eq!(opened.start().epoch, Epoch::FIRST);
//!
//! let session = opened.run(|_event| {})?;
//! session.record(vec![Record {
//!     step: count,
//!     key: StateKey("a".to_owned()),
//!     epoch: Epoch(1),
//!     state: Some(State { codec: Codec::Native, payload: vec![1] }),
//! }])?;
//! session.finished(WorkerIndex(0), Epoch(1));
//! assert_eq!(session.finish(Duration::from_secs(10))?, Some(Epoch(1)));
//! # Ok(())
//! # }
//! ```

mod conductor;
mod error;
mod heart;
mod opened;
mod opening;
mod patience;
mod plan;
mod running;

pub use conductor::Event;
pub use error::{Awaited, ErrorKind, SessionError, Stopped};
pub use opened::{LoadedState, Opened};
pub use opening::{DEFAULT_SILENCE, Opening, open};
pub use plan::inspect;
pub use running::Session;
