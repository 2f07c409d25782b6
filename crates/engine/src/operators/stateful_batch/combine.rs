//! Combining values before they are sent to the workers that own their keys.
//!
//! Where several values of a key make one, as counts do, each worker makes it of those that
//! it has, and sends that: a text has far fewer different words than words. Nothing is held
//! beyond its epoch if there is a store, so nothing of it has to be kept.

use std::sync::Arc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::clock::Micros;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::Laned;
use crate::logic::{COMBINED, KeyedStep};
use crate::metrics::Figures;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::operators::stateful_batch::routing::Router;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::spans::{Call, Origin, Spans};
use crate::timely_ext::exchange::Parcel;
use crate::timely_ext::in_epochs::{InEpochs, Next};
use crate::timely_ext::receive::{Arrival, receive};
use crate::timely_ext::{BatchStream, Time};

/// How many keys a worker holds: more than a language has words in use, in a few dozen
/// megabytes.
const MOST_KEYS: u64 = 1 << 17;

/// How many of them go together.
const MOST_TOGETHER: usize = 4_096;

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
        worth: Worth::default(),
        router: Router::new(context),
        spans: context.spans(operator),
        origin: None,
    };
    let context = context.clone();
    builder.build(move |mut capabilities| {
        // Held at the epoch at hand, for what was combined in it.
        let mut held = capabilities.pop();
        let mut epochs = InEpochs::new(context.shared.first_epoch, context.recorder.is_some());
        move |frontiers| {
            epochs.add(receive(&mut input));
            let frontier = frontiers[0].frontier().first().copied();
            if context.is_halted() {
                held = None;
                epochs.clear();
            }
            let Some(capability) = &mut held else {
                return;
            };
            let mut todo: Vec<_> = std::iter::from_fn(|| epochs.next(frontier)).collect();
            if frontier.is_none() {
                todo.push(Next::Close(epochs.open()));
            }
            if !todo.is_empty() {
                combiner.work_off(todo, |epoch, parcels| {
                    let capability = capability.delayed(&epoch.0);
                    let mut session = output.activate();
                    for mut parcel in parcels {
                        session.give(&capability, &mut parcel);
                    }
                });
            }
            if frontier.is_none() {
                held = None;
            } else {
                capability.downgrade(&epochs.open().0);
            }
        }
    });
    parcels
}

/// What is combined on a worker.
struct Combiner<H: Host> {
    context: Context<H>,
    figures: Arc<Figures>,
    written_as: StepId,
    keys: Box<dyn AnyKeys<H, H::Item>>,
    worth: Worth,
    router: Router<H>,
    spans: Spans<H>,
    /// The trace of what is held.
    origin: Option<Origin>,
}

type Parcels<H> = Vec<Parcel<Batch<H>>>;

impl<H: Host> Combiner<H> {
    /// Takes in what arrived, and gives what is to be sent, with its epoch.
    fn work_off(
        &mut self,
        todo: Vec<Next<Arrival<Laned<H>>>>,
        mut give: impl FnMut(Epoch, Parcels<H>),
    ) {
        H::attach(|scope| {
            for next in todo {
                let mut out = Vec::new();
                let (epoch, worked) = match next {
                    Next::Take(arrival) => (arrival.epoch, self.take(scope, arrival, &mut out)),
                    Next::Close(epoch) => (epoch, self.flush(scope, &mut out)),
                };
                if let Err(failure) = worked {
                    return self.context.fail(scope, &self.written_as, failure);
                }
                give(epoch, out);
            }
        });
    }

    fn take(
        &mut self,
        scope: H::Scope<'_>,
        arrival: Arrival<Laned<H>>,
        out: &mut Parcels<H>,
    ) -> Result<(), Failure<H>> {
        for laned in arrival.containers {
            if self.context.is_halted() {
                return Ok(());
            }
            let origin = laned.origin;
            let pairs = laned.batch.into_keyed(scope, &self.written_as)?;
            if !self.worth.is_it(pairs.len()) {
                self.router.address(scope, 0, origin, pairs, out)?;
                continue;
            }
            self.figures.items_in.add(pairs.len());
            self.origin = Origin::of_both(self.origin, origin);
            let call = Call::new("combine").in_epoch(arrival.epoch);
            let call = call.with(pairs.len(), origin);
            self.spans.around(scope, call, || {
                self.keys.on_batch(&self.context, scope, 0, pairs)
            })?;
            if self.keys.count() >= MOST_KEYS {
                self.worth.made(self.keys.count());
                self.flush(scope, out)?;
            }
        }
        Ok(())
    }

    /// Sends what was combined, and begins anew.
    fn flush(&mut self, scope: H::Scope<'_>, out: &mut Parcels<H>) -> Result<(), Failure<H>> {
        let [made, ..] = self.keys.on_time(&self.context, scope, Micros(0), true)?;
        self.worth.begin();
        let origin = self.origin.take();
        let mut made = made.into_iter().peekable();
        while made.peek().is_some() {
            let some = made.by_ref().take(MOST_TOGETHER);
            self.router.address(scope, COMBINED, origin, some, out)?;
        }
        Ok(())
    }
}

/// Whether combining is worth its while: if nearly all keys are different, it is not.
#[derive(Debug, Default)]
struct Worth {
    /// How many values were combined since this began.
    combined: u64,
    /// How many values are still to go on as they are.
    skipped: u64,
}

impl Worth {
    /// For how many values to do without, for each key that was there, until it is tried again.
    const PATIENCE: u64 = 16;

    /// Whether to combine so many values that have arrived.
    fn is_it(&mut self, values: usize) -> bool {
        let values = values as u64;
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(values);
            return false;
        }
        self.combined += values;
        true
    }

    /// There are as many keys as there may be.
    fn made(&mut self, keys: u64) {
        if self.combined < 2 * keys {
            self.skipped = Self::PATIENCE * keys;
        }
    }

    /// What there was has been sent.
    fn begin(&mut self) {
        self.combined = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_combined() {
        let mut worth = Worth::default();
        for _ in 0..20 {
            assert!(worth.is_it(100));
        }
        worth.made(1_000);
        worth.begin();
        assert!(worth.is_it(100));
    }

    #[test]
    fn many_keys_go_on_as_they_are_for_a_while() {
        let mut worth = Worth::default();
        assert!(worth.is_it(1_999));
        worth.made(1_000);
        worth.begin();
        for _ in 0..16 {
            assert!(!worth.is_it(1_000));
        }
        assert!(worth.is_it(1_000));
    }

    #[test]
    fn what_was_sent_before_does_not_count() {
        let mut worth = Worth::default();
        assert!(worth.is_it(10_000));
        worth.begin();
        assert!(worth.is_it(1_000));
        worth.made(1_000);
        assert!(!worth.is_it(1));
    }
}
