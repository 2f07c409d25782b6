//! Sinks and their partitions.

use millstream_engine::host::Failure;
use millstream_engine::logic::{DynamicSink, PartitionedSink, SinkPartition};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::callables::{a_type, calling, describe, instance_of, part_names};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::rows::PyRows;
use crate::saved::{pickled, resume_state, snapshot_of};

/// A `FixedPartitionedSink`.
pub(crate) struct PyPartitionedSink(pub(crate) Py<PyAny>);

impl PartitionedSink<Python3> for PyPartitionedSink {
    fn list_parts(&self, py: Python<'_>) -> Result<Vec<String>, PyFailure> {
        sink_parts(self.0.bind(py))
    }

    fn route(&self, py: Python<'_>, key: &PyKey, parts: usize) -> Result<usize, PyFailure> {
        part_of(self.0.bind(py), key, parts)
    }

    fn claim_part(
        &self,
        py: Python<'_>,
        step: &StepId,
        part: &str,
    ) -> Result<Option<Saved>, PyFailure> {
        let claimed = claim(self.0.bind(py), step, part)?;
        if claimed.is_none() {
            return Ok(None);
        }
        pickled(&claimed).map(Some)
    }

    fn build_part(
        &self,
        py: Python<'_>,
        step: &StepId,
        part: &str,
        _execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<Python3>>, PyFailure> {
        let resume_state = resume_state(py, resume)?;
        let built = self
            .0
            .bind(py)
            .call_method1("build_part", (&*step.0, part, resume_state))
            .map_err(calling("build_part"))?;
        let part = instance_of(
            built,
            "millstream.outputs",
            "StatefulSinkPartition",
            "build_part",
        )?;
        Ok(Box::new(PySinkPartition {
            part,
            resumes: true,
        }))
    }
}

/// The names of the partitions of a sink.
pub(super) fn sink_parts(sink: &Bound<'_, PyAny>) -> Result<Vec<String>, PyFailure> {
    let names = part_names(sink)?;
    if names.is_empty() {
        return Err(calling("list_parts")(PyTypeError::new_err(
            "`list_parts` of a sink must name at least one partition, \
             or there is nowhere to write to; got none",
        )));
    }
    Ok(names)
}

/// The index of the partition that a key belongs to, as the sink says.
pub(super) fn part_of(
    sink: &Bound<'_, PyAny>,
    key: &PyKey,
    parts: usize,
) -> Result<usize, PyFailure> {
    let py = sink.py();
    let failed = calling("part_fn");
    let number = sink
        .call_method1(pyo3::intern!(py, "part_fn"), (key.bind(py),))
        .map_err(&failed)?;
    let number = py
        .import("operator")
        .and_then(|operator| operator.call_method1("index", (&number,)))
        .map_err(|_| {
            failed(PyTypeError::new_err(format!(
                "`part_fn` must return an `int`; got {}, {}",
                describe(&number),
                a_type(&number)
            )))
        })?;
    // Python's modulo, which is never negative, of integers of any size.
    number
        .rem(parts)
        .and_then(|index| index.extract::<usize>())
        .map_err(&failed)
}

/// Lets a sink take over a partition that no earlier run has written to; gives what it says.
pub(super) fn claim<'py>(
    sink: &Bound<'py, PyAny>,
    step: &StepId,
    part: &str,
) -> Result<Bound<'py, PyAny>, PyFailure> {
    sink.call_method1(pyo3::intern!(sink.py(), "claim_part"), (&*step.0, part))
        .map_err(|error| Failure::new(format!("taking over its partition `{part}`"), error))
}

/// A `DynamicSink`.
pub(crate) struct PyDynamicSink(pub(crate) Py<PyAny>);

impl DynamicSink<Python3> for PyDynamicSink {
    fn build(
        &self,
        py: Python<'_>,
        step: &StepId,
        worker: usize,
        workers: usize,
    ) -> Result<Box<dyn SinkPartition<Python3>>, PyFailure> {
        let built = self
            .0
            .bind(py)
            .call_method1("build", (&*step.0, worker, workers))
            .map_err(calling("build"))?;
        let part = instance_of(
            built,
            "millstream.outputs",
            "StatelessSinkPartition",
            "build",
        )?;
        Ok(Box::new(PySinkPartition {
            part,
            resumes: false,
        }))
    }
}

/// Either kind of sink partition: they are written alike.
struct PySinkPartition {
    part: Py<PyAny>,
    /// Whether it says what it has written.
    resumes: bool,
}

impl SinkPartition<Python3> for PySinkPartition {
    fn write_batch(&mut self, py: Python<'_>, items: PyRows) -> Result<(), PyFailure> {
        let failed = calling("write_batch");
        let items = items.into_list(py).map_err(&failed)?;
        self.part
            .bind(py)
            .call_method1(pyo3::intern!(py, "write_batch"), (items,))
            .map_err(&failed)?;
        Ok(())
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
