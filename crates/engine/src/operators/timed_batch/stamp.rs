//! The sending side: timestamps, and news of lanes for every worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::weight_of;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host, Key};
use crate::lane::{Lane, Laned};
use crate::logic::TimedBatch;
use crate::operators::timed_batch::{News, Stamped, StampedPairs};
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::spans::{Call, Spans};
use crate::timely_ext::exchange::Parcel;
use crate::timely_ext::receive::receive;
use crate::timely_ext::transform::gather;
use crate::timely_ext::{BatchStream, Time};
use crate::window::{END_OF_TIME, START_OF_TIME};

/// Addresses values to the workers that own their keys, and news to all workers.
pub(super) fn stamp<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    builder: &Arc<dyn TimedBatch<H>>,
    up: BatchStream<'scope, H>,
) -> Stream<'scope, Time, Parcel<News<H>>> {
    let mut operator_builder =
        OperatorBuilder::new(format!("{}.stamp", operator.id), up.batches.scope());
    let mut input = operator_builder.new_input(up.batches, Pipeline);
    operator_builder.set_notify_for(0, FrontierInterest::Never);
    let (mut output, news) = operator_builder.new_output();

    let mut stamper = Stamper {
        context: context.clone(),
        step: operator.written_as.clone(),
        spans: context.spans(operator),
        builder: Arc::clone(builder),
        furthest: up.lanes.iter().map(|&lane| (lane, START_OF_TIME)).collect(),
    };
    operator_builder.build(move |mut capabilities| {
        let mut first = capabilities.pop();
        move |_frontiers| {
            if let Some(capability) = first.take() {
                let parcels = H::attach(|scope| match stamper.begin(scope) {
                    Ok(parcels) => parcels,
                    Err(failure) => {
                        stamper.context.fail(scope, &stamper.step, failure);
                        Vec::new()
                    }
                });
                let mut output = output.activate();
                for mut parcel in parcels {
                    output.give(&capability, &mut parcel);
                }
            }
            let arrivals = receive(&mut input);
            if arrivals.is_empty() {
                return;
            }
            H::attach(|scope| {
                for arrival in arrivals {
                    for laned in gather(scope, arrival.containers) {
                        if stamper.context.is_halted() {
                            return;
                        }
                        match stamper.stamp(scope, arrival.epoch, laned) {
                            Ok(parcels) => {
                                let mut output = output.activate();
                                for mut parcel in parcels {
                                    output.give(&arrival.capability, &mut parcel);
                                }
                            }
                            Err(failure) => {
                                stamper.context.fail(scope, &stamper.step, failure);
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    news
}

struct Stamper<H: Host> {
    context: Context<H>,
    step: StepId,
    spans: Spans<H>,
    builder: Arc<dyn TimedBatch<H>>,
    /// The latest timestamp that each lane brought.
    furthest: BTreeMap<Lane, i64>,
}

impl<H: Host> Stamper<H> {
    /// Tells every worker which lanes there are.
    fn begin(&self, scope: H::Scope<'_>) -> Result<Vec<Parcel<News<H>>>, Failure<H>> {
        let name_of = |lane: &Lane| self.context.lanes.name(*lane);
        let lanes = self.furthest.keys();
        let lanes: Vec<_> = lanes.map(|lane| (*lane, name_of(lane))).collect();
        self.tell_all(scope, || News::Begins(lanes.clone()))
    }

    /// What to tell the workers about a batch.
    fn stamp(
        &mut self,
        scope: H::Scope<'_>,
        epoch: Epoch,
        laned: Laned<H>,
    ) -> Result<Vec<Parcel<News<H>>>, Failure<H>> {
        let Laned {
            lane,
            is_last,
            origin,
            batch,
        } = laned;
        let mut parcels = Vec::new();
        if !batch.is_empty() {
            let call = Call::new("route").in_epoch(epoch);
            let span = self.spans.begin(scope, call.with(batch.len(), origin))?;
            let stamped = batch
                .into_keyed(scope, &self.step)
                .and_then(|pairs| self.stamp_values(scope, lane, pairs));
            parcels = span.end(scope, None, stamped)?;
            for parcel in &mut parcels {
                parcel.origin = origin;
            }
        }
        if is_last {
            self.furthest.remove(&lane);
            parcels.extend(self.tell_all(scope, || News::Ends(lane))?);
        }
        Ok(parcels)
    }

    fn stamp_values(
        &mut self,
        scope: H::Scope<'_>,
        lane: Lane,
        pairs: Vec<(H::Key, H::Item)>,
    ) -> Result<Vec<Parcel<News<H>>>, Failure<H>> {
        let workers = self.context.workers as u64;
        let mut piles: Vec<StampedPairs<H>> = Vec::new();
        piles.resize_with(self.context.workers, Vec::new);
        let furthest = self.furthest.entry(lane).or_insert(START_OF_TIME);
        for (key, value) in pairs {
            let timestamp = self
                .builder
                .timestamp(scope, &value)
                .map_err(|failure| failure.with_key(key.as_str()))?
                .clamp(START_OF_TIME, END_OF_TIME);
            *furthest = timestamp.max(*furthest);
            // Less than the number of workers, which is a `usize`.
            #[expect(clippy::cast_possible_truncation)]
            let worker = (key.stable_hash() % workers) as usize;
            let stamped = Stamped {
                timestamp,
                furthest: *furthest,
                value,
            };
            piles[worker].push((key, stamped));
        }
        let furthest = *furthest;
        let address = |(worker, pairs): (usize, StampedPairs<H>)| {
            let first = pairs.first().map(|(_, stamped)| &stamped.value);
            let weight = weight_of::<H>(scope, pairs.len(), first);
            let news = News::Values {
                lane,
                furthest,
                pairs,
            };
            self.parcel(scope, worker, weight, news)
        };
        piles.into_iter().enumerate().map(address).collect()
    }

    fn tell_all(
        &self,
        scope: H::Scope<'_>,
        news: impl Fn() -> News<H>,
    ) -> Result<Vec<Parcel<News<H>>>, Failure<H>> {
        (0..self.context.workers)
            .map(|worker| self.parcel(scope, worker, 0, news()))
            .collect()
    }

    fn parcel(
        &self,
        scope: H::Scope<'_>,
        worker: usize,
        weight: usize,
        news: News<H>,
    ) -> Result<Parcel<News<H>>, Failure<H>> {
        let context = &self.context;
        Parcel::new(context, scope, worker, context.worker, (weight, news))
    }
}
