//! The receiving side: one watermark of all lanes, and the keys that go by it.
//!
//! Each piece of news is one turn: the values that came with it go to their keys, in the
//! order of their text; then the other keys that are due by the watermark as it is now are
//! notified, in the same order.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Micros;
use crate::context::Context;
use crate::host::{Failure, Host};
use crate::lane::Lane;
use crate::logic::{TimedBatch, TimedItem};
use crate::operators::stateful_batch::emitting::Emitted;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::operators::timed_batch::News;
use crate::window::{Lanes, Timed};

/// How long to wait where time stands still, or for a moment that has passed.
const PAUSE: Duration = Duration::from_secs(1);

/// A lane, by the worker it is on.
type LaneOfWorker = (usize, Lane);

/// The keys of a worker, and the watermark that they go by.
pub(super) struct Turns<H: Host> {
    context: Context<H>,
    builder: Arc<dyn TimedBatch<H>>,
    keys: Box<dyn AnyKeys<H, TimedItem<H>>>,
    /// All lanes there are, as far as workers have said.
    begun: Vec<LaneOfWorker>,
    /// How many workers haven't.
    awaited: usize,
    /// None before the first turn.
    lanes: Option<Lanes<LaneOfWorker>>,
    /// The system time at which it was last said when to look.
    looked_at: Option<Micros>,
}

impl<H: Host> Turns<H> {
    pub(super) fn new(
        context: &Context<H>,
        builder: &Arc<dyn TimedBatch<H>>,
        wanted: &[bool],
    ) -> Self {
        Self {
            context: context.clone(),
            builder: Arc::clone(builder),
            keys: builder.start(wanted).0,
            begun: Vec::new(),
            awaited: context.workers,
            lanes: None,
            looked_at: None,
        }
    }

    /// Hears which lanes a worker has.
    pub(super) fn begin(&mut self, from: usize, lanes: Vec<Lane>) {
        self.begun
            .extend(lanes.into_iter().map(|lane| (from, lane)));
        self.awaited -= 1;
    }

    /// Whether all workers have said which lanes they have. Before, there can be no
    /// watermark: a lane that isn't known yet may be far behind.
    pub(super) fn have_all_begun(&self) -> bool {
        self.awaited == 0
    }

    /// Takes the news of a worker.
    pub(super) fn hear(
        &mut self,
        scope: H::Scope<'_>,
        from: usize,
        news: News<H>,
    ) -> Result<Emitted<H>, Failure<H>> {
        let lanes = advance(&*self.builder, scope, &self.begun, &mut self.lanes)?;
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
        let mut emitted = self.keys.on_batch(&self.context, scope, 0, values)?;
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
        has_ended: bool,
    ) -> Result<Emitted<H>, Failure<H>> {
        let lanes = advance(&*self.builder, scope, &self.begun, &mut self.lanes)?;
        let watermark = lanes.watermark();
        self.keys.advance(watermark);
        self.notify(scope, watermark, has_ended)
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

/// The lanes as they are now.
fn advance<'lanes, H: Host>(
    builder: &dyn TimedBatch<H>,
    scope: H::Scope<'_>,
    begun: &[LaneOfWorker],
    lanes: &'lanes mut Option<Lanes<LaneOfWorker>>,
) -> Result<&'lanes mut Lanes<LaneOfWorker>, Failure<H>> {
    let now = builder.now(scope)?;
    let lanes = lanes.get_or_insert_with(|| {
        let mut lanes = Lanes::new(builder.clock(), builder.idle_timeout(), now);
        for &lane in begun {
            lanes.open(lane);
        }
        lanes
    });
    lanes.advance(now);
    Ok(lanes)
}
