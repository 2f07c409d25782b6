//! The recovery store, as Python asks for it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use millstream_engine::recovery::{Changes, Recovery, RetryPolicy, StoredStep};
use millstream_recovery::session::inspect;
use millstream_recovery::store::{
    Reader, StoreError, backup, export, import, init, repartition, verify,
};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::recovery_error;
use crate::time::datetime_of;

/// What a `RecoveryConfig` says.
pub(crate) fn recovery(config: &Bound<'_, PyAny>) -> PyResult<Recovery> {
    let mut changes = Changes::default();
    for pair in config
        .getattr("aliases")?
        .call_method0("items")?
        .try_iter()?
    {
        let (old, new): (String, String) = pair?.extract()?;
        changes.aliases.insert(StoredStep(old), StoredStep(new));
    }
    for step in config.getattr("drop")?.try_iter()? {
        changes.drop.insert(StoredStep(step?.extract()?));
    }
    Ok(Recovery {
        directory: config.getattr("db_dir")?.extract::<PathBuf>()?,
        changes,
        retry: RetryPolicy::default(),
    })
}

/// Makes a store in a directory, of so many files.
#[pyfunction]
pub(crate) fn init_store(py: Python<'_>, directory: PathBuf, partitions: u32) -> PyResult<()> {
    py.detach(|| init(&directory, partitions))
        .map_err(|error| recovery_error(py, &error.into()))
}

/// What is in a store, as plain Python objects.
#[pyfunction]
pub(crate) fn inspect_store(py: Python<'_>, directory: PathBuf) -> PyResult<Py<PyAny>> {
    let inspection = py
        .detach(|| inspect(&directory))
        .map_err(|error| recovery_error(py, &error))?;
    let found = PyDict::new(py);
    found.set_item("store", inspection.store)?;
    found.set_item("format", inspection.format)?;
    let flow = inspection.manifest.as_ref().map(|manifest| &manifest.flow);
    found.set_item("flow", flow)?;
    let executions = PyList::empty(py);
    for execution in inspection.executions {
        let each = PyDict::new(py);
        each.set_item("execution", execution.id.0)?;
        each.set_item("started", datetime_of(py, execution.started)?.str()?)?;
        each.set_item("workers", execution.workers)?;
        each.set_item("resume_epoch", execution.resume.0)?;
        each.set_item("committed_epoch", execution.committed.map(|epoch| epoch.0))?;
        executions.append(each)?;
    }
    found.set_item("executions", executions)?;
    let steps = PyList::empty(py);
    for step in inspection.steps {
        let each = PyDict::new(py);
        each.set_item("step", step.step.0)?;
        each.set_item("keys", step.keys)?;
        each.set_item("bytes", step.bytes)?;
        steps.append(each)?;
    }
    found.set_item("steps", steps)?;
    let files = PyList::empty(py);
    for file in inspection.files {
        let each = PyDict::new(py);
        each.set_item("path", file.path)?;
        each.set_item("bytes", file.bytes)?;
        each.set_item("snapshots", file.rows)?;
        files.append(each)?;
    }
    found.set_item("files", files)?;
    Ok(found.into_any().unbind())
}

/// How many snapshots a store has, and what is wrong with it.
#[pyfunction]
pub(crate) fn verify_store(py: Python<'_>, directory: PathBuf) -> (u64, Vec<String>) {
    let found = py.detach(|| verify(&directory));
    let problems = found.problems.iter().map(ToString::to_string).collect();
    (found.rows, problems)
}

/// Copies a store to a new one with another number of files; gives how many snapshots.
#[pyfunction]
pub(crate) fn repartition_store(
    py: Python<'_>,
    from: PathBuf,
    to: PathBuf,
    partitions: u32,
) -> PyResult<u64> {
    py.detach(|| repartition(&from, &to, partitions))
        .map_err(|error| recovery_error(py, &error.into()))
}

/// Copies a store, which may be in use, to a new one; gives how many snapshots.
#[pyfunction]
pub(crate) fn backup_store(py: Python<'_>, from: PathBuf, to: PathBuf) -> PyResult<u64> {
    py.detach(|| backup(&from, &to))
        .map_err(|error| recovery_error(py, &error.into()))
}

/// Writes a store to a text file; gives how many snapshots.
#[pyfunction]
pub(crate) fn export_store(py: Python<'_>, directory: PathBuf, file: PathBuf) -> PyResult<u64> {
    let exported = py.detach(|| -> Result<io::Result<u64>, StoreError> {
        let reader = Reader::open(&directory)?;
        let mut output = match File::create_new(&file) {
            Ok(file) => BufWriter::new(file),
            Err(error) => return Ok(Err(error)),
        };
        let count = export(&reader, &mut output)?;
        Ok(output.flush().map(|()| count))
    });
    exported
        .map_err(|error| recovery_error(py, &error.into()))?
        .map_err(|error| about(&error, &file))
}

/// The exception for a file that can't be opened, with its name.
fn about(error: &io::Error, file: &Path) -> PyErr {
    let number = error.raw_os_error().unwrap_or_default();
    let text = error.to_string();
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned();
    PyOSError::new_err((number, text, file.to_owned()))
}

/// Makes a store of such a file; gives how many snapshots.
#[pyfunction]
pub(crate) fn import_store(
    py: Python<'_>,
    file: PathBuf,
    directory: PathBuf,
    partitions: u32,
) -> PyResult<u64> {
    let mut input = BufReader::new(File::open(&file).map_err(|error| about(&error, &file))?);
    py.detach(|| import(&mut input, &directory, partitions))
        .map_err(|error| recovery_error(py, &error.into()))
}
