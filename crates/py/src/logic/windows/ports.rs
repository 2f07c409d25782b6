//! The three outputs of a step on windows.

use millstream_engine::logic::Emit;
use millstream_engine::window::{Metadata, Sink, Windowing};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};

use crate::callables::calling;
use crate::host::{PyFailure, Python3};
use crate::logic::windows::PACKAGE;
use crate::time::datetime_of;

/// The outputs, as `WindowOut` names them.
const DOWN: usize = 0;
const LATE: usize = 1;
const META: usize = 2;

/// The settings of a step, of whose outputs these are taken by somebody.
pub(super) fn heard(windowing: Windowing, wanted: &[bool]) -> Windowing {
    let is_wanted = |port: usize| wanted.get(port).copied().unwrap_or(false);
    Windowing {
        wants_late: is_wanted(LATE),
        wants_meta: is_wanted(META),
        ..windowing
    }
}

/// Puts what happens to windows on the three outputs.
pub(super) struct Ports<'py, 'a> {
    py: Python<'py>,
    emit: &'a mut Emit<Python3>,
    /// The first object that could not be made.
    error: Option<PyErr>,
}

impl<'py, 'a> Ports<'py, 'a> {
    pub(super) fn new(py: Python<'py>, emit: &'a mut Emit<Python3>) -> Self {
        Self {
            py,
            emit,
            error: None,
        }
    }

    fn put(&mut self, port: usize, id: i64, item: Py<PyAny>) {
        let pair = id
            .into_pyobject(self.py)
            .map_err(PyErr::from)
            .and_then(|id| PyTuple::new(self.py, [id.into_any(), item.into_bound(self.py)]));
        match pair {
            Ok(pair) => self.emit.to(port).push(pair.into_any().unbind()),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }

    /// All of it is there, unless an object could not be made.
    pub(super) fn finish(self) -> Result<(), PyFailure> {
        match self.error {
            None => Ok(()),
            Some(error) => Err(calling("window")(error)),
        }
    }
}

impl Sink<Py<PyAny>, Py<PyAny>> for Ports<'_, '_> {
    fn late(&mut self, id: i64, value: Py<PyAny>) {
        self.put(LATE, id, value);
    }

    fn emit(&mut self, id: i64, out: Py<PyAny>) {
        self.put(DOWN, id, out);
    }

    fn meta(&mut self, id: i64, metadata: Metadata) {
        match window_metadata(self.py, &metadata) {
            Ok(metadata) => self.put(META, id, metadata),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }
}

fn window_metadata(py: Python<'_>, metadata: &Metadata) -> PyResult<Py<PyAny>> {
    let open = datetime_of(py, metadata.open)?;
    let close = datetime_of(py, metadata.close)?;
    let merged = PySet::new(py, &metadata.merged)?;
    let class = py.import(PACKAGE)?.getattr("WindowMetadata")?;
    Ok(class.call1((open, close, merged))?.unbind())
}
