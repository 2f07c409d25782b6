//! `merge`: one stream of several, in the order in which batches come by.

use std::collections::{BTreeMap, BTreeSet};

use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::Operator;

use crate::context::Context;
use crate::host::Host;
use crate::lane::Lane;
use crate::timely_ext::{BatchStream, Time};

/// Merges the streams; a plan has at least one.
pub(crate) fn merge<'scope, H: Host>(
    context: &Context<H>,
    scope: Scope<'scope, Time>,
    ups: Vec<BatchStream<'scope, H>>,
) -> BatchStream<'scope, H> {
    let mut lanes = BTreeSet::new();
    let mut batches = Vec::with_capacity(ups.len());
    for up in ups {
        let is_new = up.lanes.iter().all(|lane| !lanes.contains(lane));
        let up = if context.shared.needs_lanes && !is_new {
            rename(context, up)
        } else {
            up
        };
        lanes.extend(up.lanes);
        batches.push(up.batches);
    }
    BatchStream {
        batches: scope.concatenate(batches),
        lanes: lanes.into_iter().collect(),
    }
}

/// Gives a stream lanes of its own: it has some in common with another, but one of the
/// two ways may run ahead.
fn rename<'scope, H: Host>(
    context: &Context<H>,
    up: BatchStream<'scope, H>,
) -> BatchStream<'scope, H> {
    let names: BTreeMap<Lane, Lane> = up
        .lanes
        .iter()
        .map(|&lane| (lane, context.new_lane()))
        .collect();
    let lanes = names.values().copied().collect();
    let batches = up
        .batches
        .unary(Pipeline, "merge.lanes", move |_capability, _info| {
            move |input, output| {
                input.for_each(|capability, laned| {
                    laned.lane = names.get(&laned.lane).copied().unwrap_or(laned.lane);
                    output.session(&capability).give_container(laned);
                });
            }
        });
    BatchStream { batches, lanes }
}
