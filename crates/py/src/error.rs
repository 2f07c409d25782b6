//! The one translation of engine errors into Python exceptions.

use millstream_engine::error::Error;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use crate::host::{PyFailure, Python3};

/// The exception for an error of the engine.
///
/// The user's own exception is the cause, untouched. What isn't an error but a wish
/// to stop (`KeyboardInterrupt`, `SystemExit`) passes through as it is.
pub(crate) fn to_py(py: Python<'_>, error: Error<Python3>) -> PyErr {
    match error {
        Error::Plan(error) => make(py, "InvalidDataflowError", error.to_string()),
        Error::Interrupted(error) => error,
        Error::Internal(message) => make(
            py,
            "MillstreamRuntimeError",
            format!("millstream itself failed, which is a defect worth reporting: {message}"),
        ),
        Error::Step { failure, .. } if !failure.cause.is_instance_of::<PyException>(py) => {
            failure.cause
        }
        Error::Step {
            step,
            worker,
            failure,
        } => {
            let message = sentence(&step.0, worker, &failure);
            let raised = make(py, "MillstreamRuntimeError", message);
            raised.set_cause(py, Some(failure.cause));
            raised
        }
    }
}

fn sentence(step: &str, worker: Option<usize>, failure: &PyFailure) -> String {
    let mut text = format!("step `{step}` failed while {}", failure.doing);
    if let Some(key) = &failure.key {
        text += &format!(" for key `{key}`");
    }
    if let Some(worker) = worker {
        text += &format!(" on worker {worker}");
    }
    if let Some(item) = &failure.item {
        text += &format!("; the item was {item}");
    }
    text
}

/// An exception of a class in `millstream.errors`.
fn make(py: Python<'_>, class: &str, message: String) -> PyErr {
    py.import("millstream.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((message.as_str(),)))
        .map_or_else(|_| PyRuntimeError::new_err(message), PyErr::from_value)
}
