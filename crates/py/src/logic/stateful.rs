//! `StatefulBatchLogic` objects, one for each key.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use millstream_engine::plan::StepId;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::{calling, emit_and_fate, instance_of};
use crate::host::{PyFailure, PyKey, Python3};
use crate::time::moment;

/// The `builder` of `stateful_batch`.
#[derive(Clone)]
pub(crate) struct PyBuilder {
    pub(crate) builder: Arc<Py<PyAny>>,
    /// The step that errors name.
    pub(crate) step: StepId,
}

impl StatefulBatch<Python3> for PyBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(self.clone())
    }
}

impl KeyBuilder<Python3> for PyBuilder {
    fn build(&self, py: Python<'_>, _key: &PyKey) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        let built = self.builder.bind(py).call1((py.None(),));
        let built = built.map_err(calling("builder"))?;
        let logic = instance_of(
            built,
            "millstream.operators",
            "StatefulBatchLogic",
            "builder",
        )?;
        Ok(Box::new(PyLogic {
            logic,
            step: self.step.clone(),
        }))
    }
}

struct PyLogic {
    logic: Py<PyAny>,
    step: StepId,
}

impl KeyLogic<Python3> for PyLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let failed = calling("on_batch");
        let values = PyList::new(py, values.drain(..)).map_err(&failed)?;
        let logic = self.logic.bind(py);
        let returned = logic
            .call_method1(pyo3::intern!(py, "on_batch"), (values,))
            .map_err(&failed)?;
        emit_and_fate(logic, "on_batch", &self.step, &returned, emit)
    }

    fn on_notify(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        let logic = self.logic.bind(py);
        let returned = logic
            .call_method0(pyo3::intern!(py, "on_notify"))
            .map_err(calling("on_notify"))?;
        emit_and_fate(logic, "on_notify", &self.step, &returned, emit)
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        let logic = self.logic.bind(py);
        let returned = logic
            .call_method0(pyo3::intern!(py, "on_eof"))
            .map_err(calling("on_eof"))?;
        emit_and_fate(logic, "on_eof", &self.step, &returned, emit)
    }

    fn notify_at(&mut self, py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        let logic = self.logic.bind(py);
        logic
            .call_method0(pyo3::intern!(py, "notify_at"))
            .and_then(|at| moment(&at, "notify_at"))
            .map_err(calling("notify_at"))
    }
}
