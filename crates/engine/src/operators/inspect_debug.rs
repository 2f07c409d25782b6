//! `inspect_debug`: looks at items as they pass.

use std::sync::Arc;

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::logic::Inspector;
use crate::physical::PhysicalOperator;
use crate::timely_ext::BatchStream;
use crate::timely_ext::transform::transform;

pub(crate) fn inspect_debug<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    inspector: &Arc<dyn Inspector<H>>,
    up: BatchStream<'scope, H>,
) -> BatchStream<'scope, H> {
    let inspector = Arc::clone(inspector);
    let step = operator.written_as.clone();
    let own = context.clone();
    let [down] = transform(context, operator, up, move |scope, epoch, batch, [out]| {
        let items = batch.into_items(scope);
        for item in &items {
            if own.is_halted() {
                return Ok(());
            }
            inspector.inspect(scope, &step, item, epoch, own.worker)?;
        }
        out.push(Batch::of_items(scope, items));
        Ok(())
    });
    down
}
