//! Runs of stateless steps, which `millstream._fusion` makes one Python function of.

use std::sync::Arc;

use millstream_engine::host::Failure;
use millstream_engine::logic::FlatMapBatch;
use millstream_engine::plan::StepId;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::callables::{calling, describe, extend};
use crate::host::{PyFailure, Python3};

/// One step: a `millstream._fusion.Stage`.
pub(crate) struct PyStage(Py<PyAny>);

impl PyStage {
    pub(crate) fn new(
        py: Python<'_>,
        kind: &str,
        step: &StepId,
        function: Option<(&Bound<'_, PyAny>, &str)>,
    ) -> PyResult<Self> {
        let (function, role) = function.map_or((None, ""), |(f, role)| (Some(f), role));
        let stage = py
            .import("millstream._fusion")?
            .getattr("Stage")?
            .call1((kind, &*step.0, function, role))?;
        Ok(Self(stage.unbind()))
    }
}

/// Several steps: a `millstream._fusion.Fused`.
struct PyFused {
    fused: Py<PyAny>,
    call: Py<PyAny>,
}

pub(crate) fn fuse(
    py: Python<'_>,
    stages: &[&PyStage],
) -> Result<Arc<dyn FlatMapBatch<Python3>>, PyFailure> {
    let make = || {
        let stages = PyList::new(py, stages.iter().map(|stage| &stage.0))?;
        let fused = py
            .import("millstream._fusion")?
            .getattr("Fused")?
            .call1((stages,))?;
        let call = fused.getattr("call")?.unbind();
        Ok(PyFused {
            fused: fused.unbind(),
            call,
        })
    };
    let fused = make().map_err(|error| Failure::new("fusing steps", error))?;
    Ok(Arc::new(fused))
}

impl FlatMapBatch<Python3> for PyFused {
    fn flat_map(
        &self,
        py: Python<'_>,
        items: Vec<Py<PyAny>>,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        let failed = |error| self.explain(py, error);
        let items = PyList::new(py, items).map_err(failed)?;
        let made = self.call.bind(py).call1((items,)).map_err(failed)?;
        extend(emit, &made, "fused")
    }
}

impl PyFused {
    /// The failure of the step that the exception came from.
    fn explain(&self, py: Python<'_>, error: PyErr) -> PyFailure {
        let error = error.into_value(py);
        let explained = self
            .fused
            .bind(py)
            .call_method1("explain", (&error,))
            .and_then(|failed| {
                if failed.is_none() {
                    return Ok(None);
                }
                let stage = failed.getattr("stage")?;
                let step: String = stage.getattr("step_id")?.extract()?;
                let role: String = stage.getattr("role")?.extract()?;
                let item = failed.getattr("item")?;
                let item = item.cast::<PyTuple>()?.iter().next();
                Ok(Some((step, role, item)))
            });
        // `explain` has changed the traceback, which the value carries.
        let error = PyErr::from_value(error.into_bound(py).into_any());
        let Ok(Some((step, role, item))) = explained else {
            return Failure::new("running its code", error);
        };
        let failure = if role.is_empty() {
            Failure::new("processing an item", error)
        } else {
            calling(&role)(error)
        };
        let failure = failure.in_step(StepId(step.into()));
        match item {
            Some(item) => failure.with_item(describe(&item)),
            None => failure,
        }
    }
}
