//! Plain functions: mappers, predicates, inspectors.

use millstream_engine::batch::Batch;
use millstream_engine::epoch::Epoch;
use millstream_engine::host::Failure;
use millstream_engine::logic::{FlatMapBatch, Inspector, Predicate};
use millstream_engine::plan::StepId;
use pyo3::prelude::*;

use crate::callables::{Named, calling, describe, real_bool, rows_of};
use crate::host::{PyFailure, Python3};
use crate::rows::PyRows;

/// The `mapper` of `flat_map_batch`.
pub(crate) struct PyMapper(pub(crate) Named);

impl FlatMapBatch<Python3> for PyMapper {
    fn flat_map(&self, py: Python<'_>, items: PyRows) -> Result<Batch<Python3>, PyFailure> {
        let failed = calling(&self.0.name);
        let items = items.into_list(py).map_err(&failed)?;
        let mapper = self.0.callable.bind(py);
        let made = mapper.call1((items,)).map_err(&failed)?;
        rows_of(made, &self.0.name).map(Batch::Rows)
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
