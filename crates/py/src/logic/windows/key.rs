//! The windows of one key, as the logic of a stateful step with three outputs.

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
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
    fn start(&self, wanted: &[bool]) -> KeyedStep<Python3> {
        let is_wanted = |port: usize| wanted.get(port).copied().unwrap_or(false);
        let windowing = Windowing {
            wants_late: is_wanted(LATE),
            wants_meta: is_wanted(META),
            ..self.windowing
        };
        KeyedStep::new(Windows {
            step: self.step.clone(),
            time: self.time.clone(),
            shared: WindowStep::new(windowing, self.fold.clone()),
        })
    }
}

/// A windowing step on one worker.
struct Windows {
    step: StepId,
    time: EventTime,
    shared: WindowStep<Py<PyAny>, WindowFold>,
}

impl KeyedLogic<Python3> for Windows {
    type State = KeyWindows<Py<PyAny>, WindowFold>;

    fn build(&mut self, py: Python<'_>, _key: &PyKey) -> Result<Self::State, PyFailure> {
        Ok(KeyWindows::new(self.time.now(py, &self.step)?))
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let Self { step, time, shared } = self;
        let now = time.now(py, step)?;
        let timed = values
            .drain(..)
            .map(|value| Ok((time.timestamp(py, step, &value)?, value)));
        let mut sink = Ports::new(py, emit);
        key.on_batch(shared, py, now, timed, &mut sink)?;
        sink.finish()
    }

    fn on_notify(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let now = self.time.now(py, &self.step)?;
        let mut sink = Ports::new(py, emit);
        key.on_notify(&mut self.shared, py, now, &mut sink)?;
        sink.finish()
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut sink = Ports::new(py, emit);
        key.on_eof(&mut self.shared, py, &mut sink)?;
        sink.finish()
    }

    fn notify_at(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
    ) -> Result<Option<Micros>, PyFailure> {
        if !self.time.has_own_due() {
            return Ok(key.notify_at(&self.shared));
        }
        match key.due_at(&self.shared) {
            Some(due) => self.time.own_due(py, due),
            None => Ok(None),
        }
    }

    fn is_called_in_order(&self) -> bool {
        false
    }

    fn asking(&self) -> Asking {
        Asking::Later
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
