//! `stateful_map` and `stateful_flat_map`.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::callables::{calling, extend, is_iterable};
use crate::host::{PyFailure, PyKey, Python3};
use crate::logic::keyed::Function;

/// The shared part of all keys.
#[derive(Clone)]
pub(crate) struct MapBuilder {
    mapper: Arc<Function>,
    /// Whether the mapper returns many values to emit, or one.
    emits_many: bool,
}

impl MapBuilder {
    pub(crate) fn new(mapper: Function, emits_many: bool) -> Self {
        Self {
            mapper: Arc::new(mapper),
            emits_many,
        }
    }
}

impl StatefulBatch<Python3> for MapBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(self.clone())
    }
}

impl KeyBuilder<Python3> for MapBuilder {
    fn build(
        &self,
        _py: Python<'_>,
        _key: &PyKey,
    ) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        Ok(Box::new(MapLogic {
            mapper: Arc::clone(&self.mapper),
            emits_many: self.emits_many,
            state: None,
        }))
    }
}

struct MapLogic {
    mapper: Arc<Function>,
    emits_many: bool,
    /// No state is what the mapper sees as None.
    state: Option<Py<PyAny>>,
}

impl MapLogic {
    fn on_item(
        &mut self,
        py: Python<'_>,
        value: Py<PyAny>,
        emit: &mut Emit<Python3>,
    ) -> Result<(), PyFailure> {
        let none = py.None();
        let state = self.state.as_ref().unwrap_or(&none).bind(py);
        let returned = self.mapper.call_on(py, state, &value)?;
        let pair = returned
            .cast::<PyTuple>()
            .ok()
            .filter(|pair| pair.len() == 2)
            .ok_or_else(|| {
                let expected = if self.emits_many {
                    "a 2-tuple of `(updated_state, emit_values)`"
                } else {
                    "a 2-tuple of `(updated_state, emit_value)`"
                };
                self.mapper.wrong_return(expected, &returned)
            })?;
        let failed = calling(self.mapper.role);
        let state = pair.get_item(0).map_err(&failed)?;
        let emitted = pair.get_item(1).map_err(&failed)?;
        self.state = (!state.is_none()).then(|| state.unbind());
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

impl KeyLogic<Python3> for MapLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        for value in values.drain(..) {
            self.on_item(py, value, emit)?;
        }
        Ok(if self.state.is_some() {
            Fate::Retain
        } else {
            Fate::Discard
        })
    }

    fn on_notify(&mut self, _py: Python<'_>, _emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        Ok(Fate::Retain)
    }

    fn on_eof(&mut self, _py: Python<'_>, _emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        Ok(Fate::Retain)
    }

    fn notify_at(&mut self, _py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        Ok(None)
    }
}
