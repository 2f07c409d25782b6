//! Windows again, as plainly as can be: the rules written down over whole lists,
//! for the tests to compare with.
//!
//! Every value and window of the key is in a list that is searched and sorted anew
//! for each question. Numbers are of 128 bits, so that nothing overflows.

use std::collections::BTreeSet;

use crate::window::{Clock, END_OF_TIME, Event, LATE_SESSION_ID, Metadata, START_OF_TIME};

/// What the logic of the tests emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Added(u32),
    /// The session's own values, and those that joined it.
    Merged(Vec<u32>, Vec<u32>),
    Closed(Vec<u32>),
}

pub(super) type Events = Vec<Event<u32, Out>>;

/// How time is cut into windows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Sliding {
        length: i64,
        offset: i64,
        align_to: i64,
    },
    Session {
        gap: i64,
    },
}

struct Window {
    id: i128,
    open: i128,
    close: i128,
    merged: BTreeSet<i128>,
    values: Vec<u32>,
    /// How many values it had when it last closed; it only gets more.
    closed_with: usize,
}

/// The windows of one key.
pub(super) struct Reference {
    clock: Clock,
    cut: Cut,
    lateness: i128,
    ordered: bool,
    base: i128,
    system_at_base: i128,
    now: i128,
    queue: Vec<(i128, u32)>,
    /// In the order in which they were opened.
    windows: Vec<Window>,
    sessions: i128,
    events: Events,
}

impl Reference {
    pub(super) fn new(clock: Clock, cut: Cut, lateness: i64, ordered: bool, now: i64) -> Self {
        Self {
            clock,
            cut,
            lateness: lateness.into(),
            ordered,
            base: START_OF_TIME.into(),
            system_at_base: now.into(),
            now: now.into(),
            queue: Vec::new(),
            windows: Vec::new(),
            sessions: 0,
            events: Vec::new(),
        }
    }

    pub(super) fn on_batch(&mut self, now: i64, values: &[(i64, u32)]) -> Events {
        self.now = self.now.max(now.into());
        for &(timestamp, value) in values {
            let mut timestamp = i128::from(moment(timestamp.into()));
            match self.clock {
                Clock::System => timestamp = self.now,
                Clock::Event { wait } => {
                    let candidate = timestamp - i128::from(wait);
                    if candidate > self.watermark() {
                        self.base = candidate;
                        self.system_at_base = self.now;
                    }
                }
            }
            if timestamp < self.watermark() - self.lateness {
                for id in self.late_ids(timestamp) {
                    self.events.push(Event::Late(narrow(id), value));
                }
            } else {
                self.queue.push((timestamp, value));
            }
        }
        self.flush(self.watermark())
    }

    pub(super) fn on_notify(&mut self, now: i64) -> Events {
        self.on_batch(now, &[])
    }

    pub(super) fn on_eof(&mut self) -> Events {
        self.flush(i128::MAX)
    }

    /// The system time at which something is to be done.
    pub(super) fn notify_at(&self) -> Option<i64> {
        let windows = self.windows.iter().map(|window| {
            let due = self.due(window);
            let is_closed = window.closed_with == window.values.len();
            due + if is_closed { self.lateness } else { 0 }
        });
        let values = self.queue.iter().map(|(timestamp, _)| *timestamp);
        let due = windows.chain(values).min()?;
        let at = match self.clock {
            Clock::System => due,
            Clock::Event { .. } => self.system_at_base + (due - self.base),
        };
        let end = i128::from(END_OF_TIME);
        (due < end && at <= end).then(|| narrow(at))
    }

    fn watermark(&self) -> i128 {
        let watermark = match self.clock {
            Clock::System => self.now,
            Clock::Event { .. } => self.base + (self.now - self.system_at_base),
        };
        watermark.min(i128::from(END_OF_TIME) - 1)
    }

    fn late_ids(&self, timestamp: i128) -> Vec<i128> {
        match self.cut {
            Cut::Sliding { .. } => self.sliding_ids(timestamp),
            Cut::Session { .. } => vec![LATE_SESSION_ID.into()],
        }
    }

    /// Looks at every window that could hold the timestamp.
    fn sliding_ids(&self, timestamp: i128) -> Vec<i128> {
        let Cut::Sliding { length, offset, .. } = self.cut else {
            return Vec::new();
        };
        let guess = (timestamp - self.bounds(0).0) / i128::from(offset);
        let around = i128::from(length / offset) + 2;
        (guess - around..=guess + around)
            .filter(|&id| {
                let (open, close) = self.bounds(id);
                open <= timestamp && timestamp < close
            })
            .collect()
    }

