//! The open windows of one key, in the order of time.
//!
//! Sliding windows are ordered by their id, which is the order of both their ends;
//! sessions don't overlap, so they too open and close in one order. Therefore the
//! windows that the watermark closes are always the first ones, and the place of a
//! timestamp is found by bisection.

use std::collections::VecDeque;

use crate::window::Windower;

/// An open window.
#[derive(Debug)]
pub(super) struct Window<S> {
    pub(super) id: i64,
    /// Which of the windows of its key it was to open.
    pub(super) opened: i64,
    pub(super) open: i64,
    pub(super) close: i64,
    /// The sessions that became part of this one.
    pub(super) merged: Vec<i64>,
    /// The user's state.
    pub(super) state: S,
}

/// The open windows of one key.
#[derive(Debug)]
pub(super) struct OpenWindows<S> {
    windows: VecDeque<Window<S>>,
}

impl<S> Default for OpenWindows<S> {
    fn default() -> Self {
        Self {
            windows: VecDeque::new(),
        }
    }
}

impl<S> OpenWindows<S> {
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

    pub(super) fn last_mut(&mut self) -> Option<&mut Window<S>> {
        self.windows.back_mut()
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
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Window<S>> {
        self.windows.remove(place)
    }

    /// The watermark that closes the first window.
    pub(super) fn first_due(&self, windower: &Windower) -> Option<i64> {
        self.windows.front().map(|first| windower.due(first.close))
    }

    /// Moves all windows that the watermark `until` closes to `due`, in the order in
    /// which they were opened.
    pub(super) fn take_due(&mut self, windower: &Windower, until: i64, due: &mut Vec<Window<S>>) {
        while self.first_due(windower).is_some_and(|first| first <= until) {
            due.extend(self.windows.pop_front());
        }
        due.sort_unstable_by_key(|window| window.opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(id: i64, opened: i64) -> Window<()> {
        Window {
            id,
            opened,
            open: id * 10,
            close: id * 10 + 10,
            merged: Vec::new(),
            state: (),
        }
    }

    #[test]
    fn windows_close_in_the_order_they_were_opened() {
        let windower = Windower::tumbling(10, 0).unwrap();
        let mut windows = OpenWindows::default();
        for (opened, id) in [(0, 7), (1, 3), (2, 5), (3, 9)] {
            let place = windows.place_of_id(id);
            windows.insert(place, window(id, opened));
        }
        assert_eq!(windows.place_of_id(3), 0);
        assert_eq!(windows.place_of_id(4), 1);
        assert_eq!(windows.place_after(70), 3);
        assert_eq!(windows.place_after(69), 2);
        assert_eq!(windows.first_due(&windower), Some(40));
        let mut due = Vec::new();
        windows.take_due(&windower, 80, &mut due);
        let ids: Vec<i64> = due.iter().map(|window| window.id).collect();
        assert_eq!(ids, [7, 3, 5]);
        assert_eq!(windows.first_due(&windower), Some(100));
    }
}
