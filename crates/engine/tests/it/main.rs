//! The engine, run with integers: no interpreter anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cluster;
mod combining;
mod committing;
mod crash;
mod endings;
mod flow_control;
mod integers;
mod metrics;
mod operators;
#[cfg(feature = "failpoints")]
mod panics;
mod physical;
mod plan;
mod recovery;
mod sources;
mod spans;
mod stateful;
mod timed;
