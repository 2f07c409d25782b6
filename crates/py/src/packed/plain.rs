//! Plain values as bytes: what most items are made of, written and read without a pickle.
//!
//! Numbers, strings, bytes, datetimes in UTC, and tuples of such, of exactly these types.
//! Anything else is for the pickle. Reading runs no code of anybody.
//!
//! ```text
//! tag (1), and then  int: 8   float: 8   str, bytes: length (4), data   tuple: length (4), values
//!                    datetime: year (2) month day hour minute second (1 each) microsecond (4)
//! ```

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDateAccess, PyDateTime, PyFloat, PyInt, PyString, PyTimeAccess, PyTuple,
    PyTzInfo, PyTzInfoAccess,
};
use smallvec::SmallVec;

/// How deep tuples may lie in each other.
const DEEPEST: usize = 4;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const BYTES: u8 = 6;
const TUPLE: u8 = 7;
const DATETIME: u8 = 8;

/// Writes a value, if it is a plain one; if not, what is written so far is of no use.
pub(super) fn write(value: &Bound<'_, PyAny>, bytes: &mut Vec<u8>) -> Option<()> {
    write_at(value, bytes, DEEPEST)
}

fn write_at(value: &Bound<'_, PyAny>, bytes: &mut Vec<u8>, depth: usize) -> Option<()> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        write_text(text, bytes)?;
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        bytes.push(INT);
        let number: i64 = number.extract().ok()?;
        bytes.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        bytes.push(FLOAT);
        bytes.extend_from_slice(&number.value().to_le_bytes());
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        bytes.push(TUPLE);
        write_length(tuple.len(), bytes)?;
        let depth = depth.checked_sub(1)?;
        for element in tuple.iter_borrowed() {
            write_at(&element, bytes, depth)?;
        }
    } else if let Ok(date) = value.cast_exact::<PyDateTime>() {
        write_datetime(date, bytes)?;
    } else if value.is_none() {
        bytes.push(NONE);
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        bytes.push(if truth.is_true() { TRUE } else { FALSE });
    } else {
        let data = value.cast_exact::<PyBytes>().ok()?.as_bytes();
        bytes.push(BYTES);
        write_length(data.len(), bytes)?;
        bytes.extend_from_slice(data);
    }
    Some(())
}

/// Writes a string, if it has a form in UTF-8.
pub(super) fn write_text(text: &Bound<'_, PyString>, bytes: &mut Vec<u8>) -> Option<()> {
    let utf8 = text.to_str().ok()?;
    bytes.push(STR);
    write_length(utf8.len(), bytes)?;
    bytes.extend_from_slice(utf8.as_bytes());
    Some(())
}

fn write_length(length: usize, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(())
}

/// In UTC only: other zones have code of their own.
fn write_datetime(date: &Bound<'_, PyDateTime>, bytes: &mut Vec<u8>) -> Option<()> {
    let utc = PyTzInfo::utc(date.py()).ok()?;
    let zone = date.get_tzinfo()?;
    if !zone.is(&*utc) || date.get_fold() {
        return None;
    }
    bytes.push(DATETIME);
    bytes.extend_from_slice(&u16::try_from(date.get_year()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&[
        date.get_month(),
        date.get_day(),
        date.get_hour(),
        date.get_minute(),
        date.get_second(),
    ]);
    bytes.extend_from_slice(&date.get_microsecond().to_le_bytes());
    Some(())
}

/// Reads values, one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next value. What can't be one is an error.
    pub(super) fn read<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.read_at(py, DEEPEST)
    }

    /// A number that was written by itself.
    pub(super) fn read_length(&mut self) -> PyResult<usize> {
        Ok(u32::from_le_bytes(*self.take::<4>()?) as usize)
    }

    fn read_at<'py>(&mut self, py: Python<'py>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let [tag] = *self.take::<1>()?;
        Ok(match tag {
            NONE => py.None().into_bound(py),
            FALSE => PyBool::new(py, false).to_owned().into_any(),
            TRUE => PyBool::new(py, true).to_owned().into_any(),
            INT => i64::from_le_bytes(*self.take::<8>()?)
                .into_pyobject(py)?
                .into_any(),
            FLOAT => PyFloat::new(py, f64::from_le_bytes(*self.take::<8>()?)).into_any(),
            STR => {
                let data = self.take_many()?;
                let text = std::str::from_utf8(data).map_err(|_| garbled())?;
                PyString::new(py, text).into_any()
            }
            BYTES => PyBytes::new(py, self.take_many()?).into_any(),
            TUPLE => {
                let length = self.read_length()?;
                let depth = depth.checked_sub(1).ok_or_else(garbled)?;
                // Each has a byte at least, so no memory is taken for what can't be there.
                if length > self.bytes.len() {
                    return Err(garbled());
                }
                let elements: PyResult<SmallVec<[_; 4]>> =
                    (0..length).map(|_| self.read_at(py, depth)).collect();
                PyTuple::new(py, elements?)?.into_any()
            }
            DATETIME => self.read_datetime(py)?,
            _ => return Err(garbled()),
        })
    }

    fn read_datetime<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let year = i32::from(u16::from_le_bytes(*self.take::<2>()?));
        let [month, day, hour, minute, second] = *self.take::<5>()?;
        let microsecond = u32::from_le_bytes(*self.take::<4>()?);
        let utc = PyTzInfo::utc(py)?;
        let date = PyDateTime::new(
            py,
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
            Some(&utc),
        )?;
        Ok(date.into_any())
    }

    fn take<const N: usize>(&mut self) -> PyResult<&'a [u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(garbled)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn take_many(&mut self) -> PyResult<&'a [u8]> {
        let length = self.read_length()?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(garbled)?;
        self.bytes = rest;
        Ok(taken)
    }
}

fn garbled() -> PyErr {
    PyValueError::new_err("what came is cut off, or was never a batch")
}
