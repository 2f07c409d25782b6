//! `stateful`: the user's own `StatefulLogic` objects, called value by value.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;

use crate::callables::{calling, emit_and_fate, is_a};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::keyed::Function;
use crate::saved::{pickled, snapshot_of, unpickled};
use crate::time::moment;

/// The `builder` of `stateful`.
#[derive(Clone)]
pub(crate) struct StatefulStep(pub(crate) Arc<Function>);

impl StatefulBatch<Python3> for StatefulStep {
    fn form(&self) -> String {
        "a `stateful`".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        KeyedStep::new(self.clone())
    }
}

fn make(builder: &Function, resume_state: &Bound<'_, PyAny>) -> Result<Py<PyAny>, PyFailure> {
    let py = resume_state.py();
    let built = builder.callable.bind(py).call1((resume_state,));
    let built = built.map_err(calling(builder.role))?;
    if is_a(&built, "millstream.operators", "StatefulLogic")? {
        return Ok(built.unbind());
    }
    Err(builder.wrong_return("a `StatefulLogic`", &built))
}

/// None after the logic discarded itself, until the next value.
type State = Option<Py<PyAny>>;

impl StatefulStep {
    /// Calls a method without arguments, and does as it says.
    fn tell(
        &self,
        py: Python<'_>,
        state: &State,
        method: &str,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let Some(logic) = state else {
            return Ok(Fate::Discard);
        };
        let logic = logic.bind(py);
        let returned = logic.call_method0(method).map_err(calling(method))?;
        emit_and_fate(logic, method, &self.0.step, &returned, emit)
    }
}

impl KeyedLogic<Python3> for StatefulStep {
    type State = State;

    fn build(&mut self, py: Python<'_>, _key: &PyKey) -> Result<State, PyFailure> {
        make(&self.0, &py.None().into_bound(py)).map(Some)
    }

    fn resume(&mut self, py: Python<'_>, _key: &PyKey, saved: &Saved) -> Result<State, PyFailure> {
        make(&self.0, &unpickled(py, saved)?).map(Some)
    }

    fn snapshot(&mut self, py: Python<'_>, state: &mut State) -> Result<Saved, PyFailure> {
        let none = py.None();
        match state {
            Some(logic) => snapshot_of(logic.bind(py)),
            None => pickled(none.bind(py)),
        }
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        const METHOD: &str = "on_item";
        for value in values.drain(..) {
            let logic = match state {
                Some(logic) => logic,
                None => state.insert(make(&self.0, &py.None().into_bound(py))?),
            };
            let logic = logic.bind(py);
            let returned = logic
                .call_method1(pyo3::intern!(py, "on_item"), (value,))
                .map_err(calling(METHOD))?;
            let fate = emit_and_fate(logic, METHOD, &self.0.step, &returned, emit)?;
            if fate == Fate::Discard {
                *state = None;
            }
        }
        Ok(if state.is_some() {
            Fate::Retain
        } else {
            Fate::Discard
        })
    }

    fn on_notify(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        self.tell(py, state, "on_notify", emit)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        self.tell(py, state, "on_eof", emit)
    }

    fn notify_at(
        &mut self,
        py: Python<'_>,
        state: &mut State,
    ) -> Result<Option<Micros>, PyFailure> {
        let Some(logic) = state else {
            return Ok(None);
        };
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
