//! The engine's logic traits over Python objects, a file for each kind.

pub(crate) mod function;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stateful;
