//! What all keys of a windowing step share on a worker.

use crate::window::turn::Turn;
use crate::window::{Clock, Fold, Sink, Windower};

/// What the sessions of a key are named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionIds {
    /// How many were opened before.
    Counts,
    /// The timestamp of the value that opened it: for keys that are forgotten with
    /// their windows, and can't count on.
    Times,
}

/// How a step cuts time into windows, and who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing {
    /// Where timestamps come from.
    pub clock: Clock,
    /// How time is cut into windows.
    pub windower: Windower,
    /// How far behind the watermark a value may be and still go into its windows, in
    /// microseconds. Closed windows stay for so long.
    pub lateness: i64,
    /// Whether values wait for the watermark, and are then taken in the order of
    /// their timestamps; otherwise they are taken as they arrive.
    pub ordered: bool,
    /// Whether anybody wants to know of late values.
    pub wants_late: bool,
    /// Whether anybody wants to know of windows that closed.
    pub wants_meta: bool,
    /// What sessions are named by.
    pub session_ids: SessionIds,
}

impl Windowing {
    /// The watermark that frees a window whose close time is `close`. No value that
    /// isn't late belongs to it then.
    #[must_use]
    pub fn freed_at(&self, close: i64) -> i64 {
        self.windower.due(close).saturating_add(self.lateness)
    }
}

/// What all keys of a step share on a worker: its settings, the user's logic, and
/// buffers that keys use in turn, so that a key at rest holds none.
pub struct WindowStep<V, F: Fold<V>> {
    pub(super) windowing: Windowing,
    pub(super) fold: F,
    /// Values of this turn that go into windows, now or later, as they arrived.
    pub(super) arrived: Vec<(i64, V)>,
    /// Values to take into windows now, in their order.
    pub(super) due: Vec<(i64, V)>,
    closing: Vec<usize>,
    emitted: Vec<F::Out>,
    /// How many values came too late so far.
    late: u64,
}

impl<V, F: Fold<V>> WindowStep<V, F> {
    /// A step on a worker.
    pub fn new(windowing: Windowing, fold: F) -> Self {
        Self {
            windowing,
            fold,
            arrived: Vec::new(),
            due: Vec::new(),
            closing: Vec::new(),
            emitted: Vec::new(),
            late: 0,
        }
    }

    /// How many values came too late so far.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The settings.
    pub fn windowing(&self) -> &Windowing {
        &self.windowing
    }

    /// The user's logic.
    pub fn fold(&self) -> &F {
        &self.fold
    }

    /// A value has arrived when the watermark was at `watermark`: it goes to `arrived`,
    /// or to the sink if it came too late.
    #[inline]
    pub(super) fn receive<K: Sink<V, F::Out>>(
        &mut self,
        context: F::Context<'_>,
        watermark: i64,
        timestamp: i64,
        value: V,
        sink: &mut K,
    ) {
        if timestamp >= watermark.saturating_sub(self.windowing.lateness) {
            self.arrived.push((timestamp, value));
            return;
        }
        self.late += 1;
        if self.windowing.wants_late {
            let ids = self.windowing.windower.late_ids(timestamp);
            let (first, last) = ids.into_inner();
            for id in first..last {
                sink.late(id, self.fold.clone_value(context, &value));
            }
            sink.late(last, value);
        }
    }

    /// Begins a turn: the values to take, and what to take them with.
    pub(super) fn begin<'a, 'cx, K>(
        &'a mut self,
        context: F::Context<'cx>,
        sink: &'a mut K,
    ) -> (std::vec::Drain<'a, (i64, V)>, Turn<'a, 'cx, V, F, K>) {
        let turn = Turn {
            windowing: &self.windowing,
            fold: &self.fold,
            context,
            closing: &mut self.closing,
            emitted: &mut self.emitted,
            sink,
        };
        (self.due.drain(..), turn)
    }
}
