//! Processes, each a thread, over real sockets.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails, and tests measure how long things take"
)]

mod authority;
mod proxy;
mod support;

mod joining;
mod refusing;
mod strangers;
mod streaming;
mod trusting;
mod waiting;
mod watching;
