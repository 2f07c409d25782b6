//! Python as the engine's host: objects are items, strings are keys.

use std::borrow::Cow;

use millstream_engine::host::{Failure, Host, Key, stable_hash};
use millstream_engine::plan::StepId;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::callables::{describe, type_name};
use crate::error::sentence;

/// The Python interpreter.
pub(crate) struct Python3;

/// A failed call into Python code.
pub(crate) type PyFailure = Failure<Python3>;

impl Host for Python3 {
    type Item = Py<PyAny>;
    type Key = PyKey;
    type Error = PyErr;
    type Scope<'a> = Python<'a>;

    fn attach<R>(work: impl for<'a> FnOnce(Python<'a>) -> R) -> R {
        Python::attach(work)
    }

    fn clone_item(py: Python<'_>, item: &Py<PyAny>) -> Py<PyAny> {
        item.clone_ref(py)
    }

    fn clone_key(py: Python<'_>, key: &PyKey) -> PyKey {
        key.clone_ref(py)
    }

    fn split(py: Python<'_>, item: Py<PyAny>) -> Result<(PyKey, Py<PyAny>), PyFailure> {
        let item = item.into_bound(py);
        let (key, value) = match item.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => pair
                .get_item(0)
                .and_then(|key| Ok((key, pair.get_item(1)?)))
                .map_err(|error| not_a_pair(&item, error))?,
            _ => {
                let error = PyTypeError::new_err(format!(
                    "a keyed step needs `(key, value)` 2-tuples from upstream; got {}; \
                     put `key_on` before it, or return such tuples",
                    shape(&item)
                ));
                return Err(not_a_pair(&item, error));
            }
        };
        let key = PyKey::new(&key).map_err(|error| not_a_pair(&item, error))?;
        Ok((key, value.unbind()))
    }

    fn join(py: Python<'_>, key: PyKey, value: Py<PyAny>) -> Py<PyAny> {
        // Making a pair can only fail for want of memory, as any Rust code does.
        PyTuple::new(py, [key.text.into_any(), value])
            .map_or_else(|_| py.None(), |pair| pair.into_any().unbind())
    }

    fn report(py: Python<'_>, step: &StepId, failure: PyFailure) {
        if log(py, step, &failure).is_err() {
            failure.into_cause().write_unraisable(py, None);
        }
    }
}

/// Logs a failure that isn't raised.
fn log(py: Python<'_>, step: &StepId, failure: &PyFailure) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("exc_info", failure.cause.value(py))?;
    let text = format!(
        "{}, while the run was already stopping",
        sentence(step, None, failure)
    );
    py.import("logging")?
        .call_method1("getLogger", ("millstream",))?
        .call_method("error", ("%s", text), Some(&kwargs))?;
    Ok(())
}

fn not_a_pair(item: &Bound<'_, PyAny>, error: PyErr) -> PyFailure {
    Failure::new("taking the key out of an item", error).with_item(describe(item))
}

fn shape(item: &Bound<'_, PyAny>) -> Cow<'static, str> {
    match item.cast::<PyTuple>() {
        Ok(tuple) => format!("a tuple of length {}", tuple.len()).into(),
        Err(_) => format!("a `{}`", type_name(item)).into(),
    }
}

/// A key: the Python string itself, with its text and hash at hand, so that neither
/// is copied or computed again.
pub(crate) struct PyKey {
    text: Py<PyString>,
    /// The text in UTF-8, in memory that `text` owns and never changes.
    utf8: *const str,
    hash: u64,
}

// SAFETY: `utf8` points to immutable memory, and `text` keeps it alive.
unsafe impl Send for PyKey {}

impl PyKey {
    fn new(key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = key.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!(
                "a keyed step needs keys that are `str`; got {}, a `{}`; \
                 convert it, for example with `str(key)`",
                describe(key),
                type_name(key)
            ))
        })?;
        let utf8 = text.to_str()?;
        Ok(Self {
            utf8: std::ptr::from_ref(utf8),
            hash: stable_hash(utf8),
            text: text.clone().unbind(),
        })
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            text: self.text.clone_ref(py),
            utf8: self.utf8,
            hash: self.hash,
        }
    }

    /// The key as Python sees it.
    pub(crate) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.text.bind(py)
    }
}

impl Key for PyKey {
    fn as_str(&self) -> &str {
        // SAFETY: a Python string keeps its UTF-8 form as long as it lives, and it
        // lives as long as `self`.
        unsafe { &*self.utf8 }
    }

    fn stable_hash(&self) -> u64 {
        self.hash
    }
}
