//! `stateful_map` and `stateful_flat_map`.

use std::sync::Arc;

use millstream_engine::logic::{Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::callables::{extend, is_iterable};
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::keyed::Function;
use crate::saved::{pickled, unpickled};

/// A step with a mapper, for all workers.
#[derive(Clone)]
pub(crate) struct MapStep {
    mapper: Arc<Function>,
    /// Whether the mapper returns many values to emit, or one.
    emits_many: bool,
}

impl MapStep {
    pub(crate) fn new(mapper: Function, emits_many: bool) -> Self {
        Self {
            mapper: Arc::new(mapper),
            emits_many,
        }
    }

    fn on_item(
        &self,
        py: Python<'_>,
        state: &mut State,
        value: Py<PyAny>,
        emit: &mut Emit<Python3>,
    ) -> Result<(), PyFailure> {
        let none = py.None();
        let before = state.as_ref().unwrap_or(&none).bind(py);
        let returned = self.mapper.call_on(py, before, &value)?;
        let Some((after, emitted)) = pair(&returned) else {
            let expected = if self.emits_many {
                "a 2-tuple of `(updated_state, emit_values)`"
            } else {
                "a 2-tuple of `(updated_state, emit_value)`"
            };
            return Err(self.mapper.wrong_return(expected, &returned));
        };
        *state = (!after.is_none()).then(|| after.unbind());
        if !self.emits_many {
            emit.push(emitted.unbind());
        } else if emitted.is_instance_of::<PyString>() {
            let expected = "`(updated_state, emit_values)` with `emit_values` in a list: \
                            a `str` would be taken apart";
            return Err(self.mapper.wrong_return(expected, &emitted));
        } else if is_iterable(&emitted) {
            extend(emit.to(0), &emitted, self.mapper.role)?;
        } else {
            let expected = "`(updated_state, emit_values)` with iterable `emit_values`";
            return Err(self.mapper.wrong_return(expected, &emitted));
        }
        Ok(())
    }
}

/// The two parts of a 2-tuple.
#[inline]
fn pair<'py>(object: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let pair = object.cast::<PyTuple>().ok()?;
    if pair.len() != 2 {
        return None;
    }
    let part = |index| Some(pair.get_borrowed_item(index).ok()?.to_owned());
    Some((part(0)?, part(1)?))
}

/// No state is what the mapper sees as None.
type State = Option<Py<PyAny>>;

impl StatefulBatch<Python3> for MapStep {
    fn form(&self) -> String {
        "a `stateful_map`".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        KeyedStep::new(self.clone())
    }
}

impl KeyedLogic<Python3> for MapStep {
    type State = State;

    fn build(&mut self, _py: Python<'_>, _key: &PyKey) -> Result<State, PyFailure> {
        Ok(None)
    }

    fn resume(&mut self, py: Python<'_>, _key: &PyKey, saved: &Saved) -> Result<State, PyFailure> {
        Ok(Some(unpickled(py, saved)?.unbind()))
    }

    fn snapshot(&mut self, py: Python<'_>, state: &mut State) -> Result<Saved, PyFailure> {
        let none = py.None();
        pickled(state.as_ref().unwrap_or(&none).bind(py))
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        for value in values.drain(..) {
            self.on_item(py, state, value, emit)?;
        }
        Ok(if state.is_some() {
            Fate::Retain
        } else {
            Fate::Discard
        })
    }
}
