//! The windows of one key, as the logic of a stateful step with three outputs.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use millstream_engine::plan::StepId;
use millstream_engine::window::{KeyWindows, Metadata, Sink, WindowStep, Windowing};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};

use crate::callables::calling;
use crate::host::{PyFailure, PyKey, Python3};
use crate::logic::windows::{EventTime, PACKAGE, WindowFold};
use crate::time::datetime_of;

/// The outputs, as `WindowOut` names them.
const DOWN: usize = 0;
const LATE: usize = 1;
const META: usize = 2;

/// A windowing step, for all workers.
pub(crate) struct WindowStepBuilder {
    pub(crate) step: StepId,
    pub(crate) time: EventTime,
    pub(crate) windowing: Windowing,
    pub(crate) fold: WindowFold,
}

impl StatefulBatch<Python3> for WindowStepBuilder {
    fn start(&self, wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        let is_wanted = |port: usize| wanted.get(port).copied().unwrap_or(false);
        let windowing = Windowing {
            wants_late: is_wanted(LATE),
            wants_meta: is_wanted(META),
            ..self.windowing
        };
        Box::new(WindowKeyBuilder(Rc::new(Shared {
            step: self.step.clone(),
            time: self.time.clone(),
            windows: RefCell::new(WindowStep::new(windowing, self.fold.clone())),
        })))
    }
}

/// What the keys of a worker share.
struct Shared {
    step: StepId,
    time: EventTime,
    /// Borrowed by one key at a time. Held while user code runs, which can't get here
    /// again: it has no way to reach the worker that calls it.
    windows: RefCell<WindowStep<Py<PyAny>, WindowFold>>,
}

struct WindowKeyBuilder(Rc<Shared>);

impl KeyBuilder<Python3> for WindowKeyBuilder {
    fn build(&self, py: Python<'_>, _key: &PyKey) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        let now = self.0.time.now(py, &self.0.step)?;
        Ok(Box::new(WindowKey {
            shared: Rc::clone(&self.0),
            windows: KeyWindows::new(now),
        }))
    }
}

struct WindowKey {
    shared: Rc<Shared>,
    windows: KeyWindows<Py<PyAny>, WindowFold>,
}

impl KeyLogic<Python3> for WindowKey {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let Shared {
            step,
            time,
            windows,
        } = &*self.shared;
        let now = time.now(py, step)?;
        let timed = values
            .drain(..)
            .map(|value| Ok((time.timestamp(py, step, &value)?, value)));
        let mut sink = Ports::new(py, emit);
        self.windows
            .on_batch(&mut windows.borrow_mut(), py, now, timed, &mut sink)?;
        sink.finish()
    }

    fn on_notify(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        let Shared {
            step,
            time,
            windows,
        } = &*self.shared;
        let now = time.now(py, step)?;
        let mut sink = Ports::new(py, emit);
        self.windows
            .on_notify(&mut windows.borrow_mut(), py, now, &mut sink)?;
        sink.finish()
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        let mut sink = Ports::new(py, emit);
        self.windows
            .on_eof(&mut self.shared.windows.borrow_mut(), py, &mut sink)?;
        sink.finish()
    }

    fn notify_at(&mut self, py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        let windows = self.shared.windows.borrow();
        if !self.shared.time.has_own_due() {
            return Ok(self.windows.notify_at(&windows));
        }
        match self.windows.due_at(&windows) {
            Some(due) => self.shared.time.own_due(py, due),
            None => Ok(None),
        }
    }
}

/// Puts what happens to windows on the three outputs.
struct Ports<'py, 'a> {
    py: Python<'py>,
    emit: &'a mut Emit<Python3>,
    /// The first object that could not be made.
    error: Option<PyErr>,
}

impl<'py, 'a> Ports<'py, 'a> {
    fn new(py: Python<'py>, emit: &'a mut Emit<Python3>) -> Self {
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

    /// The key is never let go: its clock must outlive its windows, or a late value
    /// could open one again.
    fn finish(self) -> Result<Fate, PyFailure> {
        match self.error {
            None => Ok(Fate::Retain),
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
