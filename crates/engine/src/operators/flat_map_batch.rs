//! `flat_map_batch`: a batch in, any number of items out.

use std::sync::Arc;

use crate::context::Context;
use crate::host::Host;
use crate::logic::FlatMapBatch;
use crate::physical::PhysicalOperator;
use crate::timely_ext::BatchStream;
use crate::timely_ext::transform::transform;

pub(crate) fn flat_map_batch<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    mapper: &Arc<dyn FlatMapBatch<H>>,
    up: BatchStream<'scope, H>,
) -> BatchStream<'scope, H> {
    let mapper = Arc::clone(mapper);
    let [down] = transform(context, operator, up, move |scope, _epoch, batch, [out]| {
        let items = batch.into_rows(scope);
        out.push(mapper.flat_map(scope, items)?);
        Ok(())
    });
    down
}
