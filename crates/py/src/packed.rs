//! Batches that go to another process: one pickle each.

use millstream_engine::batch::Batch;
use millstream_engine::host::Failure;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::host::{PyFailure, PyKey, Python3};
use crate::rows::PyRows;

/// `pickle.dumps` and `pickle.loads`, looked up once.
static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The version of the protocol that all supported Pythons have.
const PROTOCOL: u8 = 5;

/// What a pickle is of, as its first byte says.
const ROWS: u8 = b'r';
const KEYED: u8 = b'k';

/// A batch as bytes.
pub(crate) fn pack(py: Python<'_>, batch: Batch<Python3>) -> Result<Vec<u8>, PyFailure> {
    let pack = || -> PyResult<Vec<u8>> {
        let (form, object) = match batch {
            Batch::Rows(rows) => (ROWS, rows.into_list(py)?.into_any()),
            Batch::Keyed(pairs) => {
                let (keys, values): (Vec<_>, Vec<_>) = pairs
                    .into_iter()
                    .map(|(key, value)| (key.into_text(), value))
                    .unzip();
                let lists = [PyList::new(py, keys)?, PyList::new(py, values)?];
                (KEYED, PyTuple::new(py, lists)?.into_any())
            }
        };
        let dumps = DUMPS.import(py, "pickle", "dumps")?;
        let pickle = dumps.call1((object, PROTOCOL))?;
        let pickle = pickle.cast::<PyBytes>()?.as_bytes();
        let mut bytes = Vec::with_capacity(pickle.len() + 1);
        bytes.push(form);
        bytes.extend_from_slice(pickle);
        Ok(bytes)
    };
    pack().map_err(no_crossing)
}

/// The batch that bytes are of.
pub(crate) fn unpack(py: Python<'_>, bytes: &[u8]) -> Result<Batch<Python3>, PyFailure> {
    let unpack = || -> PyResult<Batch<Python3>> {
        let Some((form, pickle)) = bytes.split_first() else {
            return Err(PyValueError::new_err("there is nothing in it"));
        };
        let loads = LOADS.import(py, "pickle", "loads")?;
        let object = loads.call1((PyBytes::new(py, pickle),))?;
        if *form == ROWS {
            return Ok(Batch::Rows(PyRows::of_list(object.cast_into::<PyList>()?)));
        }
        let lists = object.cast::<PyTuple>()?;
        let (keys, values) = (lists.get_item(0)?, lists.get_item(1)?);
        let keys = keys.cast::<PyList>()?.iter();
        let pairs = keys.zip(values.cast::<PyList>()?.iter());
        let pairs = pairs.map(|(key, value)| Ok((PyKey::of_text(key)?, value.unbind())));
        Ok(Batch::Keyed(pairs.collect::<PyResult<_>>()?))
    };
    unpack().map_err(no_crossing)
}

/// The failure of getting items from one process to another.
pub(crate) fn no_crossing(error: PyErr) -> PyFailure {
    Failure::new("taking items from one process to another", error)
}
