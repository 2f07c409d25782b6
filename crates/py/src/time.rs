//! Dates between Python and the engine.

use std::time::Duration;

use millstream_engine::clock::Micros;
use millstream_engine::window::{END_OF_TIME, START_OF_TIME};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyTimeAccess, PyTzInfo, PyTzInfoAccess,
};

use crate::callables::{a_type, describe};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A moment that Python code returned, or None.
///
/// Any time zone will do, since an aware datetime is one moment whatever its zone.
pub(crate) fn moment(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<Micros>> {
    if value.is_none() {
        return Ok(None);
    }
    let Ok(date) = value.cast::<PyDateTime>() else {
        return Err(PyTypeError::new_err(format!(
            "`{what}` must return a `datetime` or `None`; got {}, {}",
            describe(value),
            a_type(value)
        )));
    };
    match micros_of(date)? {
        Some(micros) => Ok(Some(Micros(micros))),
        None => Err(PyValueError::new_err(format!(
            "`{what}` must return an aware `datetime`; got {}, which has no time zone; \
             make it with `datetime.now(timezone.utc)` or the like",
            describe(value)
        ))),
    }
}

/// An aware datetime, as microseconds; one in another zone that lies outside of the
/// years 1 to 9999 in UTC counts as their beginning or end.
pub(crate) fn clamped_micros(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let micros = micros_of(value.cast::<PyDateTime>()?)?;
    let micros = micros.ok_or_else(|| PyValueError::new_err("a naive datetime"))?;
    Ok(micros.clamp(START_OF_TIME, END_OF_TIME))
}

/// The datetime in UTC that is so many microseconds after 1970.
pub(crate) fn datetime_of(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY))?;
    let rest = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = i32::try_from(rest / MICROS_PER_SECOND)?;
    let micros = i32::try_from(rest % MICROS_PER_SECOND)?;
    epoch(py)?.add(PyDelta::new(py, days, seconds, micros, false)?)
}

/// Microseconds since 1970 in UTC; None for a naive datetime.
fn micros_of(date: &Bound<'_, PyDateTime>) -> PyResult<Option<i64>> {
    let Some(zone) = date.get_tzinfo() else {
        return Ok(None);
    };
    let local = Civil::of(date).micros();
    if zone.is(PyTzInfo::utc(date.py())?) {
        return Ok(Some(local));
    }
    let offset = date.call_method0(pyo3::intern!(date.py(), "utcoffset"))?;
    let Ok(offset) = offset.cast_into::<PyDelta>() else {
        return Ok(None);
    };
    Ok(Some(local - micros(&offset)))
}

/// A date and time of day, without a zone.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    micros_of_day: i64,
}

impl Civil {
    fn of(date: &Bound<'_, PyDateTime>) -> Self {
        let seconds = i64::from(date.get_hour()) * 3_600
            + i64::from(date.get_minute()) * 60
            + i64::from(date.get_second());
        Self {
            year: i64::from(date.get_year()),
            month: i64::from(date.get_month()),
            day: i64::from(date.get_day()),
            micros_of_day: seconds * MICROS_PER_SECOND + i64::from(date.get_microsecond()),
        }
    }

    /// Microseconds since 1970, in the proleptic Gregorian calendar.
    ///
    /// Counts years from March, so that a leap day is the last of its year, and years
    /// in cycles of 400, which are all of the same length.
    fn micros(&self) -> i64 {
        const DAYS_PER_CYCLE: i64 = 146_097;
        const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: i64 = 719_468;
        let year = self.year - i64::from(self.month <= 2);
        let year_of_cycle = year.rem_euclid(400);
        let month_from_march = (self.month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day - 1;
        let day_of_cycle =
            year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        let days = year.div_euclid(400) * DAYS_PER_CYCLE + day_of_cycle
            - DAYS_FROM_MARCH_OF_YEAR_0_TO_1970;
        days * MICROS_PER_DAY + self.micros_of_day
    }
}

/// 1970-01-01 00:00 UTC.
fn epoch(py: Python<'_>) -> PyResult<&Bound<'_, PyDateTime>> {
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = PyTzInfo::utc(py)?.to_owned();
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
    })?;
    Ok(epoch.bind(py))
}

fn micros(delta: &Bound<'_, PyDelta>) -> i64 {
    i64::from(delta.get_days()) * MICROS_PER_DAY
        + i64::from(delta.get_seconds()) * MICROS_PER_SECOND
        + i64::from(delta.get_microseconds())
}

/// A span in microseconds, if it isn't longer than 292,000 years.
pub(crate) fn span_micros(delta: &Bound<'_, PyDelta>) -> Option<i64> {
    i64::from(delta.get_days())
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(i64::from(delta.get_seconds()) * MICROS_PER_SECOND)?
        .checked_add(i64::from(delta.get_microseconds()))
}

/// A span that must not be negative.
pub(crate) fn span(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Duration> {
    let delta = value.cast::<PyDelta>().map_err(|_| {
        PyTypeError::new_err(format!(
            "`{what}` must be a `datetime.timedelta`; got {}, {}",
            describe(value),
            a_type(value)
        ))
    })?;
    let micros = span_micros(delta).unwrap_or(i64::MAX);
    u64::try_from(micros)
        .map(Duration::from_micros)
        .map_err(|_| {
            PyValueError::new_err(format!(
                "`{what}` must not be negative; got {}",
                describe(value)
            ))
        })
}
