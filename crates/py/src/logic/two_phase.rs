//! Sinks that show what they are given only when it can't be taken back any more.
//!
//! What a partition has prepared and not committed is its state: a run that resumes from it
//! commits that first. So there is nothing to find out about what earlier runs have done.

use millstream_engine::epoch::Epoch;
use millstream_engine::logic::{PartitionedSink, SinkPartition};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::{calling, instance_of};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::sink::{claim, part_of, sink_parts};
use crate::rows::PyRows;
use crate::saved::{pickled_of, unpickled};

/// A `TwoPhaseSink`.
pub(crate) struct PyTwoPhaseSink(pub(crate) Py<PyAny>);

impl PartitionedSink<Python3> for PyTwoPhaseSink {
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
        claim(self.0.bind(py), step, part)?;
        pickled_of(py, PyList::empty(py)).map(Some)
    }

    fn is_two_phase(&self) -> bool {
        true
    }

    fn build_part(
        &self,
        py: Python<'_>,
        step: &StepId,
        part: &str,
        execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<Python3>>, PyFailure> {
        let sink = self.0.bind(py);
        let prepared = if let Some(saved) = resume {
            unpickled(py, saved)?
        } else {
            // With a store, that was done before.
            claim(sink, step, part)?;
            PyList::empty(py).into_any()
        };
        let built = sink
            .call_method1("build_part", (&*step.0, part, execution))
            .map_err(calling("build_part"))?;
        let part = instance_of(
            built,
            "millstream.outputs",
            "TwoPhaseSinkPartition",
            "build_part",
        )?;
        let mut built = PyTwoPhasePartition {
            part,
            prepared: Vec::new(),
            is_dirty: false,
        };
        let recovered = built.part.bind(py).call_method1("recover", (prepared,));
        if let Err(error) = recovered {
            // The first failure is the one to tell of.
            let _ = built.close(py);
            return Err(calling("recover")(error));
        }
        Ok(Box::new(built))
    }
}

/// A `TwoPhaseSinkPartition`.
struct PyTwoPhasePartition {
    part: Py<PyAny>,
    /// What is prepared and not committed, by epoch.
    prepared: Vec<(Epoch, Py<PyAny>)>,
    /// Whether anything was written that isn't prepared.
    is_dirty: bool,
}

impl SinkPartition<Python3> for PyTwoPhasePartition {
    fn write_batch(&mut self, py: Python<'_>, items: PyRows) -> Result<(), PyFailure> {
        let failed = calling("write_batch");
        let items = items.into_list(py).map_err(&failed)?;
        self.is_dirty = true;
        self.part
            .bind(py)
            .call_method1(pyo3::intern!(py, "write_batch"), (items,))
            .map_err(&failed)?;
        Ok(())
    }

    fn snapshot(&mut self, py: Python<'_>) -> Result<Option<Saved>, PyFailure> {
        let prepared: Vec<_> = self
            .prepared
            .iter()
            .map(|(_, each)| each.bind(py))
            .collect();
        pickled_of(py, prepared).map(Some)
    }

    fn prepare(&mut self, py: Python<'_>, epoch: Epoch) -> Result<(), PyFailure> {
        if self.is_dirty {
            let prepared = self
                .part
                .bind(py)
                .call_method1(pyo3::intern!(py, "prepare"), (epoch.0,))
                .map_err(calling("prepare"))?;
            self.is_dirty = false;
            self.prepared.push((epoch, prepared.unbind()));
        }
        Ok(())
    }

    fn publish(&mut self, py: Python<'_>, through: Epoch) -> Result<bool, PyFailure> {
        let later = self
            .prepared
            .partition_point(|(epoch, _)| *epoch <= through);
        for (_, prepared) in &self.prepared[..later] {
            self.part
                .bind(py)
                .call_method1(pyo3::intern!(py, "commit"), (prepared,))
                .map_err(calling("commit"))?;
        }
        self.prepared.drain(..later);
        Ok(later > 0)
    }

    fn close(&mut self, py: Python<'_>) -> Result<(), PyFailure> {
        let part = self.part.bind(py);
        let aborted = if self.is_dirty {
            part.call_method0("abort").map_err(calling("abort"))
        } else {
            Ok(part.clone())
        };
        let closed = part
            .call_method0(pyo3::intern!(py, "close"))
            .map_err(calling("close"));
        aborted.and(closed).map(drop)
    }
}
