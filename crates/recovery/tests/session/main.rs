//! The session, from outside: what a run that uses it can rely on.
#![cfg(not(any(
    feature = "unsound-no-execution-scope",
    feature = "unsound-no-fencing",
    feature = "unsound-sinks-do-not-gate"
)))]
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod changing;
mod counting;
mod crashing;
mod ending;
mod leasing;
mod publishing;
mod refusing;
mod sink;
mod support;
mod trouble;
