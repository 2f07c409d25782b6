//! All that depends on the version of timely, in one folder.
//!
//! Operators are written as closures over batches; here is the glue that receives
//! those batches, checks whether the run is to stop, attaches to the host once per
//! activation, and sends on what the closure makes.

pub(crate) mod exchange;
pub(crate) mod receive;
pub(crate) mod timer;
pub(crate) mod transform;

use timely::dataflow::Stream;

use crate::batch::Batch;

/// Timely's timestamps are epoch numbers.
pub(crate) type Time = u64;

/// A stream of batches on one worker.
pub(crate) type BatchStream<'scope, H> = Stream<'scope, Time, Batch<H>>;
