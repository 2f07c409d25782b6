//! The form of what goes over a connection, and nothing but the form.
//!
//! Everything here is a function of bytes. No length that a peer names makes anything here
//! allocate: buffers grow with what has arrived.

pub mod frame;
pub mod hello;
pub mod scanner;
