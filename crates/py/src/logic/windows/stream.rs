//! The windows of one key in a stream that has one watermark for all its keys.
//!
//! A key without windows is forgotten: that a value is late can be seen without it.

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Asking, Emit, Fate, KeyedLogic, KeyedStep, TimedBatch, TimedItem};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::Saved;
use millstream_engine::window::{Clock, KeyWindows, START_OF_TIME, WindowStep, Windowing};
use pyo3::prelude::*;

use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::windows::ports::{Ports, heard};
use crate::logic::windows::saved::{form_of, resume, save};
use crate::logic::windows::{EventTime, WindowFold};

/// A windowing step on a stream that has one watermark, for all workers.
pub(crate) struct StreamStepBuilder {
    pub(crate) step: StepId,
    pub(crate) time: EventTime,
    pub(crate) windowing: Windowing,
    /// In microseconds.
    pub(crate) idle_timeout: i64,
    pub(crate) fold: WindowFold,
}

impl TimedBatch<Python3> for StreamStepBuilder {
    fn form(&self) -> String {
        format!(
            "{} with one watermark",
            form_of(&self.windowing, &self.fold)
        )
    }

    fn start(&self, wanted: &[bool]) -> KeyedStep<Python3, TimedItem<Python3>> {
        let windowing = heard(self.windowing, wanted);
        KeyedStep::new(StreamWindows {
            shared: WindowStep::new(windowing, self.fold.clone()),
            watermark: START_OF_TIME,
        })
    }

    fn clock(&self) -> Clock {
        self.windowing.clock
    }

    fn idle_timeout(&self) -> i64 {
        self.idle_timeout
    }

    fn now(&self, py: Python<'_>) -> Result<Micros, PyFailure> {
        self.time.now(py, &self.step)
    }

    fn timestamp(&self, py: Python<'_>, value: &Py<PyAny>) -> Result<i64, PyFailure> {
        self.time.timestamp(py, &self.step, value)
    }

    fn look_at(
        &self,
        py: Python<'_>,
        timestamp: i64,
        otherwise: Option<Micros>,
    ) -> Result<Option<Micros>, PyFailure> {
        if self.time.has_own_due() {
            self.time.own_due(py, timestamp)
        } else {
            Ok(otherwise)
        }
    }
}

/// Such a step on one worker.
struct StreamWindows {
    shared: WindowStep<Py<PyAny>, WindowFold>,
    /// How far event time has come.
    watermark: i64,
}

impl KeyedLogic<Python3, TimedItem<Python3>> for StreamWindows {
    type State = KeyWindows<Py<PyAny>, WindowFold>;

    fn build(&mut self, _py: Python<'_>, _key: &PyKey) -> Result<Self::State, PyFailure> {
        // Its own clock is never read.
        Ok(KeyWindows::new(Micros(0)))
    }

    fn resume(
        &mut self,
        py: Python<'_>,
        _key: &PyKey,
        saved: &Saved,
    ) -> Result<Self::State, PyFailure> {
        // Its own clock is never read.
        resume(py, self.shared.fold(), saved, Micros(0))
    }

    fn snapshot(&mut self, py: Python<'_>, key: &mut Self::State) -> Result<Saved, PyFailure> {
        save(py, self.shared.fold(), key)
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        values: &mut Vec<TimedItem<Python3>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut sink = Ports::new(py, emit);
        key.on_timed(
            &mut self.shared,
            py,
            self.watermark,
            values.drain(..),
            &mut sink,
        )?;
        sink.finish()?;
        Ok(fate(key))
    }

    fn on_notify(
        &mut self,
        py: Python<'_>,
        key: &mut Self::State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let mut sink = Ports::new(py, emit);
        key.on_watermark(&mut self.shared, py, self.watermark, &mut sink)?;
        sink.finish()?;
        Ok(fate(key))
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
        Ok(fate(key))
    }

    fn notify_at(
        &mut self,
        _py: Python<'_>,
        key: &mut Self::State,
    ) -> Result<Option<Micros>, PyFailure> {
        Ok(key.due_at(&self.shared).map(Micros))
    }

    fn is_called_in_order(&self) -> bool {
        false
    }

    fn late(&self) -> Option<u64> {
        Some(self.shared.late())
    }

    fn asking(&self) -> Asking {
        Asking::AtOnce
    }

    fn advance(&mut self, watermark: i64) {
        self.watermark = watermark;
    }
}

/// Forgets a key that holds nothing.
fn fate(key: &KeyWindows<Py<PyAny>, WindowFold>) -> Fate {
    if key.is_idle() {
        Fate::Discard
    } else {
        Fate::Retain
    }
}
