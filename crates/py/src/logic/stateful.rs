//! `StatefulBatchLogic` objects, one for each key.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::{calling, emit_and_fate, instance_of};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::saved::{snapshot_of, unpickled};
use crate::time::moment;

/// The `builder` of `stateful_batch`.
#[derive(Clone)]
pub(crate) struct PyBuilder {
    pub(crate) builder: Arc<Py<PyAny>>,
    /// The step that errors name.
    pub(crate) step: StepId,
}

impl StatefulBatch<Python3> for PyBuilder {
    fn form(&self) -> String {
        "a `stateful_batch`".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        KeyedStep::new(self.clone())
    }
}

impl PyBuilder {
    /// Makes the logic of a key, of what was kept of it or of `None`.
    fn make(&self, resume_state: &Bound<'_, PyAny>) -> Result<Py<PyAny>, PyFailure> {
        let built = self.builder.bind(resume_state.py()).call1((resume_state,));
        instance_of(
            built.map_err(calling("builder"))?,
            "millstream.operators",
            "StatefulBatchLogic",
            "builder",
        )
    }

    /// Does as a method of the logic says.
    fn obey(
        &self,
        logic: &Bound<'_, PyAny>,
        method: &str,
        returned: PyResult<Bound<'_, PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let returned = returned.map_err(calling(method))?;
        emit_and_fate(logic, method, &self.step, &returned, emit)
    }
}

impl KeyedLogic<Python3> for PyBuilder {
    /// The user's `StatefulBatchLogic`.
    type State = Py<PyAny>;

    fn build(&mut self, py: Python<'_>, _key: &PyKey) -> Result<Py<PyAny>, PyFailure> {
        self.make(&py.None().into_bound(py))
    }

    fn resume(
        &mut self,
        py: Python<'_>,
        _key: &PyKey,
        saved: &Saved,
    ) -> Result<Py<PyAny>, PyFailure> {
        self.make(&unpickled(py, saved)?)
    }

    fn snapshot(&mut self, py: Python<'_>, logic: &mut Py<PyAny>) -> Result<Saved, PyFailure> {
        snapshot_of(logic.bind(py))
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        logic: &mut Py<PyAny>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        const METHOD: &str = "on_batch";
        let values = PyList::new(py, values.drain(..)).map_err(calling(METHOD))?;
        let logic = logic.bind(py);
        let returned = logic.call_method1(pyo3::intern!(py, "on_batch"), (values,));
        self.obey(logic, METHOD, returned, emit)
    }

    fn on_notify(
        &mut self,
        py: Python<'_>,
        logic: &mut Py<PyAny>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let logic = logic.bind(py);
        let returned = logic.call_method0(pyo3::intern!(py, "on_notify"));
        self.obey(logic, "on_notify", returned, emit)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        logic: &mut Py<PyAny>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let logic = logic.bind(py);
        let returned = logic.call_method0(pyo3::intern!(py, "on_eof"));
        self.obey(logic, "on_eof", returned, emit)
    }

    fn notify_at(
        &mut self,
        py: Python<'_>,
        logic: &mut Py<PyAny>,
    ) -> Result<Option<Micros>, PyFailure> {
        logic
            .bind(py)
            .call_method0(pyo3::intern!(py, "notify_at"))
            .and_then(|at| moment(&at, "notify_at"))
            .map_err(calling("notify_at"))
    }

    fn asking(&self) -> Asking {
        Asking::AtOnce
    }
}
