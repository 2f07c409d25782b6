//! What the tests drive: one key whose windows collect their values.

use std::convert::Infallible;

use crate::clock::Micros;
use crate::window::reference::{Cut, Events, Out};
use crate::window::{Clock, Event, Fold, KeyWindows, SessionIds, WindowStep, Windower, Windowing};

/// Collects values, and tells of everything that happens.
pub(super) struct Collect;

impl Fold<u32> for Collect {
    type State = Vec<u32>;
    type Out = Out;
    type Error = Infallible;
    type Context<'a> = ();

    fn open(&self, (): ()) -> Result<Vec<u32>, Infallible> {
        Ok(Vec::new())
    }

    fn add(
        &self,
        (): (),
        values: &mut Vec<u32>,
        _timestamp: i64,
        value: u32,
        emit: &mut Vec<Out>,
    ) -> Result<(), Infallible> {
        values.push(value);
        emit.push(Out::Added(value));
        Ok(())
    }

    fn merge(
        &self,
        (): (),
        values: &mut Vec<u32>,
        later: Vec<u32>,
        emit: &mut Vec<Out>,
    ) -> Result<(), Infallible> {
        emit.push(Out::Merged(values.clone(), later.clone()));
        values.extend(later);
        Ok(())
    }

    fn close(&self, (): (), values: &mut Vec<u32>, emit: &mut Vec<Out>) -> Result<(), Infallible> {
        emit.push(Out::Closed(values.clone()));
        Ok(())
    }

    fn clone_value(&self, (): (), value: &u32) -> u32 {
        *value
    }
}

impl From<Cut> for Windower {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Sliding {
                length,
                offset,
                align_to,
            } => Self::sliding(length, offset, align_to),
            Cut::Session { gap } => Self::session(gap),
        }
        .unwrap()
    }
}

/// One key, with its step.
pub(super) struct Driver {
    pub(super) step: WindowStep<u32, Collect>,
    pub(super) key: KeyWindows<u32, Collect>,
}

impl Driver {
    pub(super) fn new(clock: Clock, cut: Cut, ordered: bool, now: i64) -> Self {
        Self::with_lateness(clock, cut, 0, ordered, now)
    }

    pub(super) fn with_lateness(
        clock: Clock,
        cut: Cut,
        lateness: i64,
        ordered: bool,
        now: i64,
    ) -> Self {
        let windowing = Windowing {
            clock,
            windower: cut.into(),
            lateness,
            ordered,
            wants_late: true,
            wants_meta: true,
            session_ids: SessionIds::Counts,
        };
        Self {
            step: WindowStep::new(windowing, Collect),
            key: KeyWindows::new(Micros(now)),
        }
    }

    pub(super) fn on_batch(&mut self, now: i64, values: &[(i64, u32)]) -> Events {
        let mut events = Vec::new();
        let values = values.iter().copied().map(Ok);
        self.key
            .on_batch(&mut self.step, (), Micros(now), values, &mut events)
            .unwrap();
        sorted_ids(events)
    }

    pub(super) fn on_notify(&mut self, now: i64) -> Events {
        let mut events = Vec::new();
        self.key
            .on_notify(&mut self.step, (), Micros(now), &mut events)
            .unwrap();
        sorted_ids(events)
    }

    pub(super) fn on_eof(&mut self) -> Events {
        let mut events = Vec::new();
        self.key.on_eof(&mut self.step, (), &mut events).unwrap();
        sorted_ids(events)
    }

    pub(super) fn notify_at(&self) -> Option<i64> {
        self.key.notify_at(&self.step).map(|at| at.0)
    }
}

/// The ids of merged sessions are a set.
fn sorted_ids(mut events: Events) -> Events {
    for event in &mut events {
        if let Event::Meta(_, metadata) = event {
            metadata.merged.sort_unstable();
        }
    }
    events
}
