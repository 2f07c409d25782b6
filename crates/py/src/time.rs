//! Dates between Python and the engine.

use std::time::Duration;

use millstream_engine::clock::Micros;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDelta, PyDeltaAccess, PyTzInfo};

use crate::callables::{describe, type_name};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A moment that Python code returned, or None.
///
/// Any time zone will do, since an aware datetime is one moment whatever its zone.
pub(crate) fn moment(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<Micros>> {
    if value.is_none() {
        return Ok(None);
    }
    let date = value.cast::<PyDateTime>().map_err(|_| {
        PyTypeError::new_err(format!(
            "`{what}` must return a `datetime` or `None`; got {}, a `{}`",
            describe(value),
            type_name(value)
        ))
    })?;
    let offset = date.call_method0(pyo3::intern!(date.py(), "utcoffset"))?;
    let Ok(offset) = offset.cast_into::<PyDelta>() else {
        return Err(PyValueError::new_err(format!(
            "`{what}` must return an aware `datetime`; got {}, which has no time zone; \
             make it with `datetime.now(timezone.utc)` or the like",
            describe(value)
        )));
    };
    let local = since_epoch(date)?;
    Ok(Some(Micros(local - micros(&offset))))
}

/// Microseconds from 1970 to the date, both read without their zones.
fn since_epoch(date: &Bound<'_, PyDateTime>) -> PyResult<i64> {
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let py = date.py();
    let epoch = EPOCH.get_or_try_init(py, || {
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, None::<&Bound<'_, PyTzInfo>>).map(Bound::unbind)
    })?;
    let kwargs = pyo3::types::PyDict::new(py);
    kwargs.set_item("tzinfo", py.None())?;
    let naive = date.call_method("replace", (), Some(&kwargs))?;
    let span = naive.sub(epoch)?;
    Ok(micros(span.cast::<PyDelta>()?))
}

fn micros(delta: &Bound<'_, PyDelta>) -> i64 {
    i64::from(delta.get_days()) * MICROS_PER_DAY
        + i64::from(delta.get_seconds()) * MICROS_PER_SECOND
        + i64::from(delta.get_microseconds())
}

/// A span that must not be negative.
pub(crate) fn span(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Duration> {
    let delta = value.cast::<PyDelta>().map_err(|_| {
        PyTypeError::new_err(format!(
            "`{what}` must be a `datetime.timedelta`; got {}, a `{}`",
            describe(value),
            type_name(value)
        ))
    })?;
    u64::try_from(micros(delta))
        .map(Duration::from_micros)
        .map_err(|_| {
            PyValueError::new_err(format!(
                "`{what}` must not be negative; got {}",
                describe(value)
            ))
        })
}
