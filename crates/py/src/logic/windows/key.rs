//! The windows of one key, as the logic of a stateful step with three outputs.

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use millstream_engine::window::{KeyWindows, WindowStep, Windowing};
use pyo3::prelude::*;

use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::windows::ports::{Ports, heard};
use crate::logic::windows::saved::{form_of, resume, save};
use crate::logic::windows::{EventTime, WindowFold};

/// A windowing step, for all workers.
pub(crate) struct WindowStepBuilder {
    pub(crate) step: StepId,
    pub(crate) time: EventTime,
    pub(crate) windowing: Windowing,
    pub(crate) fold: WindowFold,
}

impl StatefulBatch<Python3> for WindowStepBuilder {
    fn form(&self) -> String {
        form_of(&self.windowing, &self.fold)
    }

    fn start(&self, wanted: &[bool]) -> KeyedStep<Python3> {
        let windowing = heard(self.windowing, wanted);
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

    fn resume(
        &mut self,
        py: Python<'_>,
        _key: &PyKey,
        saved: &Saved,
    ) -> Result<Self::State, PyFailure> {
        resume(
            py,
            self.shared.fold(),
            saved,
            self.time.now(py, &self.step)?,
        )
    }

    fn snapshot(&mut self, py: Python<'_>, key: &mut Self::State) -> Result<Saved, PyFailure> {
        save(py, self.shared.fold(), key)
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
        sink.finish()?;
        // Its clock must outlive its windows, or a late value could open one again.
        Ok(Fate::Retain)
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
        sink.finish()?;
        // Its clock must outlive its windows, or a late value could open one again.
        Ok(Fate::Retain)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut sink = Ports::new(py, emit);
        key.on_eof(&mut self.shared, py, &mut sink)?;
        sink.finish()?;
        // Its clock must outlive its windows, or a late value could open one again.
        Ok(Fate::Retain)
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

    fn late(&self) -> Option<u64> {
        Some(self.shared.late())
    }

    fn asking(&self) -> Asking {
        Asking::Later
    }
}
