//! The native form of windowing: `millstream_engine::window` over Python objects.
//!
//! It stands in for the built-in clocks and windowers only. A class that a user wrote,
//! or derived from ours, runs composed.

mod clock;
mod fold;
mod key;
mod ports;
mod saved;
mod stream;

pub(crate) use clock::EventTime;
pub(crate) use fold::WindowFold;
pub(crate) use key::WindowStepBuilder;
pub(crate) use stream::StreamStepBuilder;

use millstream_engine::window::{SessionIds, Windower, Windowing};
use pyo3::prelude::*;
use pyo3::types::PyDelta;

use crate::time::{clamped_micros, span_micros};

const PACKAGE: &str = "millstream.operators.windowing";

/// The clock and the windower of a step.
pub(crate) struct NativeWindows {
    pub(crate) time: EventTime,
    pub(crate) windowing: Windowing,
    /// Only where the stream has one watermark, in microseconds.
    pub(crate) stream_idle_timeout: Option<i64>,
}

/// The clock and the windower of a step, if both have a native form.
pub(crate) fn read(step: &Bound<'_, PyAny>) -> PyResult<Option<NativeWindows>> {
    let Some(clock) = clock::read(&step.getattr("clock")?)? else {
        return Ok(None);
    };
    let Some(windower) = read_windower(&step.getattr("windower")?)? else {
        return Ok(None);
    };
    let windowing = Windowing {
        clock: clock.clock,
        windower,
        lateness: clock.lateness,
        // `count_window` has no such parameter, as the order doesn't matter to it.
        ordered: match step.getattr_opt("ordered")? {
            Some(ordered) => ordered.is_truthy()?,
            None => false,
        },
        wants_late: true,
        wants_meta: true,
        session_ids: match clock.stream_idle_timeout {
            Some(_) => SessionIds::Times,
            None => SessionIds::Counts,
        },
    };
    Ok(Some(NativeWindows {
        time: clock.time,
        windowing,
        stream_idle_timeout: clock.stream_idle_timeout,
    }))
}

fn read_windower(windower: &Bound<'_, PyAny>) -> PyResult<Option<Windower>> {
    let span = |name: &str| -> PyResult<Option<i64>> {
        let value = windower.getattr(name)?;
        Ok(value
            .cast::<PyDelta>()
            .ok()
            .and_then(|delta| span_micros(delta)))
    };
    let align_to = || clamped_micros(&windower.getattr("align_to")?);
    if is_exactly(windower, "TumblingWindower")? {
        let Some(length) = span("length")? else {
            return Ok(None);
        };
        return Ok(Windower::tumbling(length, align_to()?));
    }
    if is_exactly(windower, "SlidingWindower")? {
        let (Some(length), Some(offset)) = (span("length")?, span("offset")?) else {
            return Ok(None);
        };
        return Ok(Windower::sliding(length, offset, align_to()?));
    }
    if is_exactly(windower, "SessionWindower")? {
        // A longer gap than there is time is as good as the longest.
        return Ok(Windower::session(span("gap")?.unwrap_or(i64::MAX)));
    }
    Ok(None)
}

/// Whether an object is of one of our classes itself: a subclass may do anything.
fn is_exactly(object: &Bound<'_, PyAny>, class: &str) -> PyResult<bool> {
    let class = object.py().import(PACKAGE)?.getattr(class)?;
    Ok(object.get_type().is(&class))
}

/// The clock that a join over windows wraps around the user's, since its values have
/// the number of their side beside them.
fn labeled_clock<'py>(clock: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let class = clock
        .py()
        .import("millstream.operators.windowing.join_window")?
        .getattr("_LabeledClock")?;
    if clock.get_type().is(&class) {
        return clock.getattr("clock").map(Some);
    }
    Ok(None)
}
