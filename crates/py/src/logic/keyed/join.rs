//! `join`: the values that several streams have for a key.
//!
//! Values arrive as `(side, value)` pairs, since the sides were merged into one stream.

use millstream_engine::clock::Micros;
use millstream_engine::join::{Insert, Sides};
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::callables::calling;
use crate::host::{PyFailure, PyKey, Python3};

/// When to emit the values of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmitMode {
    Complete,
    Final,
    Running,
}

#[derive(Clone, Copy)]
pub(crate) struct JoinBuilder {
    pub(crate) sides: usize,
    pub(crate) insert: Insert,
    pub(crate) emit: EmitMode,
}

impl StatefulBatch<Python3> for JoinBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(*self)
    }
}

impl KeyBuilder<Python3> for JoinBuilder {
    fn build(
        &self,
        _py: Python<'_>,
        _key: &PyKey,
    ) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        Ok(Box::new(JoinLogic {
            emit_mode: self.emit,
            seen: Sides::new(self.sides, self.insert),
        }))
    }
}

struct JoinLogic {
    emit_mode: EmitMode,
    seen: Sides<Py<PyAny>>,
}

impl JoinLogic {
    fn rows(&self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<(), PyFailure> {
        for row in self.seen.rows() {
            let row = row.map(|value| value.map_or_else(|| py.None(), |v| v.clone_ref(py)));
            let row = PyTuple::new(py, row).map_err(calling("join"))?;
            emit.push(row.into_any().unbind());
        }
        Ok(())
    }
}

impl KeyLogic<Python3> for JoinLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut fate = Fate::Retain;
        for value in values.drain(..) {
            let (side, value): (usize, Py<PyAny>) = value.extract(py).map_err(calling("join"))?;
            self.seen.insert(side, value);
            fate = Fate::Retain;
            match self.emit_mode {
                EmitMode::Running => self.rows(py, emit)?,
                EmitMode::Complete if self.seen.is_complete() => {
                    self.rows(py, emit)?;
                    self.seen.clear();
                    fate = Fate::Discard;
                }
                EmitMode::Complete | EmitMode::Final => {}
            }
        }
        Ok(fate)
    }

    fn on_notify(&mut self, _py: Python<'_>, _emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        Ok(Fate::Retain)
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        if self.emit_mode != EmitMode::Final {
            return Ok(Fate::Retain);
        }
        self.rows(py, emit)?;
        Ok(Fate::Discard)
    }

    fn notify_at(&mut self, _py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        Ok(None)
    }
}
