//! All that depends on the version of timely, in one folder.
//!
//! Operators are written as closures over batches; here is the glue that receives
//! those batches, checks whether the run is to stop, attaches to the host once per
//! activation, and sends on what the closure makes.

pub(crate) mod exchange;
pub(crate) mod in_epochs;
pub(crate) mod receive;
pub(crate) mod timer;
pub(crate) mod transform;

use timely::dataflow::Stream;

use crate::host::Host;
use crate::lane::{Lane, Laned};

/// Timely's timestamps are epoch numbers.
pub(crate) type Time = u64;

/// A stream of batches on one worker.
pub(crate) struct BatchStream<'scope, H: Host> {
    pub(crate) batches: Stream<'scope, Time, Laned<H>>,
    /// All lanes by which batches may come.
    pub(crate) lanes: Vec<Lane>,
}

impl<H: Host> Clone for BatchStream<'_, H> {
    fn clone(&self) -> Self {
        Self {
            batches: self.batches.clone(),
            lanes: self.lanes.clone(),
        }
    }
}
