//! Where the timestamps of values, and the system time, come from.

use std::sync::Arc;

use millstream_engine::clock::{Clock as _, Micros, SystemClock};
use millstream_engine::plan::StepId;
use millstream_engine::window::{Clock, END_OF_TIME, START_OF_TIME};
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyTuple};

use crate::callables::{calling, describe};
use crate::getter::Getter;
use crate::host::PyFailure;
use crate::logic::windows::{is_exactly, labeled_clock};
use crate::time::{clamped_micros, datetime_of, span_micros};

/// The Python side of a clock.
#[derive(Clone)]
pub(crate) struct EventTime(Arc<Getters>);

struct Getters {
    /// None for a system clock.
    timestamp: Option<Getter>,
    /// None if the time is that of this machine.
    now: Option<Py<PyAny>>,
    /// None if event time is taken to run as fast as system time.
    to_system_utc: Option<Py<PyAny>>,
    /// Whether a value is in a tuple, behind the number of its side.
    is_labeled: bool,
    clock: SystemClock,
}

/// What is read of one of our clocks.
pub(super) struct NativeClock {
    pub(super) time: EventTime,
    pub(super) clock: Clock,
    /// How late values may be, in microseconds.
    pub(super) lateness: i64,
    /// If there is one watermark for the whole stream: for how long a part of it may
    /// bring nothing, in microseconds, until it doesn't hold back the watermark.
    pub(super) stream_idle_timeout: Option<i64>,
}

/// Reads one of our clocks.
pub(super) fn read(clock: &Bound<'_, PyAny>) -> PyResult<Option<NativeClock>> {
    let inner = labeled_clock(clock)?;
    let is_labeled = inner.is_some();
    let clock = inner.as_ref().unwrap_or(clock);
    if is_exactly(clock, "SystemClock")? {
        let time = EventTime(Arc::new(Getters {
            timestamp: None,
            now: None,
            to_system_utc: None,
            is_labeled,
            clock: SystemClock::new(),
        }));
        return Ok(Some(NativeClock {
            time,
            clock: Clock::System,
            lateness: 0,
            stream_idle_timeout: None,
        }));
    }
    if !is_exactly(clock, "EventClock")? {
        return Ok(None);
    }
    // One that is longer than there is time is as good as the longest.
    let span = |name: &str| -> PyResult<i64> {
        let span = clock.getattr(name)?;
        let micros = span.cast::<PyDelta>().map_or(None, span_micros);
        Ok(micros.unwrap_or(i64::MAX))
    };
    let wait = span("wait_for_system_duration")?;
    let lateness = span("allowed_lateness")?;
    let stream_idle_timeout = if clock.getattr("scope")?.eq("stream")? {
        Some(span("_idle_timeout")?)
    } else {
        None
    };
    let now = clock.getattr("now_getter")?;
    let utc_now = clock
        .py()
        .import("millstream.operators.windowing._micros")?
        .getattr("utc_now")?;
    let to_system_utc = clock.getattr("to_system_utc")?;
    let time = EventTime(Arc::new(Getters {
        timestamp: Some(Getter::of(&clock.getattr("ts_getter")?)?),
        now: (!now.is(&utc_now)).then(|| now.unbind()),
        to_system_utc: (!to_system_utc.is_none()).then(|| to_system_utc.unbind()),
        is_labeled,
        clock: SystemClock::new(),
    }));
    Ok(Some(NativeClock {
        time,
        clock: Clock::Event { wait },
        lateness,
        stream_idle_timeout,
    }))
}

impl EventTime {
    /// The system time.
    pub(super) fn now(&self, py: Python<'_>, step: &StepId) -> Result<Micros, PyFailure> {
        let Some(now) = &self.0.now else {
            return Ok(self.0.clock.wall());
        };
        let failed = calling("now_getter");
        let now = now.bind(py).call0().map_err(&failed)?;
        checked_micros(&now, "the system time", step)
            .map(Micros)
            .map_err(failed)
    }

    /// The timestamp of a value. A system clock has none.
    pub(super) fn timestamp(
        &self,
        py: Python<'_>,
        step: &StepId,
        value: &Py<PyAny>,
    ) -> Result<i64, PyFailure> {
        let Some(getter) = &self.0.timestamp else {
            return Ok(0);
        };
        let failed = calling("ts_getter");
        let value = value.bind(py);
        let timestamp = if self.0.is_labeled {
            let pair = value
                .cast::<PyTuple>()
                .map_err(|error| failed(error.into()))?;
            let value = pair.get_item(1).map_err(&failed)?;
            getter.get(&value)
        } else {
            getter.get(value)
        };
        timestamp
            .and_then(|timestamp| checked_micros(&timestamp, "the timestamp of a value", step))
            .map_err(|error| failed(error).with_item(describe(value)))
    }

    /// Whether the user says when a timestamp is due.
    pub(super) fn has_own_due(&self) -> bool {
        self.0.to_system_utc.is_some()
    }

    /// When a timestamp is due, by what the user says.
    pub(super) fn own_due(
        &self,
        py: Python<'_>,
        timestamp: i64,
    ) -> Result<Option<Micros>, PyFailure> {
        let Some(to_system_utc) = &self.0.to_system_utc else {
            return Ok(None);
        };
        let due = datetime_of(py, timestamp.clamp(START_OF_TIME, END_OF_TIME))
            .and_then(|timestamp| to_system_utc.bind(py).call1((timestamp,)))
            .and_then(|due| crate::time::moment(&due, "to_system_utc"));
        due.map_err(calling("to_system_utc"))
    }
}

/// A moment, or the error that the composed form has for anything else.
fn checked_micros(value: &Bound<'_, PyAny>, what: &str, step: &StepId) -> PyResult<i64> {
    clamped_micros(value).or_else(|error| {
        value
            .py()
            .import("millstream.operators.windowing._micros")?
            .getattr("check_moment")?
            .call1((format!("{what} in step `{step}`"), value))?;
        Err(error)
    })
}
