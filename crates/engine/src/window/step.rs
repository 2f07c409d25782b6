//! What all keys of a windowing step share on a worker.

use crate::window::open::Window;
use crate::window::turn::Turn;
use crate::window::{Clock, Fold, Windower};

/// How a step cuts time into windows, and who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing {
    /// Where timestamps come from.
    pub clock: Clock,
    /// How time is cut into windows.
    pub windower: Windower,
    /// Whether values wait for the watermark, and are then taken in the order of
    /// their timestamps; otherwise they are taken as they arrive.
    pub ordered: bool,
    /// Whether anybody wants to know of late values.
    pub wants_late: bool,
    /// Whether anybody wants to know of windows that closed.
    pub wants_meta: bool,
}

/// What all keys of a step share on a worker: its settings, the user's logic, and
/// buffers that keys use in turn, so that a key at rest holds none.
pub struct WindowStep<V, F: Fold<V>> {
    pub(super) windowing: Windowing,
    pub(super) fold: F,
    /// Values of this turn that aren't late, as they arrived.
    pub(super) arrived: Vec<(i64, V)>,
    /// Values to take into windows now, in their order.
    pub(super) due: Vec<(i64, V)>,
    closing: Vec<Window<F::State>>,
    emitted: Vec<F::Out>,
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
        }
    }

    /// The settings.
    pub fn windowing(&self) -> &Windowing {
        &self.windowing
    }

    /// The user's logic.
    pub fn fold(&self) -> &F {
        &self.fold
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
