//! Python as the engine's host: objects are items, strings are keys.

use std::sync::Arc;

use millstream_engine::batch::Batch;
use millstream_engine::error::Error;
use millstream_engine::host::{Failure, Host};
use millstream_engine::logic::FlatMapBatch;
use millstream_engine::plan::StepId;
use pyo3::exceptions::{
    PyGeneratorExit, PyKeyboardInterrupt, PySystemExit, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::callables::{a_type, describe};
use crate::error::{explain, sentence};
use crate::key::PyKey;
use crate::logic::fused::{PyStage, fuse};
use crate::packed::{no_crossing, pack, unpack};
use crate::rows::PyRows;
use crate::saved::reading;
use crate::thread::ThreadState;

/// The Python interpreter.
pub(crate) struct Python3;

/// A failed call into Python code.
pub(crate) type PyFailure = Failure<Python3>;

impl Host for Python3 {
    type Item = Py<PyAny>;
    type Rows = PyRows;
    type Key = PyKey;
    type Error = PyErr;
    type Scope<'a> = Python<'a>;
    type Stage = PyStage;

    fn attach<R>(work: impl for<'a> FnOnce(Python<'a>) -> R) -> R {
        Python::attach(work)
    }

    fn in_thread<R>(work: impl FnOnce() -> R) -> R {
        let _kept = ThreadState::keep();
        work()
    }

    fn clone_item(py: Python<'_>, item: &Py<PyAny>) -> Py<PyAny> {
        item.clone_ref(py)
    }

    fn clone_key(py: Python<'_>, key: &PyKey) -> PyKey {
        key.clone_ref(py)
    }

    fn weigh(py: Python<'_>, item: &Py<PyAny>) -> usize {
        weight(item.bind(py), 2).unwrap_or(0)
    }

    fn is_wish_to_stop(py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyGeneratorExit>(py)
    }

    fn split(
        py: Python<'_>,
        step: &StepId,
        item: Py<PyAny>,
    ) -> Result<(PyKey, Py<PyAny>), PyFailure> {
        let item = item.into_bound(py);
        let split = |item: &Bound<'_, PyAny>| {
            let pair = item.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
            let pair =
                pair.ok_or_else(|| needs(step, "`(key, value)` 2-tuples", item, PAIR_HINT))?;
            let key = PyKey::new(pair.get_borrowed_item(0)?.to_owned(), step)?;
            Ok((key, pair.get_borrowed_item(1)?.to_owned().unbind()))
        };
        split(&item).map_err(|error| {
            Failure::new("taking the key out of an item", error).with_item(describe(&item))
        })
    }

    fn key(py: Python<'_>, text: &str) -> Result<PyKey, PyFailure> {
        PyKey::of(PyString::new(py, text)).map_err(reading)
    }

    fn pause(py: Python<'_>, wait: impl FnOnce() + Send) -> PyResult<()> {
        py.detach(wait);
        py.check_signals()
    }

    fn join(py: Python<'_>, key: PyKey, value: Py<PyAny>) -> Py<PyAny> {
        // Making a pair can only fail for want of memory, as any Rust code does.
        PyTuple::new(py, [key.into_string().into_any(), value])
            .map_or_else(|_| py.None(), |pair| pair.into_any().unbind())
    }

    fn pack(py: Python<'_>, batch: Batch<Self>) -> Result<Vec<u8>, PyFailure> {
        pack(py, batch)
    }

    fn unpack(py: Python<'_>, bytes: &[u8]) -> Result<Batch<Self>, PyFailure> {
        unpack(py, bytes)
    }

    fn no_crossing(_py: Python<'_>, why: String) -> PyFailure {
        no_crossing(PyValueError::new_err(why))
    }

    fn explain(py: Python<'_>, error: &Error<Self>) -> Option<(String, u8)> {
        explain(py, error)
    }

    fn fuse(
        py: Python<'_>,
        stages: &[&PyStage],
        keyed_for: Option<&StepId>,
    ) -> Result<Arc<dyn FlatMapBatch<Self>>, PyFailure> {
        fuse(py, stages, keyed_for)
    }

    fn report(py: Python<'_>, step: &StepId, worker: usize, failure: PyFailure) {
        if log(py, step, worker, &failure).is_err() {
            failure.into_cause().write_unraisable(py, None);
        }
    }
}

/// About how many bytes an item takes: itself, and what it contains to some depth,
/// judging by the first few of its elements.
fn weight(item: &Bound<'_, PyAny>, depth: usize) -> PyResult<usize> {
    const SAMPLE: usize = 4;
    let own: usize = item
        .py()
        .import("sys")?
        .call_method1("getsizeof", (item,))?
        .extract()?;
    let elements = if depth == 0 {
        None
    } else if let Ok(tuple) = item.cast_exact::<PyTuple>() {
        Some((tuple.len(), tuple.iter().take(SAMPLE).collect::<Vec<_>>()))
    } else if let Ok(list) = item.cast_exact::<PyList>() {
        Some((list.len(), list.iter().take(SAMPLE).collect()))
    } else if let Ok(dict) = item.cast_exact::<PyDict>() {
        let values = dict.iter().take(SAMPLE).map(|(_, value)| value);
        Some((dict.len(), values.collect()))
    } else {
        None
    };
    let Some((length, sample)) = elements.filter(|(_, sample)| !sample.is_empty()) else {
        return Ok(own);
    };
    let mut sampled = 0;
    for element in &sample {
        sampled += weight(element, depth - 1)?;
    }
    Ok(own + sampled * length / sample.len())
}

/// Logs a failure that isn't raised.
fn log(py: Python<'_>, step: &StepId, worker: usize, failure: &PyFailure) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("exc_info", failure.cause.value(py))?;
    let text = format!(
        "{}, while the run was already stopping",
        sentence(step, Some(worker), failure)
    );
    py.import("logging")?
        .call_method1("getLogger", ("millstream",))?
        .call_method("error", ("%s", text), Some(&kwargs))?;
    Ok(())
}

const PAIR_HINT: &str = "; use `key_on` to add a key to each item";

/// The error for an item that a step can't use.
pub(crate) fn needs(step: &StepId, what: &str, got: &Bound<'_, PyAny>, hint: &str) -> PyErr {
    let length = match got.cast::<PyTuple>() {
        Ok(tuple) => format!(" of length {}", tuple.len()),
        Err(_) => String::new(),
    };
    PyTypeError::new_err(format!(
        "step `{step}` requires {what} from upstream; got {}{length}{hint}",
        a_type(got)
    ))
}
