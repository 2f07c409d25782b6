//! The windows of one key: the driver that puts clock, queue and windows together.

use crate::clock::Micros;
use crate::window::held::HeldWindows;
use crate::window::queue::Queue;
use crate::window::{Fold, KeyClock, Sink, Timed, WindowStep};

/// The watermark that everything is due at.
const END_OF_INPUT: i64 = i64::MAX;

/// The windows of one key.
///
/// A key at rest, that holds no window and no value that waits, keeps only its clock and
/// the number of its next window: 32 bytes and nothing on the heap. It keeps those
/// for good, or else a window that has closed could open again for an old value; unless
/// its stream has one watermark for all keys, which is enough to know an old value by.
///
/// After an error neither the key nor its step is good for another call.
pub struct KeyWindows<V, F: Fold<V>> {
    pub(super) clock: KeyClock,
    /// How many windows were opened so far; the id of the next session.
    pub(super) opened: i64,
    pub(super) active: Option<Box<Active<V, F::State>>>,
}

/// What a key has while it isn't at rest.
pub(super) struct Active<V, S> {
    pub(super) queue: Queue<V>,
    pub(super) windows: HeldWindows<S>,
}

impl<V, S> Default for Active<V, S> {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            windows: HeldWindows::default(),
        }
    }
}

impl<V, F: Fold<V>> KeyWindows<V, F> {
    /// A key whose first value has just come.
    #[must_use]
    pub fn new(now: Micros) -> Self {
        Self {
            clock: KeyClock::new(now),
            opened: 0,
            active: None,
        }
    }

    /// Takes the values that arrived together, each with the timestamp it carries.
    ///
    /// Late values go to the sink first, then what windows emit for values that are
    /// due, then what they emit as they close. The timestamps of all values are
    /// asked for before the first one goes into a window.
    pub fn on_batch<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        now: Micros,
        values: impl IntoIterator<Item = Result<(i64, V), F::Error>>,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        let clock = step.windowing.clock;
        clock.advance(&mut self.clock, now);
        for value in values {
            let (timestamp, value) = value?;
            let timestamp = clock.observe(&mut self.clock, timestamp);
            step.receive(context, self.clock.watermark(), timestamp, value, sink);
        }
        self.flush(step, context, self.clock.watermark(), sink)
    }

    /// The moment that [`notify_at`](Self::notify_at) named has come.
    pub fn on_notify<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        now: Micros,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        step.windowing.clock.advance(&mut self.clock, now);
        self.flush(step, context, self.clock.watermark(), sink)
    }

    /// Takes values of a stream that has one watermark for all keys, each with its
    /// timestamp and what the watermark was when it came; it is at `watermark` by now.
    ///
    /// The order of what goes to the sink is that of [`on_batch`](Self::on_batch).
    pub fn on_timed<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        watermark: i64,
        values: impl IntoIterator<Item = Timed<V>>,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        for timed in values {
            step.receive(context, timed.watermark, timed.timestamp, timed.value, sink);
        }
        self.flush(step, context, watermark, sink)
    }

    /// The watermark of the stream is at `watermark` by now.
    pub fn on_watermark<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        watermark: i64,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        self.flush(step, context, watermark, sink)
    }

    /// There are no more values: takes all that wait, and closes every window.
    pub fn on_eof<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        self.flush(step, context, END_OF_INPUT, sink)
    }

    /// The system time at which something is to be done if no more values come.
    /// Always later than the last call.
    pub fn notify_at(&self, step: &WindowStep<V, F>) -> Option<Micros> {
        let due = self.due_at(step)?;
        step.windowing.clock.reaches(&self.clock, due)
    }

    /// The watermark at which something is to be done: a value goes into its
    /// windows, or a window closes or is freed.
    pub fn due_at(&self, step: &WindowStep<V, F>) -> Option<i64> {
        let active = self.active.as_deref()?;
        let window = active.windows.first_due(&step.windowing);
        let value = active.queue.first();
        window.into_iter().chain(value).min()
    }

    /// Whether the key is at rest: it holds no window, and no value that waits.
    pub fn is_idle(&self) -> bool {
        self.active.is_none()
    }

    /// What the clock knows of this key.
    pub fn clock(&self) -> &KeyClock {
        &self.clock
    }

    /// Takes the values that are due at the watermark `until`, then closes windows.
    fn flush<K: Sink<V, F::Out>>(
        &mut self,
        step: &mut WindowStep<V, F>,
        context: F::Context<'_>,
        until: i64,
        sink: &mut K,
    ) -> Result<(), F::Error> {
        if self.active.is_none() && step.arrived.is_empty() {
            return Ok(());
        }
        let active = self.active.get_or_insert_default();
        active.queue_up(step, until);
        let (due, mut turn) = step.begin(context, sink);
        for (timestamp, value) in due {
            turn.take(&mut active.windows, &mut self.opened, timestamp, value)?;
        }
        turn.close(&mut active.windows, until)?;
        if active.queue.is_empty() && active.windows.is_empty() {
            self.active = None;
        }
        Ok(())
    }
}

impl<V, S> Active<V, S> {
    /// Moves the values that are due to `step.due`, in the order in which they go
    /// into windows; those that aren't yet go to the queue.
    fn queue_up<F: Fold<V>>(&mut self, step: &mut WindowStep<V, F>, until: i64) {
        if !step.windowing.ordered {
            std::mem::swap(&mut step.arrived, &mut step.due);
            return;
        }
        if until == END_OF_INPUT {
            self.queue.take_all(&mut step.due);
        } else {
            self.queue.take_due(until, &mut step.due);
        }
        for (timestamp, value) in step.arrived.drain(..) {
            if timestamp <= until {
                step.due.push((timestamp, value));
            } else {
                self.queue.push(timestamp, value);
            }
        }
        // Stable, so that among equals those that waited stay first.
        step.due.sort_by_key(|(timestamp, _)| *timestamp);
    }
}
