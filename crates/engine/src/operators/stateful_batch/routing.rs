//! Which worker owns a key, and sending each its pairs.

use crate::batch::Batch;
use crate::context::Context;
use crate::host::{Failure, Host, Key};
use crate::spans::Origin;
use crate::timely_ext::exchange::{Parcel, Sorter};

/// Deals pairs out to the workers that own their keys.
pub(super) struct Router<H: Host> {
    context: Context<H>,
    sorter: Sorter<(H::Key, H::Item)>,
}

impl<H: Host> Router<H> {
    pub(super) fn new(context: &Context<H>) -> Self {
        Self {
            context: context.clone(),
            sorter: Sorter::new(context.workers),
        }
    }

    /// Addresses pairs that came by one of the step's streams, and belong to a trace.
    pub(super) fn address(
        &mut self,
        scope: H::Scope<'_>,
        input: usize,
        origin: Option<Origin>,
        pairs: impl IntoIterator<Item = (H::Key, H::Item)>,
        out: &mut Vec<Parcel<Batch<H>>>,
    ) -> Result<(), Failure<H>> {
        let workers = self.context.workers as u64;
        for (key, value) in pairs {
            // Less than the number of workers, which is a `usize`.
            #[expect(clippy::cast_possible_truncation)]
            let worker = (key.stable_hash() % workers) as usize;
            self.sorter.put(worker, (key, value));
        }
        for (worker, pairs) in self.sorter.drain() {
            let batch = Batch::Keyed(pairs);
            let batch = (batch.weight(scope), batch);
            let parcel = Parcel::new(&self.context, scope, worker, input, batch)?;
            out.push(parcel.in_trace(origin));
        }
        Ok(())
    }
}
