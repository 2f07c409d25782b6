//! The core operators, a file each: what they do with a batch, apart from how
//! batches come and go (`timely_ext`).

pub(crate) mod branch;
pub(crate) mod flat_map_batch;
pub(crate) mod input;
pub(crate) mod inspect_debug;
pub(crate) mod merge;
mod open;
pub(crate) mod output;
pub(crate) mod redistribute;
pub(crate) mod stateful_batch;
pub(crate) mod timed_batch;
