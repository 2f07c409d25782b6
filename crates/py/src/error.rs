//! The one translation of engine errors into Python exceptions.

use millstream_engine::cluster::{Cause, CauseKind, JoinError};
use millstream_engine::error::Error;
use millstream_engine::host::Host;
use millstream_engine::plan::StepId;
use millstream_engine::recovery::{ErrorKind, SessionError};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::prelude::*;

use crate::advice;
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
        Error::Recovery(error) => of_store(py, &error, advice::of_recovery(&error)),
        Error::PartitionGone { step, partition } => {
            let message = partition_gone(&step, &partition);
            with_exit_code(py, make(py, "RecoveryError", message), FLOW_MISMATCH)
        }
        Error::Join(error) => cluster_error(py, &error),
        Error::PeerLost { process, why } => {
            let raised = make(py, "ClusterError", peer_lost(process, &why));
            let raised = with_exit_code(py, raised, PEER_LOST);
            with(py, with(py, raised, "process", process), "is_loss", true)
        }
        Error::Peer(cause) => of_peer(py, &cause),
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

/// What other processes show of an error, and the exit code that goes with it; none for an
/// interrupt.
pub(crate) fn explain(py: Python<'_>, error: &Error<Python3>) -> Option<(String, u8)> {
    Some(match error {
        Error::Recovery(error) => (advice::of_recovery(error), error.exit_code()),
        Error::PartitionGone { step, partition } => {
            (partition_gone(step, partition), FLOW_MISMATCH)
        }
        Error::Join(error) => (advice::of_join(error), error.exit_code()),
        Error::PeerLost { process, why } => (peer_lost(*process, why), PEER_LOST),
        Error::Plan(error) => (error.to_string(), USAGE),
        Error::Internal(message) => (message.clone(), USER_CODE_FAILED),
        Error::Interrupted(error) => return explain_cause(py, String::new(), error),
        Error::Peer(cause) => match &cause.kind {
            CauseKind::Failed { text, exit_code } => (text.clone(), *exit_code),
            _ => return None,
        },
        Error::Step {
            step,
            worker,
            failure,
        } => return explain_cause(py, sentence(step, *worker, failure), &failure.cause),
    })
}

/// What an exception of Python is to other processes, after the sentence that names the step.
fn explain_cause(py: Python<'_>, message: String, error: &PyErr) -> Option<(String, u8)> {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return None;
    }
    if let Some(code) = store_exit_code(py, error) {
        return Some((format!("{message}: {}", error.value(py)), code));
    }
    let text = format!("{message}\n{}", traceback_of(py, error));
    let exit = error.is_instance_of::<PySystemExit>(py);
    let code = exit.then(|| error.value(py).getattr("code").ok()?.extract().ok());
    Some((
        text,
        code.flatten()
            .unwrap_or_else(|| exit_code_of_failure(py, error)),
    ))
}

/// What the command line ends with for an exception of the user's.
fn exit_code_of_failure(py: Python<'_>, error: &PyErr) -> u8 {
    py.import("millstream._exit")
        .and_then(|exit| exit.call_method1("exit_code_of_failure", (error.value(py),)))
        .and_then(|code| code.extract())
        .unwrap_or(USER_CODE_FAILED)
}

/// An exception with its traceback, as Python shows them.
fn traceback_of(py: Python<'_>, error: &PyErr) -> String {
    py.import("traceback")
        .and_then(|traceback| {
            let parts = (error.get_type(py), error.value(py), error.traceback(py));
            traceback.call_method1("format_exception", parts)
        })
        .and_then(|lines| lines.extract::<Vec<String>>())
        .map_or_else(|_| error.to_string(), |lines| lines.concat())
        .trim_end()
        .to_owned()
}

/// The exception for a cluster that doesn't come together.
pub(crate) fn cluster_error(py: Python<'_>, error: &JoinError) -> PyErr {
    let raised = make(py, "ClusterError", advice::of_join(error));
    with_exit_code(py, raised, error.exit_code())
}

/// The exception for an HTTP API that can't be served.
pub(crate) fn api_error(py: Python<'_>, message: String) -> PyErr {
    make(py, "ApiError", message)
}

/// The exception for what has stopped another process.
fn of_peer(py: Python<'_>, cause: &Cause) -> PyErr {
    let process = cause.process;
    let (message, code) = match &cause.kind {
        CauseKind::Failed { text, exit_code } => {
            (format!("process {process} failed: {text}"), *exit_code)
        }
        CauseKind::Interrupted | CauseKind::Aborted | CauseKind::Lost { .. } => {
            (format!("process {process} was interrupted"), INTERRUPTED)
        }
    };
    let raised = with_exit_code(py, make(py, "ClusterError", message), code);
    with(py, raised, "process", process)
}

fn peer_lost(process: usize, why: &str) -> String {
    format!(
        "process {process} is lost: {why}; all processes stop, and must be started again together"
    )
}

fn partition_gone(step: &StepId, partition: &str) -> String {
    format!(
        "step `{step}` has no partition `{partition}` any more, and the recovery store has what \
         an earlier run kept of it; list it again, or give it up (`--drop {step}/{partition}`, \
         `drop=[\"{step}/{partition}\"]`)"
    )
}

const USAGE: u8 = 64;
const USER_CODE_FAILED: u8 = 70;
const PEER_LOST: u8 = 75;
const INTERRUPTED: u8 = 130;

/// The exit code of a store that doesn't go with the dataflow.
const FLOW_MISMATCH: u8 = 78;

/// The exception for an error of the recovery store. It says which exit code the command line
/// ends with.
pub(crate) fn recovery_error(py: Python<'_>, error: &SessionError) -> PyErr {
    of_store(py, error, error.to_string())
}

fn of_store(py: Python<'_>, error: &SessionError, message: String) -> PyErr {
    let class = match error.kind() {
        ErrorKind::NoPartitions => "NoPartitionsError",
        ErrorKind::MissingPartitions => "MissingPartitionsError",
        ErrorKind::InconsistentPartitions => "InconsistentPartitionsError",
        ErrorKind::Other => "RecoveryError",
    };
    let raised = make(py, class, message);
    with_exit_code(py, raised, error.exit_code())
}

fn with_exit_code(py: Python<'_>, error: PyErr, code: u8) -> PyErr {
    with(py, error, "exit_code", code)
}

/// Gives an exception an attribute. Without it, the command line ends as for any other error.
fn with<'py>(py: Python<'py>, error: PyErr, name: &str, value: impl IntoPyObject<'py>) -> PyErr {
    let _ = error.value(py).setattr(name, value);
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
