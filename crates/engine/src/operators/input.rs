//! `input`: brings the items of a source into the dataflow.
//!
//! A worker polls its partitions in turn, one batch each per activation, as far as
//! they are awake and there is room. Each partition counts its own epochs and
//! holds its own capability, so one that sleeps doesn't stop another.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use timely::dataflow::Scope;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::SyncActivator;

use crate::batch::Batch;
use crate::clock::Micros;
use crate::context::Context;
use crate::epoch::{Epoch, Ticker};
use crate::halt::Reason;
use crate::host::{Failure, Host, Rows};
use crate::lane::{Lane, Laned};
use crate::logic::{Polled, SourcePartition};
use crate::metrics::{Figures, Role};
use crate::operators::open::Open;
use crate::physical::PhysicalOperator;
use crate::plan::{Source, StepId};
use crate::recovery::Saved;
use crate::spans::{Call, Spans};
use crate::timely_ext::timer::Timer;
use crate::timely_ext::{BatchStream, Time};

/// How soon a source that had nothing, and doesn't say when it will, is asked again.
const EMPTY_PAUSE: Duration = Duration::from_millis(1);

/// A partition, and its name; the part of a dynamic source has none.
type Part<H> = (Option<String>, Open<H, dyn SourcePartition<H>>);

/// The partitions of a worker.
pub(crate) type Parts<H> = Vec<Part<H>>;

/// Opens the partitions of this worker.
pub(crate) fn open_source<H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    source: &Source<H>,
    scope: H::Scope<'_>,
) -> Result<Parts<H>, Failure<H>> {
    let restored = context.take_restored(&operator.id);
    let mut restored: HashMap<String, Saved> = restored.into_iter().collect();
    match source {
        Source::Dynamic(source) => {
            let part = source.build(scope, &operator.id, context.worker, context.workers)?;
            Ok(vec![(None, Open::new(context, &operator.written_as, part))])
        }
        Source::Partitioned(source) => context
            .owned_partitions(&operator.id)
            .into_iter()
            .take_while(|_| !context.is_halted())
            .map(|part| {
                let saved = restored.remove(&part);
                let opened = source.build_part(scope, &operator.id, &part, saved.as_ref())?;
                let opened = Open::new(context, &operator.written_as, opened);
                Ok((Some(part), opened))
            })
            .collect(),
    }
}

pub(crate) fn input<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    parts: Parts<H>,
    scope: Scope<'scope, Time>,
) -> BatchStream<'scope, H> {
    let mut builder = OperatorBuilder::new(operator.id.to_string(), scope);
    let address = builder.operator_info().address;
    let (mut output, batches) = builder.new_output();
    let name_of = |part: &Part<H>| {
        let name = part.0.as_ref()?;
        Some(format!("{}/{name}", operator.id))
    };
    let lanes: Vec<Lane> = parts
        .iter()
        .map(|part| context.new_named_lane(|| name_of(part)))
        .collect();
    let stream = BatchStream {
        batches,
        lanes: lanes.clone(),
    };
    let activator = || scope.activator_for(Rc::clone(&address));
    context.wakers.borrow_mut().push(activator());
    let mut timer = Timer::new(activator());
    let abort_activator = activator();
    let mut queue = RoomQueue::new(scope.worker().sync_activator_for(address.to_vec()));

    let context = context.clone();
    let step = operator.written_as.clone();
    let id = operator.id.clone();
    let figures = context.figures(&id, Role::Source);
    let spans = Rc::new(context.spans(operator));
    builder.build(move |mut capabilities| {
        let mut readers = Vec::new();
        // The epoch before which all is to be kept before the run stops, as a source asked.
        let mut abort_at: Option<Time> = None;
        if let Some(capability) = capabilities.pop() {
            let parts = parts.into_iter().zip(lanes);
            readers.extend(parts.map(|(part, lane)| {
                let counted = (&figures, &spans);
                Reader::new(&context, &id, counted, part, lane, &capability)
            }));
        }
        move |_frontiers| {
            if context.is_halted() {
                return;
            }
            if context.is_draining() {
                stop(&context, &step, &mut readers);
                return;
            }
            if let Some(epoch) = abort_at {
                if context.has_committed_before(epoch) {
                    context.shared.halt.raise(Reason::Aborted);
                    return;
                }
                let now = context.shared.clock.monotonic();
                keep_up(&context, &step, &mut readers, now);
                timer.wake_after(EMPTY_PAUSE, now);
                return;
            }
            let has_room = queue.has_room(&context);
            let wall = context.shared.clock.wall();
            if has_room && readers.iter().any(|reader| reader.is_due(wall)) {
                let aborts = poll_all(&context, &step, &mut readers, &mut output);
                if aborts {
                    // What was brought in the epochs before is kept first, so that a later run
                    // needn't do it again. The one that it asked in is never over.
                    let aborting = readers.iter().find(|reader| reader.aborts);
                    abort_at = aborting.map(|reader| *reader.capability.time());
                    abort_activator.activate();
                    return;
                }
            }
            let (wall, now) = (
                context.shared.clock.wall(),
                context.shared.clock.monotonic(),
            );
            keep_up(&context, &step, &mut readers, now);
            let waits = readers
                .iter()
                .filter_map(|reader| reader.wait(wall, now, has_room));
            if let Some(wait) = waits.min() {
                timer.wake_after(wait, now);
            }
        }
    });
    stream
}

