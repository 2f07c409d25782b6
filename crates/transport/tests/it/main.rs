//! Processes, each a thread, over real sockets.

mod support;

mod joining;
mod proxy;
mod refusing;
mod strangers;
mod streaming;
mod trusting;
mod waiting;
mod watching;
