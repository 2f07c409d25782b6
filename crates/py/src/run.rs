//! The entry points.

use std::sync::Arc;

use millstream_engine::clock::SystemClock;
use millstream_engine::run::{Settings, run};
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::callables::describe;
use crate::error::to_py;
use crate::plan::read;
use crate::time::span;

/// Runs a dataflow on the calling thread, to its end.
#[pyfunction]
#[pyo3(signature = (flow, *, epoch_interval=None, recovery_config=None))]
pub(crate) fn run_main(
    flow: &Bound<'_, PyAny>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    start(flow, 1, epoch_interval, recovery_config)
}

/// Runs a dataflow on several workers, to its end.
#[pyfunction]
#[pyo3(signature = (flow, addresses, proc_id, *, epoch_interval=None, recovery_config=None, worker_count_per_proc=1))]
pub(crate) fn cluster_main(
    flow: &Bound<'_, PyAny>,
    addresses: Option<&Bound<'_, PyAny>>,
    proc_id: &Bound<'_, PyAny>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
    worker_count_per_proc: i64,
) -> PyResult<()> {
    refuse_processes(addresses, Some(proc_id))?;
    let workers = worker_count(worker_count_per_proc, "worker_count_per_proc")?;
    start(flow, workers, epoch_interval, recovery_config)
}

/// Runs a dataflow as the command line does.
#[pyfunction]
#[pyo3(signature = (flow, *, workers_per_process=None, process_id=None, addresses=None, epoch_interval=None, recovery_config=None))]
pub(crate) fn cli_main(
    flow: &Bound<'_, PyAny>,
    workers_per_process: Option<i64>,
    process_id: Option<&Bound<'_, PyAny>>,
    addresses: Option<&Bound<'_, PyAny>>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    refuse_processes(addresses, process_id)?;
    let workers = worker_count(workers_per_process.unwrap_or(1), "workers_per_process")?;
    start(flow, workers, epoch_interval, recovery_config)
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is not general enough in its lifetime"
)]
fn start(
    flow: &Bound<'_, PyAny>,
    workers: usize,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = flow.py();
    if recovery_config.is_some() {
        return Err(PyNotImplementedError::new_err(
            "this version of millstream has no recovery yet; leave `recovery_config` out",
        ));
    }
    let epoch_interval = match epoch_interval {
        Some(interval) => span(interval, "epoch_interval")?,
        None => Settings::EPOCH_INTERVAL,
    };
    let plan = read(flow)?;
    let settings = Settings {
        workers,
        epoch_interval,
        room: Settings::ROOM_PER_WORKER * workers,
        clock: Arc::new(SystemClock::new()),
    };
    let outcome = py.detach(|| run(&plan, &settings, || Python::attach(|py| py.check_signals())));
    outcome.map(|_ending| ()).map_err(|error| to_py(py, error))
}

fn worker_count(count: i64, what: &str) -> PyResult<usize> {
    usize::try_from(count)
        .ok()
        .filter(|&count| count >= 1)
        .ok_or_else(|| PyValueError::new_err(format!("`{what}` must be at least 1; got {count}")))
}

/// There is only one process so far.
fn refuse_processes(
    addresses: Option<&Bound<'_, PyAny>>,
    process_id: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    if let Some(addresses) = addresses {
        if addresses.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(
                "`addresses` must be a list of `host:port`; got one `str`",
            ));
        }
        if addresses.len()? > 0 {
            return Err(PyNotImplementedError::new_err(
                "this version of millstream runs in one process only; \
                 leave `addresses` empty, and use worker threads",
            ));
        }
    }
    if let Some(process_id) = process_id
        && process_id.extract::<i64>().ok() != Some(0)
    {
        return Err(PyValueError::new_err(format!(
            "without `addresses` there is only process 0; got {}",
            describe(process_id)
        )));
    }
    Ok(())
}
