//! What is kept of Python objects: pickles.

use millstream_engine::host::Failure;
use millstream_engine::recovery::{Codec, Saved};
use pyo3::BoundObject;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

use crate::callables::calling;
use crate::host::PyFailure;

/// `pickle.dumps` and `pickle.loads`, looked up once: they are called for every key.
static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An object, to be kept.
pub(crate) fn pickled(object: &Bound<'_, PyAny>) -> Result<Saved, PyFailure> {
    let py = object.py();
    let dump = || -> PyResult<Vec<u8>> {
        let bytes = DUMPS.import(py, "pickle", "dumps")?.call1((object,))?;
        Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
    };
    match dump() {
        Ok(payload) => Ok(Saved {
            codec: Codec::Pickle,
            payload,
        }),
        Err(error) => Err(Failure::new("pickling its state to be kept", error)),
    }
}

/// The object that was kept.
pub(crate) fn unpickled<'py>(
    py: Python<'py>,
    saved: &Saved,
) -> Result<Bound<'py, PyAny>, PyFailure> {
    LOADS
        .import(py, "pickle", "loads")
        .and_then(|loads| loads.call1((PyBytes::new(py, &saved.payload),)))
        .map_err(reading)
}

/// The failure of making sense of what was kept.
pub(crate) fn reading(error: PyErr) -> PyFailure {
    Failure::new("reading the state that was kept", error)
}

/// Makes an object of Rust values, to be kept.
pub(crate) fn pickled_of<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    value: T,
) -> Result<Saved, PyFailure>
where
    PyErr: From<T::Error>,
{
    match value.into_pyobject(py) {
        Ok(object) => pickled(&object.into_bound().into_any()),
        Err(error) => Err(Failure::new("pickling its state to be kept", error.into())),
    }
}

/// What to build an object from: what it once was, or `None`.
pub(crate) fn resume_state<'py>(
    py: Python<'py>,
    saved: Option<&Saved>,
) -> Result<Bound<'py, PyAny>, PyFailure> {
    match saved {
        None => Ok(py.None().into_bound(py)),
        Some(saved) => unpickled(py, saved),
    }
}

/// What an object with a method `snapshot` says of itself, to be kept.
pub(crate) fn snapshot_of(object: &Bound<'_, PyAny>) -> Result<Saved, PyFailure> {
    let py = object.py();
    let snapshot = object
        .call_method0(pyo3::intern!(py, "snapshot"))
        .map_err(calling("snapshot"))?;
    pickled(&snapshot)
}
