//! Combining values before they are sent to the workers that own their keys.
//!
//! Where several values of a key make one, as counts do, each worker makes it of those that
//! it has, and sends that: a text has far fewer different words than words.
//!
//! With a store, what is held is of one epoch, and is sent before that ends, so nothing of it
//! has to be kept; what comes of later epochs meanwhile goes on as it is, and takes its room
//! behind the exchange. Without one, epochs don't matter, and it is held as long as it may be.

use std::sync::Arc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::{Batch, Pairs};
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host, Key};
use crate::lane::Laned;
use crate::logic::{COMBINED, KeyedStep};
use crate::metrics::Figures;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::operators::stateful_batch::routing::Router;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::spans::{Call, Origin, Spans};
use crate::timely_ext::exchange::Parcel;
use crate::timely_ext::receive::receive;
use crate::timely_ext::{BatchStream, Time};

/// How many keys a worker holds: more than a language has words in use.
const MOST_KEYS: u64 = 1 << 17;

/// How many bytes they may take, about.
const MOST_BYTES: usize = 32 << 20;

/// How many bytes are sent together, about.
const CHUNK: usize = 1 << 20;

/// What a key takes beside its text.
const EACH: usize = 128;

/// Combines the values of each key, and addresses what they make.
pub(super) fn combine<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    figures: &Arc<Figures>,
    step: KeyedStep<H>,
    up: BatchStream<'scope, H>,
) -> Stream<'scope, Time, Parcel<Batch<H>>> {
    let name = format!("{}.combine", operator.id);
    let mut builder = OperatorBuilder::new(name, up.batches.scope());
    let mut input = builder.new_input(up.batches, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Always);
    let (mut output, parcels) = builder.new_output();
    let mut combiner = Combiner {
        context: context.clone(),
        figures: Arc::clone(figures),
        written_as: operator.written_as.clone(),
        keys: step.0,
        longest: 0,
        worth: Worth::default(),
        router: Router::new(context),
        spans: context.spans(operator),
        origin: None,
    };
    builder.build(move |mut capabilities| {
        // At the epoch of what is held.
        let mut held = capabilities.pop();
        move |frontiers| {
            let arrivals = receive(&mut input);
            let frontier = frontiers[0].frontier().first().copied();
            if combiner.context.is_halted() {
                held = None;
            }
            let Some(capability) = &mut held else {
                return;
            };
            let open = Epoch(*capability.time());
            let is_over = combiner.is_over(open, frontier);
            if is_over || !arrivals.is_empty() {
                H::attach(|scope| {
                    let mut session = output.activate();
                    for arrival in arrivals {
                        let made = combiner.attempt(scope, |combiner| {
                            combiner.take(scope, open, arrival.epoch, arrival.containers)
                        });
                        for mut parcel in made {
                            session.give(&arrival.capability, &mut parcel);
                        }
                    }
                    if is_over {
                        for mut parcel in combiner.attempt(scope, |it| it.flush(scope)) {
                            session.give(&*capability, &mut parcel);
                        }
                    }
                });
            }
            match frontier {
                Some(frontier) => capability.downgrade(&frontier),
                None => held = None,
            }
        }
    });
    parcels
}

type Parcels<H> = Vec<Parcel<Batch<H>>>;

/// What is combined on a worker.
struct Combiner<H: Host> {
    context: Context<H>,
    figures: Arc<Figures>,
    written_as: StepId,
    keys: Box<dyn AnyKeys<H, H::Item>>,
    /// The longest key that was seen among those that are held.
    longest: usize,
    worth: Worth,
    router: Router<H>,
    spans: Spans<H>,
    /// The trace of what is held.
    origin: Option<Origin>,
}

impl<H: Host> Combiner<H> {
    /// Does something; if it fails, the run stops, and nothing is to be sent.
    fn attempt(
        &mut self,
        scope: H::Scope<'_>,
        work: impl FnOnce(&mut Self) -> Result<Parcels<H>, Failure<H>>,
    ) -> Parcels<H> {
        work(self).unwrap_or_else(|failure| {
            self.context.fail(scope, &self.written_as, failure);
            Parcels::<H>::new()
        })
    }

    /// Whether what is held is to be sent, by what is still to come.
    fn is_over(&self, open: Epoch, frontier: Option<Time>) -> bool {
        let ends = frontier.is_none_or(|frontier| frontier > open.0 && self.is_recorded());
        ends && self.keys.count() > 0
    }

    fn is_recorded(&self) -> bool {
        self.context.recorder.is_some()
    }

