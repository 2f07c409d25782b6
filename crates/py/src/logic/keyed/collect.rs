//! `collect`: values in lists, by size or by age.

use std::time::Duration;

use millstream_engine::clock::{Clock, Micros, SystemClock};
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::calling;
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::saved::{pickled_of, reading, unpickled};

/// How large and how old a list may become.
#[derive(Clone, Copy)]
pub(crate) struct CollectStep {
    pub(crate) timeout: Duration,
    pub(crate) max_size: usize,
    pub(crate) clock: SystemClock,
}

impl StatefulBatch<Python3> for CollectStep {
    fn form(&self) -> String {
        "a `collect`".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        KeyedStep::new(*self)
    }
}

/// The list of a key.
pub(crate) struct State {
    values: Vec<Py<PyAny>>,
    /// When the first of the values will be too old.
    timeout_at: Option<Micros>,
}

impl State {
    fn emit(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<(), PyFailure> {
        self.timeout_at = None;
        if !self.values.is_empty() {
            let list = PyList::new(py, self.values.drain(..)).map_err(calling("collect"))?;
            emit.push(list.into_any().unbind());
        }
        Ok(())
    }
}

impl KeyedLogic<Python3> for CollectStep {
    type State = State;

    fn build(&mut self, _py: Python<'_>, _key: &PyKey) -> Result<State, PyFailure> {
        Ok(State {
            values: Vec::new(),
            timeout_at: None,
        })
    }

    fn resume(&mut self, py: Python<'_>, _key: &PyKey, saved: &Saved) -> Result<State, PyFailure> {
        let (values, timeout_at): (Vec<Py<PyAny>>, Option<i64>) =
            unpickled(py, saved)?.extract().map_err(reading)?;
        Ok(State {
            values,
            timeout_at: timeout_at.map(Micros),
        })
    }

    fn snapshot(&mut self, py: Python<'_>, state: &mut State) -> Result<Saved, PyFailure> {
        let timeout_at = state.timeout_at.map(|at| at.0);
        pickled_of(py, (&state.values, timeout_at))
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        for value in values.drain(..) {
            if state.values.is_empty() {
                // Saturates: the end of time is as good as never.
                state.timeout_at = Some(self.clock.wall().after(self.timeout));
            }
            state.values.push(value);
            if state.values.len() >= self.max_size {
                state.emit(py, emit)?;
            }
        }
        Ok(if state.values.is_empty() {
            Fate::Discard
        } else {
            Fate::Retain
        })
    }

    fn on_notify(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        state.emit(py, emit)?;
        Ok(Fate::Discard)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        state.emit(py, emit)?;
        Ok(Fate::Discard)
    }

    fn notify_at(
        &mut self,
        _py: Python<'_>,
        state: &mut State,
    ) -> Result<Option<Micros>, PyFailure> {
        Ok(state.timeout_at)
    }

    fn is_called_in_order(&self) -> bool {
        false
    }

    fn asking(&self) -> Asking {
        Asking::Later
    }
}
