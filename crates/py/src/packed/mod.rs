//! Batches that go to another process: plain values as they are, anything else as one pickle.
//! Each key goes once, so that there, too, its values share one string.

mod keys;
mod plain;

use millstream_engine::batch::Batch;
use millstream_engine::host::Failure;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::rows::PyRows;
use keys::{KeysWritten, read_key};
use plain::Reader;

/// `pickle.dumps` and `pickle.loads`, looked up once.
static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The version of the protocol that all supported Pythons have.
const PROTOCOL: u8 = 5;

/// In which form a batch is, as its first byte says.
const ROWS: u8 = b'R';
const KEYED: u8 = b'K';
const PICKLED_ROWS: u8 = b'r';
const PICKLED_KEYED: u8 = b'k';

/// About how many bytes a plain value takes.
const USUAL: usize = 32;

/// A batch as bytes.
pub(crate) fn pack(py: Python<'_>, batch: Batch<Python3>) -> Result<Vec<u8>, PyFailure> {
    match batch {
        Batch::Rows(rows) => pack_rows(py, rows),
        Batch::Keyed(pairs) => pack_keyed(py, pairs),
    }
    .map_err(no_crossing)
}

fn pack_rows(py: Python<'_>, rows: PyRows) -> PyResult<Vec<u8>> {
    let list = rows.into_list(py)?;
    let write = || {
        let mut bytes = begin(ROWS, list.len())?;
        list.iter()
            .try_for_each(|item| plain::write(&item, &mut bytes))?;
        Some(bytes)
    };
    match write() {
        Some(bytes) => Ok(bytes),
        None => pickled(py, PICKLED_ROWS, &list),
    }
}

fn pack_keyed(py: Python<'_>, pairs: Vec<(PyKey, Py<PyAny>)>) -> PyResult<Vec<u8>> {
    let write = || {
        let mut bytes = begin(KEYED, pairs.len())?;
        let mut keys = KeysWritten::default();
        for (key, value) in &pairs {
            keys.write(py, key, &mut bytes)?;
            plain::write(value.bind(py), &mut bytes)?;
        }
        Some(bytes)
    };
    if let Some(bytes) = write() {
        return Ok(bytes);
    }
    let (keys, values): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .map(|(key, value)| (key.into_string(), value))
        .unzip();
    let lists = [PyList::new(py, keys)?, PyList::new(py, values)?];
    pickled(py, PICKLED_KEYED, PyTuple::new(py, lists)?.as_any())
}

/// The form of a batch, and how many items there are.
fn begin(form: u8, count: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(5 + count * USUAL);
    bytes.push(form);
    bytes.extend_from_slice(&u32::try_from(count).ok()?.to_le_bytes());
    Some(bytes)
}

fn pickled(py: Python<'_>, form: u8, object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let dumps = DUMPS.import(py, "pickle", "dumps")?;
    let pickle = dumps.call1((object, PROTOCOL))?;
    let pickle = pickle.cast::<PyBytes>()?.as_bytes();
    let mut bytes = Vec::with_capacity(pickle.len() + 1);
    bytes.push(form);
    bytes.extend_from_slice(pickle);
    Ok(bytes)
}

/// The batch that bytes are of.
pub(crate) fn unpack(py: Python<'_>, bytes: &[u8]) -> Result<Batch<Python3>, PyFailure> {
    let unpack = || match bytes.split_first() {
        Some((&ROWS, rest)) => unpack_rows(py, Reader::new(rest)),
        Some((&KEYED, rest)) => unpack_keyed(py, Reader::new(rest)),
        Some((&PICKLED_ROWS, pickle)) => {
            let list = unpickled(py, pickle)?.cast_into::<PyList>()?;
            Ok(Batch::Rows(PyRows::of_list(list)))
        }
        Some((&PICKLED_KEYED, pickle)) => {
            let lists = unpickled(py, pickle)?;
            let lists = lists.cast::<PyTuple>()?;
            let (keys, values) = (lists.get_item(0)?, lists.get_item(1)?);
            let keys = keys.cast::<PyList>()?.iter();
            let pairs = keys.zip(values.cast::<PyList>()?.iter());
            let pairs = pairs.map(|(key, value)| Ok((PyKey::of_text(key)?, value.unbind())));
            Ok(Batch::Keyed(pairs.collect::<PyResult<_>>()?))
        }
        _ => Err(PyValueError::new_err("what came is no batch")),
    };
    unpack().map_err(no_crossing)
}

fn unpack_rows(py: Python<'_>, mut reader: Reader<'_>) -> PyResult<Batch<Python3>> {
    let count = reader.read_length()?;
    let items = (0..count).map(|_| reader.read(py).map(Bound::unbind));
    Ok(Batch::Rows(PyRows::Items(items.collect::<PyResult<_>>()?)))
}

fn unpack_keyed(py: Python<'_>, mut reader: Reader<'_>) -> PyResult<Batch<Python3>> {
    let count = reader.read_length()?;
    let mut keys = Vec::new();
    let pairs = (0..count).map(|_| {
        let key = read_key(py, &mut keys, &mut reader)?;
        Ok((key, reader.read(py)?.unbind()))
    });
    Ok(Batch::Keyed(pairs.collect::<PyResult<_>>()?))
}

fn unpickled<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let loads = LOADS.import(py, "pickle", "loads")?;
    loads.call1((PyBytes::new(py, pickle),))
}

/// The failure of getting items from one process to another.
pub(crate) fn no_crossing(error: PyErr) -> PyFailure {
    let doing = "taking items from one process to another (they must be picklable)";
    Failure::new(doing, error)
}
