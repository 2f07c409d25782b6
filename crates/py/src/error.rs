//! The one translation of engine errors into Python exceptions.

use millstream_engine::error::Error;
use millstream_engine::host::Host;
use millstream_engine::plan::StepId;
use millstream_engine::recovery::{ErrorKind, SessionError};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::callables::hides_items;
use crate::host::{PyFailure, Python3};

/// The exception for an error of the engine.
///
/// The user's own exception is the cause, untouched. What isn't an error but a wish
/// to stop (`KeyboardInterrupt`, `SystemExit`) passes through as it is.
pub(crate) fn to_py(py: Python<'_>, error: Error<Python3>) -> PyErr {
    match error {
        Error::Plan(error) => make(py, "InvalidDataflowError", error.to_string()),
        Error::Interrupted(error) => error,
        Error::Recovery(error) => recovery_error(py, &error),
        Error::PartitionGone { step, partition } => with_exit_code(
            py,
            make(
                py,
                "RecoveryError",
                format!(
                    "step `{step}` has no partition `{partition}` any more, and the recovery \
                     store has what an earlier run kept of it; list it again, or give it up \
                     (`drop=[\"{step}/{partition}\"]`)"
                ),
            ),
            FLOW_MISMATCH,
        ),
        Error::Internal(message) => make(
            py,
            "MillstreamRuntimeError",
            format!("millstream itself failed, which is a defect worth reporting: {message}"),
        ),
        Error::Step { failure, .. } if Python3::is_wish_to_stop(py, &failure.cause) => {
            failure.into_cause()
        }
        Error::Step {
            step,
            worker,
            failure,
        } => {
            let message = sentence(&step, worker, &failure);
            let cause = failure.into_cause();
            let raised = match store_exit_code(py, &cause) {
                Some(code) => {
                    let message = format!("{message}: {}", cause.value(py));
                    with_exit_code(py, make(py, "RecoveryError", message), code)
                }
                None => make(py, "MillstreamRuntimeError", message),
            };
            raised.set_cause(py, Some(cause));
            raised
        }
    }
}

/// The exit code that goes with an error, if it is one of the store's that the package raised in
/// a step: its message says all.
fn store_exit_code(py: Python<'_>, error: &PyErr) -> Option<u8> {
    let class = py
        .import("millstream.errors")
        .ok()?
        .getattr("StoreError")
        .ok()?;
    let value = error.value(py);
    if !value.is_instance(&class).unwrap_or(false) {
        return None;
    }
    value.getattr("exit_code").ok()?.extract().ok()
}

/// The exit code of a store that doesn't go with the dataflow.
const FLOW_MISMATCH: u8 = 78;

/// The exception for an error of the recovery store. It says which exit code the command line
/// ends with.
pub(crate) fn recovery_error(py: Python<'_>, error: &SessionError) -> PyErr {
    let class = match error.kind() {
        ErrorKind::NoPartitions => "NoPartitionsError",
        ErrorKind::MissingPartitions => "MissingPartitionsError",
        ErrorKind::InconsistentPartitions => "InconsistentPartitionsError",
        ErrorKind::Other => "RecoveryError",
    };
    let raised = make(py, class, error.to_string());
    with_exit_code(py, raised, error.exit_code())
}

fn with_exit_code(py: Python<'_>, error: PyErr, code: u8) -> PyErr {
    // Without it, the command line ends as for any other error.
    let _ = error.value(py).setattr("exit_code", code);
    error
}

/// What failed, where, and on what.
pub(crate) fn sentence(step: &StepId, worker: Option<usize>, failure: &PyFailure) -> String {
    let parts = [
        Some(format!("step `{step}` failed while {}", failure.doing)),
        failure
            .key
            .as_ref()
            .filter(|_| !hides_items())
            .map(|key| format!(" for key `{key}`")),
        worker.map(|worker| format!(" on worker {worker}")),
        failure
            .item
            .as_ref()
            .map(|item| format!("; the item was {item}")),
    ];
    parts.into_iter().flatten().collect()
}

/// An exception of a class in `millstream.errors`.
fn make(py: Python<'_>, class: &str, message: String) -> PyErr {
    py.import("millstream.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((message.as_str(),)))
        .map_or_else(|_| PyRuntimeError::new_err(message), PyErr::from_value)
}
