//! `merge`: one stream of several, in the order in which batches come by.

use timely::dataflow::operators::Concatenate;

use crate::host::Host;
use crate::timely_ext::BatchStream;

/// Merges the streams; a plan has at least one.
pub(crate) fn merge<'scope, H: Host>(
    scope: timely::dataflow::Scope<'scope, crate::timely_ext::Time>,
    ups: Vec<BatchStream<'scope, H>>,
) -> BatchStream<'scope, H> {
    scope.concatenate(ups)
}
