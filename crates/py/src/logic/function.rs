//! Plain functions: mappers, predicates, inspectors.

use millstream_engine::epoch::Epoch;
use millstream_engine::host::Failure;
use millstream_engine::logic::{FlatMapBatch, Inspector, Predicate};
use millstream_engine::plan::StepId;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::{Named, calling, describe, extend, real_bool};
use crate::host::{PyFailure, Python3};

/// The `mapper` of `flat_map_batch`.
pub(crate) struct PyMapper(pub(crate) Named);

impl FlatMapBatch<Python3> for PyMapper {
    fn flat_map(
        &self,
        py: Python<'_>,
        items: Vec<Py<PyAny>>,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        let failed = calling(&self.0.name);
        let items = PyList::new(py, items).map_err(&failed)?;
        let mapper = self.0.callable.bind(py);
        let made = mapper.call1((items,)).map_err(&failed)?;
        extend(emit, &made, &self.0.name)
    }
}

/// The `predicate` of `branch`.
pub(crate) struct PyPredicate(pub(crate) Py<PyAny>);

impl Predicate<Python3> for PyPredicate {
    fn test(&self, py: Python<'_>, item: &Py<PyAny>) -> Result<bool, PyFailure> {
        self.0
            .bind(py)
            .call1((item,))
            .and_then(|answer| real_bool(&answer, "what `predicate` returns"))
            .map_err(|error| failed("predicate", item.bind(py), error))
    }
}

/// The `inspector` of `inspect_debug`.
pub(crate) struct PyInspector(pub(crate) Py<PyAny>);

impl Inspector<Python3> for PyInspector {
    fn inspect(
        &self,
        py: Python<'_>,
        step: &StepId,
        item: &Py<PyAny>,
        epoch: Epoch,
        worker: usize,
    ) -> Result<(), PyFailure> {
        self.0
            .bind(py)
            .call1((&*step.0, item, epoch.0, worker))
            .map_err(|error| failed("inspector", item.bind(py), error))?;
        Ok(())
    }
}

fn failed(what: &str, item: &Bound<'_, PyAny>, error: PyErr) -> PyFailure {
    Failure::new(format!("calling `{what}`"), error).with_item(describe(item))
}
