//! `collect`: values in lists, by size or by age.

use std::time::Duration;

use millstream_engine::clock::{Clock, Micros, SystemClock};
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callables::calling;
use crate::host::{PyFailure, PyKey, Python3};

/// How large and how old a list may become.
#[derive(Clone, Copy)]
pub(crate) struct CollectBuilder {
    pub(crate) timeout: Duration,
    pub(crate) max_size: usize,
    pub(crate) clock: SystemClock,
}

impl StatefulBatch<Python3> for CollectBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(*self)
    }
}

impl KeyBuilder<Python3> for CollectBuilder {
    fn build(
        &self,
        _py: Python<'_>,
        _key: &PyKey,
    ) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        Ok(Box::new(CollectLogic {
            limits: *self,
            values: Vec::new(),
            timeout_at: None,
        }))
    }
}

struct CollectLogic {
    limits: CollectBuilder,
    values: Vec<Py<PyAny>>,
    /// When the first of the values will be too old.
    timeout_at: Option<Micros>,
}

impl CollectLogic {
    fn emit(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<(), PyFailure> {
        self.timeout_at = None;
        if !self.values.is_empty() {
            let list = PyList::new(py, self.values.drain(..)).map_err(calling("collect"))?;
            emit.push(list.into_any().unbind());
        }
        Ok(())
    }

    fn fate(&self) -> Fate {
        if self.values.is_empty() {
            Fate::Discard
        } else {
            Fate::Retain
        }
    }
}

impl KeyLogic<Python3> for CollectLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        for value in values.drain(..) {
            if self.values.is_empty() {
                // Saturates: the end of time is as good as never.
                self.timeout_at = Some(self.limits.clock.wall().after(self.limits.timeout));
            }
            self.values.push(value);
            if self.values.len() >= self.limits.max_size {
                self.emit(py, emit)?;
            }
        }
        Ok(self.fate())
    }

    fn on_notify(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        self.emit(py, emit)?;
        Ok(Fate::Discard)
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        self.emit(py, emit)?;
        Ok(Fate::Discard)
    }

    fn notify_at(&mut self, _py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        Ok(self.timeout_at)
    }
}
