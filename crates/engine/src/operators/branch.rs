//! `branch`: each item goes one of two ways.

use std::sync::Arc;

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::logic::Predicate;
use crate::physical::PhysicalOperator;
use crate::timely_ext::BatchStream;
use crate::timely_ext::transform::transform;

/// The streams of the items that passed, and of those that didn't.
pub(crate) fn branch<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    predicate: &Arc<dyn Predicate<H>>,
    up: BatchStream<'scope, H>,
) -> [BatchStream<'scope, H>; 2] {
    let predicate = Arc::clone(predicate);
    let own = context.clone();
    transform(
        context,
        operator,
        up,
        move |scope, _epoch, batch, [trues, falses]| {
            let (mut passed, mut rest) = (Vec::new(), Vec::new());
            for item in batch.into_items(scope) {
                if own.is_halted() {
                    return Ok(());
                }
                if predicate.test(scope, &item)? {
                    passed.push(item);
                } else {
                    rest.push(item);
                }
            }
            trues.push(Batch::of_items(scope, passed));
            falses.push(Batch::of_items(scope, rest));
            Ok(())
        },
    )
}