    fn bounds(&self, id: i128) -> (i128, i128) {
        let Cut::Sliding {
            length,
            offset,
            align_to,
        } = self.cut
        else {
            return (0, 0);
        };
        let open = i128::from(align_to) + id * i128::from(offset);
        (open, open + i128::from(length))
    }

    /// The watermark that closes a window.
    fn due(&self, window: &Window) -> i128 {
        match self.cut {
            Cut::Sliding { .. } => window.close,
            Cut::Session { gap } => window.close + i128::from(gap) + 1,
        }
    }

    fn flush(&mut self, watermark: i128) -> Events {
        let mut due = std::mem::take(&mut self.queue);
        if self.ordered {
            due.sort_by_key(|(timestamp, _)| *timestamp);
            let later = due.partition_point(|(timestamp, _)| *timestamp <= watermark);
            self.queue = due.split_off(later);
        }
        for (timestamp, value) in due {
            match self.cut {
                Cut::Sliding { .. } => self.take_sliding(timestamp, value),
                Cut::Session { gap } => self.take_session(gap.into(), timestamp, value),
            }
        }
        self.close(watermark);
        std::mem::take(&mut self.events)
    }

    fn take_sliding(&mut self, timestamp: i128, value: u32) {
        for id in self.sliding_ids(timestamp) {
            if self.windows.iter().all(|window| window.id != id) {
                let (open, close) = self.bounds(id);
                self.open(id, open, close);
            }
            for window in self.windows.iter_mut().filter(|window| window.id == id) {
                window.values.push(value);
                self.events.push(Event::Emit(narrow(id), Out::Added(value)));
            }
        }
    }

    fn take_session(&mut self, gap: i128, timestamp: i128, value: u32) {
        let near =
            |window: &Window| window.open - gap <= timestamp && timestamp <= window.close + gap;
        if !self.windows.iter().any(near) {
            self.open(self.sessions, timestamp, timestamp);
            self.sessions += 1;
        }
        let (mut joined, apart): (Vec<_>, Vec<_>) = self.windows.drain(..).partition(near);
        self.windows = apart;
        joined.sort_by_key(|window| window.open);
        let mut joined = joined.into_iter();
        let mut session = joined.next().unwrap();
        let id = narrow(session.id);
        session.open = session.open.min(timestamp);
        session.close = session.close.max(timestamp);
        session.values.push(value);
        self.events.push(Event::Emit(id, Out::Added(value)));
        for later in joined {
            let merged = Out::Merged(session.values.clone(), later.values.clone());
            self.events.push(Event::Emit(id, merged));
            session.close = session.close.max(later.close);
            session.merged.insert(later.id);
            session.merged.extend(later.merged);
            session.values.extend(later.values);
        }
        self.windows.push(session);
        self.windows.sort_by_key(|window| window.id);
    }

    fn open(&mut self, id: i128, open: i128, close: i128) {
        self.windows.push(Window {
            id,
            open,
            close,
            merged: BTreeSet::new(),
            values: Vec::new(),
            closed_with: 0,
        });
    }

    fn close(&mut self, watermark: i128) {
        let mut windows = std::mem::take(&mut self.windows);
        for window in &mut windows {
            let has_changed = window.closed_with < window.values.len();
            if self.due(window) > watermark || !has_changed {
                continue;
            }
            window.closed_with = window.values.len();
            let id = narrow(window.id);
            self.events
                .push(Event::Emit(id, Out::Closed(window.values.clone())));
            let metadata = Metadata {
                open: moment(window.open),
                close: moment(window.close),
                merged: window.merged.iter().copied().map(narrow).collect(),
            };
            self.events.push(Event::Meta(id, metadata));
        }
        windows
            .retain(|window| watermark < i128::MAX && self.due(window) + self.lateness > watermark);
        self.windows = windows;
    }
}

/// Back to 64 bits.
fn narrow(number: i128) -> i64 {
    i64::try_from(number).unwrap()
}

/// Back to 64 bits, and at the ends of time if it lies beyond.
fn moment(number: i128) -> i64 {
    narrow(number.clamp(START_OF_TIME.into(), END_OF_TIME.into()))
}
