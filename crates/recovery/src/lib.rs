//! Recovery: what makes a dataflow resume as if it had never stopped.
//!
//! [`protocol`] decides: facts come in, actions go out, and nothing in it reads a clock or a
//! file. [`store`] keeps what it was told to keep, in `SQLite` files. [`frame`] is the form of one
//! record there. [`session`] puts them together: it is what a run uses.

pub mod frame;
pub mod id;
pub mod protocol;
pub mod session;
pub mod store;
