//! Which session a timestamp belongs to, and which sessions it makes one.
//!
//! The sessions of a key never overlap and are always more than the gap apart, so
//! a timestamp can be near at most two: the last one that opened before it and the
//! first one after it. If it is near both, it bridges them: the value joins the
//! earlier session, and the later one becomes part of it.

use crate::window::Session;
use crate::window::held::HeldWindows;

/// Where a timestamp belongs among the sessions of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a new session, at this place.
    New(usize),
    /// To the session at this place.
    Join(usize),
    /// To the session at this place, and the one after becomes part of it.
    Bridge(usize),
}

impl Session {
    /// Finds the place of a timestamp.
    pub(super) fn place<S>(self, sessions: &HeldWindows<S>, timestamp: i64) -> Place {
        let after = sessions.place_after(timestamp);
        let before = after.checked_sub(1).filter(|&place| {
            sessions.get(place).is_some_and(|session| {
                timestamp <= session.close || self.joins(session.close, timestamp)
            })
        });
        let joins_next = sessions
            .get(after)
            .is_some_and(|session| self.joins(timestamp, session.open));
        match (before, joins_next) {
            (None, false) => Place::New(after),
            (None, true) => Place::Join(after),
            (Some(before), false) => Place::Join(before),
            (Some(before), true) => Place::Bridge(before),
        }
    }
}

impl<S> HeldWindows<S> {
    /// Makes the session after `place` part of the one there, and returns its state.
    ///
    /// All ids that either session has taken in are kept if `keep_ids`.
    pub(super) fn absorb_next(&mut self, place: usize, keep_ids: bool) -> Option<S> {
        let next = self.remove(place + 1)?;
        let session = self.change(place);
        session.close = session.close.max(next.close);
        if keep_ids {
            session.merged.push(next.id);
            session.merged.extend(next.merged);
        }
        Some(next.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Windower;
    use crate::window::held::Window;

    fn gap(gap: i64) -> Session {
        match Windower::session(gap) {
            Some(Windower::Session(session)) => session,
            other => panic!("no session: {other:?}"),
        }
    }

    fn sessions(bounds: &[(i64, i64, i64)]) -> HeldWindows<char> {
        let mut sessions = HeldWindows::default();
        for &(id, open, close) in bounds {
            let place = sessions.place_after(open);
            sessions.insert(
                place,
                Window {
                    id,
                    opened: id,
                    open,
                    close,
                    merged: Vec::new(),
                    has_changed: true,
                    state: 's',
                },
            );
        }
        sessions
    }

    #[test]
    fn timestamp_finds_its_session() {
        let sessions = sessions(&[(0, 100, 120), (1, 135, 140), (2, 0, 0)]);
        let place = |timestamp| gap(10).place(&sessions, timestamp);
        assert_eq!(place(-11), Place::New(0));
        assert_eq!(place(-10), Place::Join(0));
        assert_eq!(place(10), Place::Join(0));
        assert_eq!(place(11), Place::New(1));
        assert_eq!(place(89), Place::New(1));
        assert_eq!(place(90), Place::Join(1));
        assert_eq!(place(110), Place::Join(1));
        assert_eq!(place(124), Place::Join(1));
        assert_eq!(place(125), Place::Bridge(1));
        assert_eq!(place(130), Place::Bridge(1));
        assert_eq!(place(131), Place::Join(2));
        assert_eq!(place(150), Place::Join(2));
        assert_eq!(place(151), Place::New(3));
    }

    #[test]
    fn gap_of_nothing_joins_only_equal_timestamps() {
        let sessions = sessions(&[(0, 5, 5)]);
        assert_eq!(gap(0).place(&sessions, 5), Place::Join(0));
        assert_eq!(gap(0).place(&sessions, 6), Place::New(1));
        assert_eq!(gap(0).place(&sessions, 4), Place::New(0));
    }

    #[test]
    fn ids_are_kept_through_further_merges() {
        let mut sessions = sessions(&[(0, 0, 0), (1, 20, 20), (2, 40, 40)]);
        sessions.absorb_next(1, true);
        sessions.absorb_next(0, true);
        let session = sessions.get(0).unwrap();
        assert_eq!(session.merged, [1, 2]);
        assert_eq!((session.open, session.close), (0, 40));
        assert!(sessions.get(1).is_none());
        assert_eq!(sessions.absorb_next(0, true), None);
    }
}
