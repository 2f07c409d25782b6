//! Who has joined: decisions about connections without looking into them.

use std::time::Duration;

use crate::identity::{ProcessIndex, RunId};
use crate::wire::hello::{Purpose, Reason};

/// The two connections of a peer, as they come.
#[derive(Debug)]
pub(super) struct Seat<C> {
    pub(super) peer: ProcessIndex,
    run: Option<RunId>,
    beat: Duration,
    data: Option<C>,
    control: Option<C>,
    /// It has said that all of its connections stand.
    pub(super) is_ready: bool,
    /// It was told that all of ours do.
    pub(super) is_told: bool,
}

/// What is known of a peer from its greeting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) run: RunId,
    pub(super) purpose: Purpose,
    pub(super) beat: Duration,
}

/// What a peer brings when it has joined.
#[derive(Debug)]
pub(super) struct Seated<C> {
    pub(super) peer: ProcessIndex,
    pub(super) run: RunId,
    pub(super) beat: Duration,
    pub(super) data: C,
    pub(super) control: C,
}

impl<C> Seat<C> {
    pub(super) fn new(peer: ProcessIndex) -> Self {
        Self {
            peer,
            run: None,
            beat: Duration::ZERO,
            data: None,
            control: None,
            is_ready: false,
            is_told: false,
        }
    }

    /// Whether both connections stand.
    pub(super) fn is_taken(&self) -> bool {
        self.data.is_some() && self.control.is_some()
    }

    /// Whether a guest may sit here: unless another start of the process does, and is alive.
    pub(super) fn admit(&self, guest: &Guest, is_gone: impl Fn(&C) -> bool) -> Result<(), Reason> {
        if self.run == Some(guest.run) || self.connections().all(is_gone) {
            Ok(())
        } else {
            Err(Reason::Duplicate)
        }
    }

    /// Takes a connection; gives those in whose place it comes.
    pub(super) fn take(&mut self, guest: &Guest, connection: C) -> Vec<C> {
        let mut replaced = Vec::new();
        if self.run != Some(guest.run) {
            replaced = self.leave();
        }
        self.run = Some(guest.run);
        self.beat = guest.beat;
        match guest.purpose {
            Purpose::Data => replaced.extend(self.data.replace(connection)),
            Purpose::Control => {
                replaced.extend(self.control.replace(connection));
                self.is_ready = false;
                self.is_told = false;
            }
        }
        replaced
    }

    /// Whether this is the control connection, and not one that it replaced.
    pub(super) fn is_control(&self, is_it: impl Fn(&C) -> bool) -> bool {
        self.control.as_ref().is_some_and(is_it)
    }

    /// The peer is gone; gives its connections.
    pub(super) fn leave(&mut self) -> Vec<C> {
        let left = std::mem::replace(self, Self::new(self.peer));
        left.data.into_iter().chain(left.control).collect()
    }

    pub(super) fn run(&self) -> Option<RunId> {
        self.run
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &C> {
        self.data.iter().chain(&self.control)
    }

    pub(super) fn control(&self) -> Option<&C> {
        self.control.as_ref()
    }

    /// What there is, if it is all there.
    pub(super) fn seated(self) -> Option<Seated<C>> {
        Some(Seated {
            peer: self.peer,
            run: self.run?,
            beat: self.beat,
            data: self.data?,
            control: self.control?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: RunId = RunId([1; 16]);
    const TWO: RunId = RunId([2; 16]);

    fn guest(run: RunId, purpose: Purpose) -> Guest {
        Guest {
            run,
            purpose,
            beat: Duration::from_secs(1),
        }
    }

    #[test]
    fn seat_is_taken_by_both_connections_of_one_start() {
        let mut seat = Seat::new(ProcessIndex(1));
        assert_eq!(seat.take(&guest(ONE, Purpose::Data), 'a'), []);
        assert!(!seat.is_taken());
        assert_eq!(seat.take(&guest(TWO, Purpose::Control), 'b'), ['a']);
        assert!(!seat.is_taken());
        seat.take(&guest(TWO, Purpose::Data), 'c');
        assert!(seat.is_taken());
        let seated = seat.seated().unwrap();
        assert_eq!((seated.run, seated.data, seated.control), (TWO, 'c', 'b'));
    }

    #[test]
    fn another_start_is_admitted_only_when_the_first_is_gone() {
        let mut seat = Seat::new(ProcessIndex(1));
        let second = guest(TWO, Purpose::Data);
        assert_eq!(seat.admit(&second, |_| false), Ok(()));
        seat.take(&guest(ONE, Purpose::Data), 'a');
        seat.take(&guest(ONE, Purpose::Control), 'b');
        assert_eq!(seat.admit(&second, |_| false), Err(Reason::Duplicate));
        let is_half_gone = |connection: &char| *connection == 'a';
        assert_eq!(seat.admit(&second, is_half_gone), Err(Reason::Duplicate));
        assert_eq!(seat.admit(&second, |_| true), Ok(()));
    }

    #[test]
    fn same_start_may_come_again() {
        let mut seat = Seat::new(ProcessIndex(1));
        let first = guest(ONE, Purpose::Control);
        seat.take(&first, 'a');
        seat.is_ready = true;
        assert_eq!(seat.admit(&first, |_| false), Ok(()));
        assert_eq!(seat.take(&first, 'b'), ['a']);
        assert_eq!(seat.control(), Some(&'b'));
        assert!(!seat.is_ready);
    }

    #[test]
    fn who_leaves_takes_everything_along() {
        let mut seat = Seat::new(ProcessIndex(1));
        seat.take(&guest(TWO, Purpose::Data), 'a');
        assert!(!seat.is_control(|_| true));
        seat.take(&guest(TWO, Purpose::Control), 'b');
        assert!(seat.is_control(|connection| *connection == 'b'));
        assert!(!seat.is_control(|connection| *connection == 'a'));
        assert_eq!(seat.leave(), ['a', 'b']);
        assert_eq!(seat.run(), None);
    }
}
