//! The protocol in a small simulated world, where anything may happen in any order.
//!
//! [`world`] has workers, a store, a sink and whoever starts them again, and drives the real
//! protocol code. [`exhaustive`] visits every state of small worlds, [`random`] walks through
//! larger ones, and both ask for the same [`properties`]. A rule that is taken away by a
//! feature must be missed: [`unsound`] says by which of them.
//!
//! What takes minutes is ignored, and runs at night, where it is worth being optimised:
//! `cargo test --config profile.dev.opt-level=2 --test protocol -- --ignored`, and
//! `PROPTEST_CASES=1000000` for more random histories.

#![cfg_attr(
    any(
        feature = "unsound-no-execution-scope",
        feature = "unsound-no-fencing",
        feature = "unsound-sinks-do-not-gate"
    ),
    allow(
        dead_code,
        unused_imports,
        reason = "what holds is not asked for without the rules"
    )
)]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod exhaustive;
mod properties;
mod random;
mod unsound;
mod world;
