//! The windows of a key as plain data, to be kept and to go on from.

use crate::clock::Micros;
use crate::window::held::{HeldWindows, Window};
use crate::window::key_windows::Active;
use crate::window::queue::Queue;
use crate::window::{Fold, KeyClock, KeyWindows};

/// All that a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedWindows<V, S> {
    /// How far event time has come for it.
    pub watermark: i64,
    /// How many windows it ever opened.
    pub opened: i64,
    /// Values that wait for the watermark, in the order in which they will be taken.
    pub waiting: Vec<(i64, V)>,
    /// Its windows, in the order of time.
    pub windows: Vec<SavedWindow<S>>,
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedWindow<S> {
    /// Its id.
    pub id: i64,
    /// Which of the windows of its key it was to open.
    pub opened: i64,
    /// When it opens.
    pub open: i64,
    /// When it closes.
    pub close: i64,
    /// The sessions that became part of it.
    pub merged: Vec<i64>,
    /// Whether there is something in it that its result, if any, lacks.
    pub has_changed: bool,
    /// What the user keeps of it.
    pub state: S,
}

impl<V, F: Fold<V>> KeyWindows<V, F> {
    /// All that there is; `clone_value` and `save_state` make what is to be kept of a value
    /// and of the state of a window.
    pub fn save<Value, State, E>(
        &self,
        mut clone_value: impl FnMut(&V) -> Value,
        mut save_state: impl FnMut(&F::State) -> Result<State, E>,
    ) -> Result<SavedWindows<Value, State>, E> {
        let mut saved = SavedWindows {
            watermark: self.clock().watermark(),
            opened: self.opened,
            waiting: Vec::new(),
            windows: Vec::new(),
        };
        let Some(active) = self.active.as_deref() else {
            return Ok(saved);
        };
        let waiting = active.queue.in_order().into_iter();
        saved.waiting = waiting
            .map(|(at, value)| (at, clone_value(value)))
            .collect();
        for window in active.windows.iter() {
            saved.windows.push(SavedWindow {
                id: window.id,
                opened: window.opened,
                open: window.open,
                close: window.close,
                merged: window.merged.clone(),
                has_changed: window.has_changed,
                state: save_state(&window.state)?,
            });
        }
        Ok(saved)
    }

    /// A key that goes on now. System time that passed in between doesn't count.
    pub fn resume(saved: SavedWindows<V, F::State>, now: Micros) -> Self {
        let mut queue = Queue::default();
        for (timestamp, value) in saved.waiting {
            queue.push(timestamp, value);
        }
        let windows = saved.windows.into_iter().map(|window| Window {
            id: window.id,
            opened: window.opened,
            open: window.open,
            close: window.close,
            merged: window.merged,
            has_changed: window.has_changed,
            state: window.state,
        });
        let windows: HeldWindows<F::State> = windows.collect();
        let is_idle = queue.is_empty() && windows.is_empty();
        Self {
            clock: KeyClock::resume(saved.watermark, now),
            opened: saved.opened,
            active: (!is_idle).then(|| Box::new(Active { queue, windows })),
        }
    }
}
