//! Several processes that run one dataflow.
//!
//! Timely carries the data; the transport crate connects the processes, and tells when one of them
//! is lost. What is added here: what they settle before the start ([`lobby`]), what they tell each
//! other while the run is on ([`member`]), and in which words ([`message`]). Process 0 *leads*:
//! it has the recovery store, and says when all is done.

pub(crate) mod lobby;
pub(crate) mod member;
pub(crate) mod message;
mod place;
pub(crate) mod wire;

pub use message::{Cause, CauseKind};
pub use millstream_transport::{
    Absence, Address, ClusterId, Fingerprint, JoinError, Limits, ProcessIndex, Refusal, Secret,
    Security, Settings, init_tls as make_tls,
};
pub use place::Place;
