//! The store, from outside: what it keeps, what it refuses, and what it survives.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod collecting;
mod crashing;
mod damage;
#[cfg(feature = "failpoints")]
mod failing;
mod leases;
mod loading;
mod looking;
mod making;
mod moving;
mod opening;
mod support;
mod trouble;
mod writing;
