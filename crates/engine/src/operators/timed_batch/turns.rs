//! The receiving side: one watermark of all lanes, and the keys that go by it.
//!
//! Each piece of news is one turn: the values that came with it go to their keys, in the
//! order of their text; then the other keys that are due by the watermark as it is now are
//! notified, in the same order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Micros;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::lane::Lane;
use crate::logic::{TimedBatch, TimedItem};
use crate::metrics::Figures;
use crate::operators::stateful_batch::changes::{record, restore};
use crate::operators::stateful_batch::emitting::Emitted;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::operators::stateful_batch::outputs::Outputs;
use crate::operators::timed_batch::News;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::recovery::{Change, Codec, Saved};
use crate::spans::{Call, Origin, Spans};
use crate::timely_ext::exchange::Parcel;
use crate::timely_ext::receive::Arrival;
use crate::window::{Lanes, START_OF_TIME, Timed};

/// How long to wait where time stands still, or for a moment that has passed.
const PAUSE: Duration = Duration::from_secs(1);

/// A lane, by the worker it is on.
type LaneOfWorker = (usize, Lane);

/// The keys of a worker, and the watermark that they go by.
pub(super) struct Turns<H: Host> {
    context: Context<H>,
    figures: Arc<Figures>,
    spans: Spans<H>,
    id: StepId,
    written_as: StepId,
    builder: Arc<dyn TimedBatch<H>>,
    keys: Box<dyn AnyKeys<H, TimedItem<H>>>,
    /// All lanes there are, as far as workers have said.
    begun: Vec<(LaneOfWorker, Option<String>)>,
    /// How many workers haven't.
    awaited: usize,
    /// None before the first turn.
    lanes: Option<Lanes<LaneOfWorker>>,
    /// The watermark with which the run begins.
    resumed: i64,
    /// How far each lane with a name had come when that was last kept.
    kept: HashMap<String, i64>,
    /// The system time at which it was last said when to look.
    looked_at: Option<Micros>,
}

impl<H: Host> Turns<H> {
    pub(super) fn new(
        context: &Context<H>,
        operator: &PhysicalOperator<H>,
        figures: Arc<Figures>,
        builder: &Arc<dyn TimedBatch<H>>,
        wanted: &[bool],
    ) -> Self {
        Self {
            context: context.clone(),
            figures,
            spans: context.spans(operator),
            id: operator.id.clone(),
            written_as: operator.written_as.clone(),
            builder: Arc::clone(builder),
            keys: builder.start(wanted).0,
            begun: Vec::new(),
            awaited: context.workers,
            lanes: None,
            resumed: START_OF_TIME,
            kept: HashMap::new(),
            looked_at: None,
        }
    }