    /// Takes what arrived together. Gives what can't be held: all of a later epoch than what is,
    /// and what is, once it is too much.
    fn take(
        &mut self,
        scope: H::Scope<'_>,
        open: Epoch,
        epoch: Epoch,
        arrived: Vec<Laned<H>>,
    ) -> Result<Parcels<H>, Failure<H>> {
        let mut out = Vec::new();
        let is_later = self.is_recorded() && epoch > open;
        for laned in arrived {
            if self.context.is_halted() {
                break;
            }
            let origin = laned.origin;
            let pairs = laned.batch.into_keyed(scope, &self.written_as)?;
            if is_later || !self.worth.is_it(pairs.len()) {
                self.router.address(scope, 0, origin, pairs, &mut out)?;
                continue;
            }
            self.combine(scope, epoch, origin, pairs)?;
            if self.is_full() {
                out.extend(self.flush(scope)?);
            }
        }
        Ok(out)
    }

    fn combine(
        &mut self,
        scope: H::Scope<'_>,
        epoch: Epoch,
        origin: Option<Origin>,
        pairs: Pairs<H>,
    ) -> Result<(), Failure<H>> {
        self.figures.items_in.add(pairs.len());
        self.origin = Origin::of_both(self.origin, origin);
        let lengths = pairs.iter().map(|(key, _)| key.as_str().len());
        self.longest = lengths.fold(self.longest, usize::max);
        let call = Call::new("combine").in_epoch(epoch);
        let call = call.with(pairs.len(), origin);
        self.spans.around(scope, call, || {
            self.keys.on_batch(&self.context, scope, 0, pairs)
        })?;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let most = MOST_BYTES / (self.longest + EACH);
        self.keys.count() >= MOST_KEYS.min(most as u64)
    }

    /// Gives what is held, and begins anew.
    fn flush(&mut self, scope: H::Scope<'_>) -> Result<Parcels<H>, Failure<H>> {
        let [made, ..] = self.keys.end_all(&self.context, scope)?;
        self.worth.made(made.len());
        self.longest = 0;
        let origin = self.origin.take();
        let mut out = Vec::new();
        let (mut chunk, mut weight) = (Vec::new(), 0);
        for (key, value) in made {
            weight += key.as_str().len() + EACH;
            chunk.push((key, value));
            if weight >= CHUNK {
                let chunk = std::mem::take(&mut chunk);
                self.router
                    .address(scope, COMBINED, origin, chunk, &mut out)?;
                weight = 0;
            }
        }
        self.router
            .address(scope, COMBINED, origin, chunk, &mut out)?;
        Ok(out)
    }
}

/// Whether combining is worth its while: if nearly all keys are different, it is not.
#[derive(Debug, Default)]
struct Worth {
    /// How many values were combined since this was last judged.
    values: u64,
    /// How many they became.
    made: u64,
    /// How many values are still to go on as they are.
    skipped: u64,
}

impl Worth {
    /// How many values there must be to judge by.
    const ENOUGH: u64 = 1 << 14;
    /// For how many times as many values to do without, until it is tried again.
    const PATIENCE: u64 = 16;

    /// Whether to combine so many values that have arrived.
    fn is_it(&mut self, values: usize) -> bool {
        let values = values as u64;
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(values);
            return false;
        }
        self.values += values;
        true
    }

    /// Those that were combined have become so many.
    fn made(&mut self, count: usize) {
        self.made += count as u64;
        if self.values < Self::ENOUGH {
            return;
        }
        if self.values < 2 * self.made {
            self.skipped = Self::PATIENCE * self.values;
        }
        (self.values, self.made) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1 << 14;

    #[test]
    fn few_keys_are_combined() {
        let mut worth = Worth::default();
        for _ in 0..100 {
            assert!(worth.is_it(MANY));
            worth.made(MANY / 2);
        }
    }

    #[test]
    fn many_keys_go_on_as_they_are_for_a_while() {
        let mut worth = Worth::default();
        assert!(worth.is_it(MANY));
        worth.made(MANY / 2 + 1);
        for _ in 0..16 {
            assert!(!worth.is_it(MANY));
        }
        assert!(worth.is_it(MANY));
    }

    #[test]
    fn several_short_epochs_are_judged_together() {
        let mut worth = Worth::default();
        for _ in 0..16 {
            assert!(worth.is_it(MANY / 16));
            worth.made(MANY / 16);
        }
        assert!(!worth.is_it(1));
    }
}
