//! Sources and their partitions.

use millstream_engine::clock::Micros;
use millstream_engine::logic::{DynamicSource, PartitionedSource, Polled, SourcePartition};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::callables::{calling, instance_of, not_iterable, part_names, rows_of};
use crate::host::{PyFailure, Python3};
use crate::saved::{resume_state, snapshot_of};
use crate::time::moment;

/// A `FixedPartitionedSource`.
pub(crate) struct PyPartitionedSource(pub(crate) Py<PyAny>);

impl PartitionedSource<Python3> for PyPartitionedSource {
    fn list_parts(&self, py: Python<'_>) -> Result<Vec<String>, PyFailure> {
        part_names(self.0.bind(py))
    }

    fn build_part(
        &self,
        py: Python<'_>,
        step: &StepId,
        part: &str,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SourcePartition<Python3>>, PyFailure> {
        let resume_state = resume_state(py, resume)?;
        let built = self
            .0
            .bind(py)
            .call_method1("build_part", (&*step.0, part, resume_state))
            .map_err(calling("build_part"))?;
        let part = instance_of(
            built,
            "millstream.inputs",
            "StatefulSourcePartition",
            "build_part",
        )?;
        Ok(Box::new(PySourcePartition {
            part,
            resumes: true,
        }))
    }
}

/// A `DynamicSource`.
pub(crate) struct PyDynamicSource(pub(crate) Py<PyAny>);

impl DynamicSource<Python3> for PyDynamicSource {
    fn build(
        &self,
        py: Python<'_>,
        step: &StepId,
        worker: usize,
        workers: usize,
    ) -> Result<Box<dyn SourcePartition<Python3>>, PyFailure> {
        let built = self
            .0
            .bind(py)
            .call_method1("build", (&*step.0, worker, workers))
            .map_err(calling("build"))?;
        let part = instance_of(
            built,
            "millstream.inputs",
            "StatelessSourcePartition",
            "build",
        )?;
        Ok(Box::new(PySourcePartition {
            part,
            resumes: false,
        }))
    }
}

/// Either kind of source partition: they are read alike.
struct PySourcePartition {
    part: Py<PyAny>,
    /// Whether it says where it is.
    resumes: bool,
}

impl SourcePartition<Python3> for PySourcePartition {
    fn next_batch(&mut self, py: Python<'_>) -> Result<Polled<Python3>, PyFailure> {
        let taken = self
            .part
            .bind(py)
            .call_method0(pyo3::intern!(py, "next_batch"))
            .map_err(calling("next_batch"))
            .and_then(|batch| {
                if batch.is_instance_of::<PyString>() {
                    // Its characters are hardly what was meant.
                    return Err(not_iterable(&batch, "next_batch"));
                }
                rows_of(batch, "next_batch")
            });
        match taken {
            Ok(rows) => Ok(Polled::Batch(rows)),
            Err(failure) if failure.cause.is_instance_of::<PyStopIteration>(py) => Ok(Polled::End),
            Err(failure) if is_abort(py, &failure.cause) => Ok(Polled::Abort),
            Err(failure) => Err(failure),
        }
    }

    fn next_awake(&mut self, py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        self.part
            .bind(py)
            .call_method0(pyo3::intern!(py, "next_awake"))
            .and_then(|at| moment(&at, "next_awake"))
            .map_err(calling("next_awake"))
    }

    fn snapshot(&mut self, py: Python<'_>) -> Result<Option<Saved>, PyFailure> {
        if !self.resumes {
            return Ok(None);
        }
        snapshot_of(self.part.bind(py)).map(Some)
    }

    fn close(&mut self, py: Python<'_>) -> Result<(), PyFailure> {
        self.part
            .bind(py)
            .call_method0(pyo3::intern!(py, "close"))
            .map_err(calling("close"))?;
        Ok(())
    }
}

fn is_abort(py: Python<'_>, error: &PyErr) -> bool {
    py.import("millstream.inputs")
        .and_then(|inputs| inputs.getattr("AbortExecution"))
        .is_ok_and(|abort| error.matches(py, abort).unwrap_or(false))
}