/// Takes a batch of each partition that is due; gives whether one asked for the run to stop,
/// after which no other is asked.
fn poll_all<H: Host>(
    context: &Context<H>,
    step: &StepId,
    readers: &mut Vec<Reader<H>>,
    output: &mut Output<Time, Laned<H>>,
) -> bool {
    let mut aborts = false;
    H::attach(|scope| {
        readers.retain_mut(|reader| {
            if aborts {
                return true;
            }
            let goes_on = reader
                .poll(context, scope, output)
                .unwrap_or_else(|failure| {
                    context.fail(scope, step, failure);
                    false
                });
            aborts = reader.aborts;
            goes_on
        });
    });
    aborts
}

/// Lets all partitions go on to the epoch that they should be in by now.
fn keep_up<H: Host>(context: &Context<H>, step: &StepId, readers: &mut [Reader<H>], now: Duration) {
    for reader in readers {
        if let Err(failure) = reader.keep_up(context, now) {
            H::attach(|scope| context.fail(scope, step, failure));
        }
    }
}

/// Stops all partitions where they are.
fn stop<H: Host>(context: &Context<H>, step: &StepId, readers: &mut Vec<Reader<H>>) {
    H::attach(|scope| {
        for mut reader in readers.drain(..) {
            if let Err(failure) = reader.stop(context, scope) {
                context.fail(scope, step, failure);
            }
        }
    });
}

/// A source's place in the queue for room.
struct RoomQueue {
    activator: SyncActivator,
    is_queued: Arc<AtomicBool>,
}

impl RoomQueue {
    fn new(activator: SyncActivator) -> Self {
        Self {
            activator,
            is_queued: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Whether there is room. If not, the source will be woken when there is.
    fn has_room<H: Host>(&mut self, context: &Context<H>) -> bool {
        let room = &context.shared.room;
        if room.is_free() {
            return true;
        }
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            let (activator, is_queued) = (self.activator.clone(), Arc::clone(&self.is_queued));
            room.when_free(move || {
                is_queued.store(false, Ordering::Release);
                // Its worker may have stopped by now.
                let _ = activator.activate();
            });
        }
        false
    }
}

/// When a partition is to be polled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awake {
    /// It has not been asked yet.
    Unasked,
    /// As soon as possible.
    Now,
    /// Not before this moment.
    At(Micros),
}

/// One partition, as its worker reads it.
struct Reader<H: Host> {
    /// The step that it is a part of.
    step: StepId,
    /// What all partitions of the step on this worker count.
    figures: Arc<Figures>,
    spans: Rc<Spans<H>>,
    /// Its name, if it can be resumed.
    name: Option<String>,
    part: Open<H, dyn SourcePartition<H>>,
    /// Whether it was asked for items since it was last recorded.
    has_changed: bool,
    lane: Lane,
    /// Whether it has asked for the run to stop.
    aborts: bool,
    capability: Capability<Time>,
    ticker: Ticker,
    awake: Awake,
}

impl<H: Host> Reader<H> {
    fn new(
        context: &Context<H>,
        step: &StepId,
        (figures, spans): (&Arc<Figures>, &Rc<Spans<H>>),
        (name, part): Part<H>,
        lane: Lane,
        capability: &Capability<Time>,
    ) -> Self {
        let shared = &context.shared;
        let now = shared.clock.monotonic();
        let ticker = Ticker::new(shared.epoch_interval, shared.first_epoch, now);
        Self {
            step: step.clone(),
            figures: Arc::clone(figures),
            spans: Rc::clone(spans),
            name,
            part,
            has_changed: false,
            lane,
            aborts: false,
            capability: capability.delayed(&ticker.epoch().0),
            ticker,
            awake: Awake::Unasked,
        }
    }

