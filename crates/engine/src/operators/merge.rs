//! `merge`: one stream of several, in the order in which batches come by.

use std::collections::BTreeMap;

use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::Operator;

use crate::context::Context;
use crate::host::Host;
use crate::lane::Lane;
use crate::plan::StepId;
use crate::timely_ext::{BatchStream, Time};

/// Merges the streams; a plan has at least one.
pub(crate) fn merge<'scope, H: Host>(
    context: &Context<H>,
    step: &StepId,
    scope: Scope<'scope, Time>,
    ups: Vec<BatchStream<'scope, H>>,
) -> BatchStream<'scope, H> {
    let mut lanes = Vec::new();
    let mut batches = Vec::with_capacity(ups.len());
    for (number, up) in ups.into_iter().enumerate() {
        // On every worker alike, whichever lanes it has: workers build the same operators.
        let up = if context.shared.needs_lanes && number > 0 {
            rename(context, &format!("{step}.{number}"), up)
        } else {
            up
        };
        lanes.extend(up.lanes);
        batches.push(up.batches);
    }
    BatchStream {
        batches: scope.concatenate(batches),
        lanes,
    }
}

/// Gives a stream lanes of its own: it may have some in common with another, and one of the
/// two ways may run ahead. Those with names get longer ones, after the way that they come by.
fn rename<'scope, H: Host>(
    context: &Context<H>,
    way: &str,
    up: BatchStream<'scope, H>,
) -> BatchStream<'scope, H> {
    let name_of = |lane| Some(format!("{way} {}", context.lanes.name(lane)?));
    let names: BTreeMap<Lane, Lane> = up
        .lanes
        .iter()
        .map(|&lane| (lane, context.new_named_lane(|| name_of(lane))))
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
