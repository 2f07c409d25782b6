//! One turn of one key: its values go into its windows, and those that have come to
//! their end close.

use crate::window::held::{HeldWindows, Window};
use crate::window::session::Place;
use crate::window::{
    END_OF_TIME, Fold, Metadata, START_OF_TIME, Session, SessionIds, Sink, Sliding, Windower,
    Windowing,
};

/// What a turn works with. The windows of the key, and the count of those it ever
/// opened, are passed to each method.
pub(super) struct Turn<'a, 'cx, V, F: Fold<V>, K> {
    pub(super) windowing: &'a Windowing,
    pub(super) fold: &'a F,
    pub(super) context: F::Context<'cx>,
    /// The places of the windows that are being closed.
    pub(super) closing: &'a mut Vec<usize>,
    /// What the last call of the user's logic emitted.
    pub(super) emitted: &'a mut Vec<F::Out>,
    pub(super) sink: &'a mut K,
}

impl<V, F: Fold<V>, K: Sink<V, F::Out>> Turn<'_, '_, V, F, K> {
    /// Takes a value into its windows. `opened` counts the windows of the key.
    pub(super) fn take(
        &mut self,
        windows: &mut HeldWindows<F::State>,
        opened: &mut i64,
        timestamp: i64,
        value: V,
    ) -> Result<(), F::Error> {
        match self.windowing.windower {
            Windower::Sliding(sliding) => {
                self.take_sliding(sliding, windows, opened, timestamp, value)
            }
            Windower::Session(session) => {
                self.take_session(session, windows, opened, timestamp, value)
            }
        }
    }

    /// Closes the windows that the watermark `until` closes, and those that have changed
    /// since they closed; then frees those whose time is over.
    pub(super) fn close(
        &mut self,
        windows: &mut HeldWindows<F::State>,
        until: i64,
    ) -> Result<(), F::Error> {
        windows.take_closing(self.windowing, until, self.closing);
        for &place in &*self.closing {
            let window = windows.at(place);
            self.fold
                .close(self.context, &mut window.state, self.emitted)?;
            for out in self.emitted.drain(..) {
                self.sink.emit(window.id, out);
            }
            if self.windowing.wants_meta {
                let metadata = Metadata {
                    open: window.open.clamp(START_OF_TIME, END_OF_TIME),
                    close: window.close.clamp(START_OF_TIME, END_OF_TIME),
                    merged: window.merged.clone(),
                };
                self.sink.meta(window.id, metadata);
            }
        }
        windows.free(self.windowing, until);
        Ok(())
    }

    #[inline]
    fn take_sliding(
        &mut self,
        sliding: Sliding,
        windows: &mut HeldWindows<F::State>,
        opened: &mut i64,
        timestamp: i64,
        value: V,
    ) -> Result<(), F::Error> {
        // Nearly always the same window as for the value before.
        if sliding.is_tumbling()
            && let Some(place) = windows.last_place()
            && let last = windows.at(place)
            && last.open <= timestamp
            && timestamp < last.close
        {
            return self.add(windows.change(place), timestamp, value);
        }
        let (first, last) = sliding.ids(timestamp).into_inner();
        let mut place = windows.place_of_id(first);
        for id in first..last {
            let value = self.fold.clone_value(self.context, &value);
            let window = self.sliding_window(sliding, windows, opened, place, id)?;
            self.add(window, timestamp, value)?;
            place += 1;
        }
        let window = self.sliding_window(sliding, windows, opened, place, last)?;
        self.add(window, timestamp, value)
    }

    /// The window `id`, which is at `place` or is opened there.
    fn sliding_window<'w>(
        &mut self,
        sliding: Sliding,
        windows: &'w mut HeldWindows<F::State>,
        opened: &mut i64,
        place: usize,
        id: i64,
    ) -> Result<&'w mut Window<F::State>, F::Error> {
        if windows.get(place).is_none_or(|window| window.id != id) {
            let (open, close) = sliding.bounds(id);
            windows.insert(place, self.open(opened, id, open, close)?);
        }
        Ok(windows.change(place))
    }

    fn take_session(
        &mut self,
        session: Session,
        windows: &mut HeldWindows<F::State>,
        opened: &mut i64,
        timestamp: i64,
        value: V,
    ) -> Result<(), F::Error> {
        let place = session.place(windows, timestamp);
        match place {
            Place::New(place) => {
                let id = match self.windowing.session_ids {
                    SessionIds::Counts => *opened,
                    SessionIds::Times => timestamp,
                };
                let window = self.open(opened, id, timestamp, timestamp)?;
                windows.insert(place, window);
                self.add(windows.change(place), timestamp, value)
            }
            Place::Join(place) => {
                let window = windows.change(place);
                window.open = window.open.min(timestamp);
                window.close = window.close.max(timestamp);
                self.add(window, timestamp, value)
            }
            Place::Bridge(place) => {
                self.add(windows.change(place), timestamp, value)?;
                let later = windows.absorb_next(place, self.windowing.wants_meta);
                let window = windows.at(place);
                if let Some(later) = later {
                    self.fold
                        .merge(self.context, &mut window.state, later, self.emitted)?;
                    self.forward(window.id);
                }
                Ok(())
            }
        }
    }

    fn open(
        &self,
        opened: &mut i64,
        id: i64,
        open: i64,
        close: i64,
    ) -> Result<Window<F::State>, F::Error> {
        let window = Window {
            id,
            opened: *opened,
            open,
            close,
            merged: Vec::new(),
            has_changed: true,
            state: self.fold.open(self.context)?,
        };
        *opened += 1;
        Ok(window)
    }

    #[inline]
    fn add(
        &mut self,
        window: &mut Window<F::State>,
        timestamp: i64,
        value: V,
    ) -> Result<(), F::Error> {
        self.fold.add(
            self.context,
            &mut window.state,
            timestamp,
            value,
            self.emitted,
        )?;
        self.forward(window.id);
        Ok(())
    }

    /// Sends on what the last call emitted.
    #[inline]
    fn forward(&mut self, id: i64) {
        for out in self.emitted.drain(..) {
            self.sink.emit(id, out);
        }
    }
}
