//! What can be read of a run over HTTP, for people and for programs that watch.
//!
//! | path | what |
//! |---|---|
//! | `/metrics` | all figures, as Prometheus reads them |
//! | `/health/live` | 200 while the process runs |
//! | `/health/ready` | 200 while all workers run; 503 before, and while stopping |
//! | `/dataflow` | the steps, as JSON |
//!
//! Nothing can be changed by it, and no item or state is shown. What there is to show comes
//! from a [`Source`]; here it is only written down ([`exposition`]) and served ([`server`]).

#![forbid(unsafe_code)]

pub mod address;
pub mod exposition;
pub mod server;

pub use address::{Address, AddressError};
pub use exposition::{Distribution, Family, Kind, Sample, Value};
pub use server::{Readiness, ServeError, Server, Source, serve};
