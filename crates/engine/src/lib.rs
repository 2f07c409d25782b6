//! The millstream engine: dataflows on timely dataflow, for any language runtime.
//!
//! # From a dataflow to its results
//!
//! 1. A binding reads the user's dataflow into a [`plan::Plan`]: a tree of steps,
//!    with the user's code behind the traits of [`logic`].
//! 2. [`physical::lower`] and [`physical::fuse`] make a [`physical::Physical`] plan
//!    of it: a list of operators.
//! 3. Each worker compiles that list to timely operators (`compile`, `operators`).
//! 4. [`run::run`] steps the workers until every source has ended and every sink has
//!    taken everything, or until something raises the flag in [`halt`].
//!
//! # The seam
//!
//! Nothing here knows Python. What the engine must do with items goes through
//! [`host::Host`], and the tests use one of plain integers.
//!
//! # Rules
//!
//! What there is to decide is decided by plain data types without timely:
//! [`epoch`] (when epochs end), [`room`] (flow control), [`partitions`] (who owns
//! which), the keys and timers of `operators::stateful_batch`.

#![forbid(unsafe_code)]

mod attentive;
pub mod batch;
mod begin;
pub mod clock;
pub mod cluster;
mod compile;
mod context;
mod encoding;
pub mod epoch;
pub mod error;
pub mod halt;
pub mod host;
pub mod join;
mod keeper;
mod lane;
pub mod logic;
pub mod metrics;
mod operators;
pub mod partitions;
pub mod physical;
pub mod plan;
pub mod recovery;
mod resume;
pub mod room;
pub mod run;
pub mod spans;
mod timely_ext;
pub mod window;
mod workers;
