//! `join`: the values that several streams have for a key.
//!
//! Each side is a stream of its own, so that a value need not say which it belongs to.

use millstream_engine::join::{Insert, Sides};
use millstream_engine::logic::{Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::callables::calling;
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::saved::{pickled_of, reading, unpickled};

/// When to emit the values of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmitMode {
    Complete,
    Final,
    Running,
}

#[derive(Clone, Copy)]
pub(crate) struct JoinStep {
    pub(crate) sides: usize,
    pub(crate) insert: Insert,
    pub(crate) emit: EmitMode,
}

impl StatefulBatch<Python3> for JoinStep {
    fn form(&self) -> String {
        format!("a `join` of {} sides", self.sides)
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        KeyedStep::new(JoinLogic {
            step: *self,
            side: 0,
        })
    }
}

/// A join on one worker.
struct JoinLogic {
    step: JoinStep,
    /// The side of the batch at hand.
    side: usize,
}

type State = Sides<Py<PyAny>>;

fn emit_rows(py: Python<'_>, seen: &State, emit: &mut Emit<Python3>) -> Result<(), PyFailure> {
    for row in seen.rows() {
        let row = row.map(|value| value.map_or_else(|| py.None(), |v| v.clone_ref(py)));
        let row = PyTuple::new(py, row).map_err(calling("join"))?;
        emit.push(row.into_any().unbind());
    }
    Ok(())
}

impl KeyedLogic<Python3> for JoinLogic {
    type State = State;

    fn build(&mut self, _py: Python<'_>, _key: &PyKey) -> Result<State, PyFailure> {
        Ok(Sides::new(self.step.sides))
    }

    fn resume(&mut self, py: Python<'_>, _key: &PyKey, saved: &Saved) -> Result<State, PyFailure> {
        let sides: Vec<Vec<Py<PyAny>>> = unpickled(py, saved)?.extract().map_err(reading)?;
        let mut seen = Sides::new(self.step.sides);
        for (side, values) in sides.into_iter().enumerate() {
            for value in values {
                seen.insert(Insert::Product, side, value);
            }
        }
        Ok(seen)
    }

    fn snapshot(&mut self, py: Python<'_>, seen: &mut State) -> Result<Saved, PyFailure> {
        pickled_of(py, seen.sides().collect::<Vec<_>>())
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        seen: &mut State,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut fate = Fate::Retain;
        for value in values.drain(..) {
            seen.insert(self.step.insert, self.side, value);
            fate = Fate::Retain;
            match self.step.emit {
                EmitMode::Running => emit_rows(py, seen, emit)?,
                EmitMode::Complete if seen.is_complete() => {
                    emit_rows(py, seen, emit)?;
                    seen.clear();
                    fate = Fate::Discard;
                }
                EmitMode::Complete | EmitMode::Final => {}
            }
        }
        Ok(fate)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        seen: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        if self.step.emit != EmitMode::Final {
            return Ok(Fate::Retain);
        }
        emit_rows(py, seen, emit)?;
        Ok(Fate::Discard)
    }

    fn begin_batch(&mut self, input: usize) {
        self.side = input;
    }

    fn is_called_in_order(&self) -> bool {
        false
    }
}