    /// Does something attached; if it fails, the run stops.
    pub(super) fn attempt(
        &mut self,
        work: impl FnOnce(&mut Self, H::Scope<'_>) -> Result<(), Failure<H>>,
    ) {
        H::attach(|scope| {
            if let Err(failure) = work(self, scope) {
                self.context.fail(scope, &self.written_as, failure);
            }
            self.figures.keep_up(&*self.keys);
            if let Some(lanes) = &self.lanes {
                self.figures.set_watermark(lanes.watermark());
            }
        });
    }

    /// Takes over the keys, and the watermark, that an earlier run kept.
    pub(super) fn restore(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        restore(&self.context, &self.id, &mut *self.keys, scope)?;
        for (key, saved) in self.context.take_restored(&watermark_step(&self.id)) {
            let watermark = watermark_of(&saved).unwrap_or(START_OF_TIME);
            if let Some(lane) = key.strip_prefix(LANE) {
                self.kept.insert(lane.to_owned(), watermark);
            } else {
                // What each worker kept differs by no more than how long messages took. A
                // window that has closed anywhere may not open again.
                self.resumed = self.resumed.max(watermark);
            }
        }
        Ok(())
    }

    /// Takes in what arrived together.
    pub(super) fn take(
        &mut self,
        scope: H::Scope<'_>,
        arrival: Arrival<Parcel<News<H>>>,
        outputs: &mut Outputs<H>,
    ) -> Result<(), Failure<H>> {
        for parcel in arrival.containers {
            let (from, origin) = (parcel.partition, parcel.origin);
            let news = parcel.open(&self.context, scope)?;
            if self.context.is_halted() {
                return Ok(());
            }
            let items = match &news {
                News::Values { pairs, .. } => pairs.len(),
                News::Begins(_) | News::Ends(_) => 0,
            };
            let call = Call::new("on_batch").in_epoch(arrival.epoch);
            let span = self.spans.begin(scope, call.with(items, origin))?;
            // The end of a lane has no trace, and may yet let keys emit.
            let origin = origin.or_else(|| span.origin(scope));
            let made = self.hear(scope, from, news);
            let made = span.end(scope, None, made)?;
            outputs.give(&arrival.capability, origin, made);
        }
        Ok(())
    }

    /// An epoch is over.
    pub(super) fn close(&mut self, scope: H::Scope<'_>, epoch: Epoch) -> Result<(), Failure<H>> {
        let (context, seen) = (&self.context, (&*self.figures, &self.spans));
        record(context, &self.id, seen, &mut *self.keys, scope, epoch)?;
        if let (Some(_), Some(lanes)) = (&context.recorder, &self.lanes) {
            let watermark = saved_watermark(lanes.watermark());
            let mut changes = vec![(self.context.worker.to_string(), Some(watermark))];
            // All workers have heard the same of the lanes by now, so one says it for all.
            if self.context.worker == 0 {
                changes.extend(changed_lanes(&self.begun, lanes, &mut self.kept));
            }
            context.record(scope, &watermark_step(&self.id), epoch, changes);
        }
        Ok(())
    }

    /// Hears, of all that has arrived early, which lanes workers have.
    pub(super) fn hear_of_lanes(
        &mut self,
        scope: H::Scope<'_>,
        arrivals: &mut [Arrival<Parcel<News<H>>>],
    ) -> Result<(), Failure<H>> {
        let parcels = arrivals
            .iter_mut()
            .flat_map(|arrival| &mut arrival.containers);
        for parcel in parcels {
            let from = parcel.partition;
            let begun = parcel.look(scope, |news| match news {
                News::Begins(lanes) => Some(std::mem::take(lanes)),
                News::Values { .. } | News::Ends(_) => None,
            })?;
            if let Some(lanes) = begun {
                self.begin(from, lanes);
            }
        }
        Ok(())
    }

    /// Hears which lanes a worker has.
    fn begin(&mut self, from: usize, lanes: Vec<(Lane, Option<String>)>) {
        let lanes = lanes.into_iter().map(|(lane, name)| ((from, lane), name));
        self.begun.extend(lanes);
        self.awaited -= 1;
    }

    /// Whether all workers have said which lanes they have. Before, there can be no
    /// watermark: a lane that isn't known yet may be far behind.
    pub(super) fn have_all_begun(&self) -> bool {
        self.awaited == 0
    }

    /// Takes the news of a worker.
    fn hear(
        &mut self,
        scope: H::Scope<'_>,
        from: usize,
        news: News<H>,
    ) -> Result<Emitted<H>, Failure<H>> {
        self.advance(scope)?;
        let Some(lanes) = &mut self.lanes else {
            return Ok(Emitted::<H>::default());
        };
        let mut values = Vec::new();
        match news {
            News::Begins(_) => {}
            News::Values {
                lane,
                furthest,
                pairs,
            } => {
                let lane = (from, lane);
                let mut watermark_at = lanes.at_values(lane);
                values.reserve(pairs.len());
                values.extend(pairs.into_iter().map(|(key, stamped)| {
                    let timed = Timed {
                        timestamp: stamped.timestamp,
                        watermark: watermark_at(stamped.furthest),
                        value: stamped.value,
                    };
                    (key, timed)
                }));
                drop(watermark_at);
                lanes.observe(lane, furthest);
            }
            News::Ends(lane) => lanes.end((from, lane)),
        }
        let watermark = lanes.watermark();
        self.keys.advance(watermark);
        self.figures.items_in.add(values.len());
        let clock = &self.context.shared.clock;
        let begun = clock.monotonic();
        let mut emitted = self.keys.on_batch(&self.context, scope, 0, values)?;
        let took = clock.monotonic().saturating_sub(begun);
        self.figures.calls.observe(took);
        let due = self.notify(scope, watermark, false)?;
        for (made, more) in emitted.iter_mut().zip(due) {
            made.extend(more);
        }
        Ok(emitted)
    }

    /// Notices that time has passed, or that there are no more values.
    pub(super) fn pass(
        &mut self,
        scope: H::Scope<'_>,
        epoch: Epoch,
        has_ended: bool,
    ) -> Result<(Option<Origin>, Emitted<H>), Failure<H>> {
        let span = self
            .spans
            .begin(scope, Call::new("on_time").in_epoch(epoch))?;
        let origin = span.origin(scope);
        let made = self.pass_on(scope, has_ended);
        Ok((origin, span.end(scope, None, made)?))
    }

    fn pass_on(&mut self, scope: H::Scope<'_>, has_ended: bool) -> Result<Emitted<H>, Failure<H>> {
        let watermark = self.advance(scope)?;
        self.keys.advance(watermark);
        // Who drains goes on later, as if this were not the end.
        let has_ended = has_ended && !self.context.is_draining();
        self.notify(scope, watermark, has_ended)
    }

    /// Lets time pass. Gives the watermark.
    fn advance(&mut self, scope: H::Scope<'_>) -> Result<i64, Failure<H>> {
        let now = self.builder.now(scope)?;
        let lanes = self.lanes.get_or_insert_with(|| {
            let (clock, timeout) = (self.builder.clock(), self.builder.idle_timeout());
            let mut lanes = Lanes::resume(clock, timeout, self.resumed, now);
            for (lane, name) in &self.begun {
                let kept = name.as_ref().and_then(|name| self.kept.get(name));
                lanes.open(*lane, kept.copied().unwrap_or(START_OF_TIME));
            }
            lanes
        });
        lanes.advance(now);
        Ok(lanes.watermark())
    }

    fn notify(
        &mut self,
        scope: H::Scope<'_>,
        watermark: i64,
        has_ended: bool,
    ) -> Result<Emitted<H>, Failure<H>> {
        self.keys
            .on_time(&self.context, scope, Micros(watermark), has_ended)
    }

    /// How long until a key may be due, if nothing comes before.
    pub(super) fn next_look(
        &mut self,
        scope: H::Scope<'_>,
    ) -> Result<Option<Duration>, Failure<H>> {
        let Some((lanes, due)) = self.lanes.as_ref().zip(self.keys.next_due()) else {
            return Ok(None);
        };
        let look_at = self.builder.look_at(scope, due.0, lanes.look_at(due.0))?;
        // Where the user's time stands still, waiting for it again and again would keep the
        // worker busy; so would a moment that has passed.
        let stands_still = self.looked_at.replace(lanes.now()) == Some(lanes.now());
        Ok(look_at.map(|at| match at.since(lanes.now()) {
            wait if stands_still || wait.is_zero() => wait.max(PAUSE),
            wait => wait,
        }))
    }
}

/// What the watermark of a step is kept under, beside its keys.
pub(crate) fn watermark_step(step: &StepId) -> StepId {
    StepId(format!("{step}.watermark").into())
}

/// What begins the key under which it is kept how far a lane has come; workers keep theirs under
/// their number.
const LANE: &str = "lane ";

/// How far those lanes with a name have come that have come farther.
fn changed_lanes(
    begun: &[(LaneOfWorker, Option<String>)],
    lanes: &Lanes<LaneOfWorker>,
    kept: &mut HashMap<String, i64>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (lane, name) in begun {
        if let Some(name) = name
            && let Some(watermark) = lanes.watermark_of(*lane)
            && kept.insert(name.clone(), watermark) != Some(watermark)
        {
            changes.push((format!("{LANE}{name}"), Some(saved_watermark(watermark))));
        }
    }
    changes
}

fn saved_watermark(watermark: i64) -> Saved {
    Saved {
        codec: Codec::Native,
        payload: watermark.to_le_bytes().to_vec(),
    }
}

fn watermark_of(saved: &Saved) -> Option<i64> {
    let bytes = saved.payload.as_slice().try_into().ok()?;
    Some(i64::from_le_bytes(bytes))
}
