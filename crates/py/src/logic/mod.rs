//! The engine's logic traits over Python objects, a file for each kind.

pub(crate) mod aggregate;
pub(crate) mod function;
pub(crate) mod fused;
pub(crate) mod keyed;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stateful;
pub(crate) mod two_phase;
pub(crate) mod windows;
