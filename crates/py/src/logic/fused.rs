//! Runs of stateless steps, which `millstream._fusion` makes one Python function of.

use std::sync::Arc;

use millstream_engine::batch::Batch;
use millstream_engine::host::Failure;
use millstream_engine::logic::FlatMapBatch;
use millstream_engine::plan::StepId;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::callables::{calling, describe, rows_of};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::rows::PyRows;

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
    /// The step that gets keys and values apart, as two lists; if there is one.
    keyed_for: Option<StepId>,
}

pub(crate) fn fuse(
    py: Python<'_>,
    stages: &[&PyStage],
    keyed_for: Option<&StepId>,
) -> Result<Arc<dyn FlatMapBatch<Python3>>, PyFailure> {
    let make = || {
        let stages = PyList::new(py, stages.iter().map(|stage| &stage.0))?;
        let fused = py
            .import("millstream._fusion")?
            .getattr("Fused")?
            .call1((stages, keyed_for.is_some()))?;
        let is_keyed: bool = fused.getattr("is_keyed")?.extract()?;
        Ok(PyFused {
            call: fused.getattr("call")?.unbind(),
            fused: fused.unbind(),
            keyed_for: keyed_for.filter(|_| is_keyed).cloned(),
        })
    };
    let fused = make().map_err(|error| Failure::new("fusing steps", error))?;
    Ok(Arc::new(fused))
}

impl FlatMapBatch<Python3> for PyFused {
    fn flat_map(&self, py: Python<'_>, items: PyRows) -> Result<Batch<Python3>, PyFailure> {
        let failed = |error| self.explain(py, error);
        let items = items.into_list(py).map_err(failed)?;
        let made = self.call.bind(py).call1((items,)).map_err(failed)?;
        match &self.keyed_for {
            None => rows_of(made, "fused").map(Batch::Rows),
            Some(step) => keyed(&made, step).map_err(|error| {
                let failure = Failure::new("taking the key out of an item", error);
                failure.in_step(step.clone())
            }),
        }
    }
}

/// A batch of two lists: keys, and their values.
fn keyed(made: &Bound<'_, PyAny>, step: &StepId) -> PyResult<Batch<Python3>> {
    let (keys, values): (Bound<'_, PyList>, Bound<'_, PyList>) = made.extract()?;
    let pairs = keys
        .iter()
        .zip(values.iter())
        .map(|(key, value)| Ok((PyKey::new(key, step)?, value.unbind())));
    pairs.collect::<PyResult<_>>().map(Batch::Keyed)
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
