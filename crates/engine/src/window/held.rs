//! The windows that a key holds, in the order of time: those that are open, and those
//! that have closed but stay for values that come late.
//!
//! Sliding windows are ordered by their id, which is the order of both their ends;
//! sessions don't overlap, so they too open and close in one order. Therefore the
//! windows that the watermark closes, and those that it frees, are always the first
//! ones, and the place of a timestamp is found by bisection.

use std::collections::VecDeque;

use crate::window::Windowing;

/// A window.
#[derive(Debug)]
pub(super) struct Window<S> {
    pub(super) id: i64,
    /// Which of the windows of its key it was to open.
    pub(super) opened: i64,
    pub(super) open: i64,
    pub(super) close: i64,
    /// The sessions that became part of this one.
    pub(super) merged: Vec<i64>,
    /// Whether there is something in it that its result, if any, lacks.
    pub(super) has_changed: bool,
    /// The user's state.
    pub(super) state: S,
}

/// The windows of one key.
#[derive(Debug)]
pub(super) struct HeldWindows<S> {
    windows: VecDeque<Window<S>>,
    /// All windows before this place have closed, and have not changed since.
    first_changed: usize,
}

impl<S> Default for HeldWindows<S> {
    fn default() -> Self {
        Self {
            windows: VecDeque::new(),
            first_changed: 0,
        }
    }
}

/// Windows in the order of time.
impl<S> FromIterator<Window<S>> for HeldWindows<S> {
    fn from_iter<T: IntoIterator<Item = Window<S>>>(windows: T) -> Self {
        let windows: VecDeque<Window<S>> = windows.into_iter().collect();
        let first_changed = windows.iter().position(|window| window.has_changed);
        Self {
            first_changed: first_changed.unwrap_or(windows.len()),
            windows,
        }
    }
}

impl<S> HeldWindows<S> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Window<S>> {
        self.windows.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Window<S>> {
        self.windows.get(place)
    }

    /// The window at a place where there is one.
    pub(super) fn at(&mut self, place: usize) -> &mut Window<S> {
        &mut self.windows[place]
    }

    /// As [`at`](Self::at), to change what is in it.
    pub(super) fn change(&mut self, place: usize) -> &mut Window<S> {
        self.first_changed = self.first_changed.min(place);
        let window = &mut self.windows[place];
        window.has_changed = true;
        window
    }

    /// The place of the last window, if there is one.
    pub(super) fn last_place(&self) -> Option<usize> {
        self.windows.len().checked_sub(1)
    }

    /// The place of the first window with this id or a greater one, among sliding
    /// windows.
    pub(super) fn place_of_id(&self, id: i64) -> usize {
        match self.windows.back() {
            Some(last) if last.id >= id => self.windows.partition_point(|window| window.id < id),
            _ => self.windows.len(),
        }
    }

    /// The place of the first window that opens after `timestamp`.
    pub(super) fn place_after(&self, timestamp: i64) -> usize {
        match self.windows.back() {
            Some(last) if last.open > timestamp => self
                .windows
                .partition_point(|window| window.open <= timestamp),
            _ => self.windows.len(),
        }
    }

    pub(super) fn insert(&mut self, place: usize, window: Window<S>) {
        self.windows.insert(place, window);
        self.first_changed = self.first_changed.min(place);
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Window<S>> {
        self.windows.remove(place)
    }

    /// The watermark at which the next window closes, or is freed.
    pub(super) fn first_due(&self, windowing: &Windowing) -> Option<i64> {
        let closes = self.windows.get(self.first_changed);
        let closes = closes.map(|window| windowing.windower.due(window.close));
        let frees = self.windows.front();
        let frees = frees.map(|window| windowing.freed_at(window.close));
        closes.into_iter().chain(frees).min()
    }

    /// Finds the windows that the watermark `until` closes and that have changed, and
    /// puts their places into `places`, in the order in which they were opened.
    ///
    /// They count as unchanged from now on: they are about to have their result.
    pub(super) fn take_closing(
        &mut self,
        windowing: &Windowing,
        until: i64,
        places: &mut Vec<usize>,
    ) {
        places.clear();
        let mut place = self.first_changed;
        while let Some(window) = self.windows.get_mut(place)
            && windowing.windower.due(window.close) <= until
        {
            if std::mem::take(&mut window.has_changed) {
                places.push(place);
            }
            place += 1;
        }
        self.first_changed = place;
        places.sort_unstable_by_key(|&place| self.windows[place].opened);
    }

    /// Lets go of the windows that the watermark `until` frees, all of which have
    /// closed.
    pub(super) fn free(&mut self, windowing: &Windowing, until: i64) {
        while self
            .windows
            .front()
            .is_some_and(|first| windowing.freed_at(first.close) <= until)
        {
            self.windows.pop_front();
            self.first_changed -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{Clock, SessionIds, Windower};

    fn window(id: i64, opened: i64) -> Window<()> {
        Window {
            id,
            opened,
            open: id * 10,
            close: id * 10 + 10,
            merged: Vec::new(),
            has_changed: true,
            state: (),
        }
    }

    fn held(lateness: i64) -> (HeldWindows<()>, Windowing) {
        let windowing = Windowing {
            clock: Clock::Event { wait: 0 },
            windower: Windower::tumbling(10, 0).unwrap(),
            lateness,
            ordered: true,
            wants_late: true,
            wants_meta: true,
            session_ids: SessionIds::Counts,
        };
        let mut windows = HeldWindows::default();
        for (opened, id) in [(0, 7), (1, 3), (2, 5), (3, 9)] {
            let place = windows.place_of_id(id);
            windows.insert(place, window(id, opened));
        }
        (windows, windowing)
    }

    fn closing(windows: &mut HeldWindows<()>, windowing: &Windowing, until: i64) -> Vec<i64> {
        let mut places = Vec::new();
        windows.take_closing(windowing, until, &mut places);
        places
            .into_iter()
            .map(|place| windows.at(place).id)
            .collect()
    }

    #[test]
    fn windows_close_in_the_order_they_were_opened() {
        let (mut windows, windowing) = held(0);
        assert_eq!(windows.place_of_id(3), 0);
        assert_eq!(windows.place_of_id(4), 1);
        assert_eq!(windows.place_after(70), 3);
        assert_eq!(windows.place_after(69), 2);
        assert_eq!(windows.first_due(&windowing), Some(40));
        assert_eq!(closing(&mut windows, &windowing, 80), [7, 3, 5]);
        windows.free(&windowing, 80);
        assert_eq!(windows.first_due(&windowing), Some(100));
    }

    #[test]
    fn closed_windows_stay_and_close_again_if_they_change() {
        let (mut windows, windowing) = held(25);
        assert_eq!(closing(&mut windows, &windowing, 80), [7, 3, 5]);
        windows.free(&windowing, 80);
        // Window 3 is gone, at 65; window 5 goes at 85.
        assert_eq!(windows.place_of_id(5), 0);
        assert_eq!(windows.first_due(&windowing), Some(85));
        windows.change(1);
        assert_eq!(windows.first_due(&windowing), Some(80));
        assert_eq!(closing(&mut windows, &windowing, 80), [7]);
        assert_eq!(closing(&mut windows, &windowing, 99), [] as [i64; 0]);
        windows.free(&windowing, 99);
        assert_eq!(windows.first_due(&windowing), Some(100));
    }
}