    fn is_due(&self, wall: Micros) -> bool {
        match self.awake {
            Awake::Unasked | Awake::Now => true,
            Awake::At(moment) => moment <= wall,
        }
    }

    /// Takes one batch if it is time; returns whether the partition goes on.
    fn poll(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        output: &mut Output<Time, Laned<H>>,
    ) -> Result<bool, Failure<H>> {
        let clock = &context.shared.clock;
        if context.is_halted() || self.aborts {
            return Ok(true);
        }
        if self.awake == Awake::Unasked {
            self.awake = self.next_awake(scope, Awake::Now)?;
        }
        if !self.is_due(clock.wall()) {
            return Ok(true);
        }
        self.has_changed = true;
        let call = Call::new("next_batch").in_epoch(Epoch(*self.capability.time()));
        let span = self.spans.begin(scope, call)?;
        let begun = clock.monotonic();
        let polled = self.part.get().next_batch(scope);
        let took = clock.monotonic().saturating_sub(begun);
        let items = match &polled {
            Ok(Polled::Batch(rows)) => rows.len(),
            _ => 0,
        };
        let origin = span.origin(scope);
        let polled = span.end(scope, Some(items), polled)?;
        self.figures.calls.observe(took);
        let rows = match polled {
            Polled::Batch(rows) => rows,
            Polled::End => {
                self.record(context, scope)?;
                self.part.close(scope)?;
                if context.shared.needs_lanes {
                    let mut last = Laned::last(self.lane);
                    output.activate().give(&self.capability, &mut last);
                }
                return Ok(false);
            }
            Polled::Abort => {
                self.aborts = true;
                return Ok(true);
            }
        };
        let otherwise = if rows.is_empty() {
            Awake::At(clock.wall().after(EMPTY_PAUSE))
        } else {
            self.figures.items_out.add(rows.len());
            let mut laned = Laned::new(self.lane, origin, Batch::Rows(rows));
            output.activate().give(&self.capability, &mut laned);
            Awake::Now
        };
        self.awake = self.next_awake(scope, otherwise)?;
        let newest = context.shared.epochs.newest();
        self.ticker.after_batch(clock.monotonic(), newest);
        Ok(true)
    }

    fn next_awake(&mut self, scope: H::Scope<'_>, otherwise: Awake) -> Result<Awake, Failure<H>> {
        let moment = self.part.get().next_awake(scope)?;
        Ok(moment.map_or(otherwise, Awake::At))
    }

    /// Hands over where it is, at the end of the epoch that its items were of.
    fn record(&mut self, context: &Context<H>, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        let (Some(_), Some(name)) = (&context.recorder, &self.name) else {
            return Ok(());
        };
        if !std::mem::take(&mut self.has_changed) {
            return Ok(());
        }
        let call = Call::new("snapshot").in_epoch(Epoch(*self.capability.time()));
        let begun = context.shared.clock.monotonic();
        let saved = self
            .spans
            .around(scope, call, || self.part.get().snapshot(scope))?;
        if let Some(saved) = saved {
            let took = context.shared.clock.monotonic().saturating_sub(begun);
            self.figures.snapshots.observe(took);
            let epoch = Epoch(*self.capability.time());
            let changes = vec![(name.clone(), Some(saved))];
            self.figures.kept(&changes);
            context.record(scope, &self.step, epoch, changes);
        }
        Ok(())
    }

    /// Stops where it is, to go on in a later run.
    fn stop(&mut self, context: &Context<H>, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        self.record(context, scope)?;
        self.part.close(scope)
    }

    /// Goes on to the epoch that it should be in by now.
    fn keep_up(&mut self, context: &Context<H>, now: Duration) -> Result<(), Failure<H>> {
        if self.aborts {
            return Ok(());
        }
        let epochs = &context.shared.epochs;
        self.ticker.while_idle(now, epochs.newest());
        if *self.capability.time() < self.ticker.epoch().0 {
            if self.has_changed && context.recorder.is_some() {
                H::attach(|scope| self.record(context, scope))?;
            }
            self.capability.downgrade(&self.ticker.epoch().0);
        }
        // Only now: whoever sees it may end that epoch.
        epochs.begun(self.ticker.epoch());
        Ok(())
    }

    /// How long until there is something to do, unless it is woken before.
    fn wait(&self, wall: Micros, now: Duration, has_room: bool) -> Option<Duration> {
        let until_epoch = self.ticker.idle_for(now);
        let until_awake = match self.awake {
            _ if !has_room => None,
            Awake::Unasked | Awake::Now => Some(Duration::ZERO),
            Awake::At(moment) => Some(moment.since(wall)),
        };
        [until_epoch, until_awake].into_iter().flatten().min()
    }
}
