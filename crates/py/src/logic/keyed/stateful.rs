//! `stateful`: the user's own `StatefulLogic` objects, called value by value.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use pyo3::prelude::*;

use crate::callables::{calling, emit_and_fate, is_a};
use crate::host::{PyFailure, PyKey, Python3};
use crate::logic::keyed::Function;
use crate::time::moment;

/// The `builder` of `stateful`.
#[derive(Clone)]
pub(crate) struct StatefulBuilder(pub(crate) Arc<Function>);

impl StatefulBatch<Python3> for StatefulBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(self.clone())
    }
}

impl KeyBuilder<Python3> for StatefulBuilder {
    fn build(&self, py: Python<'_>, _key: &PyKey) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        Ok(Box::new(ItemLogic {
            builder: Arc::clone(&self.0),
            logic: Some(make(py, &self.0)?),
        }))
    }
}

fn make(py: Python<'_>, builder: &Function) -> Result<Py<PyAny>, PyFailure> {
    let built = builder.callable.bind(py).call1((py.None(),));
    let built = built.map_err(calling(builder.role))?;
    if is_a(&built, "millstream.operators", "StatefulLogic")? {
        return Ok(built.unbind());
    }
    Err(builder.wrong_return("a `StatefulLogic`", &built))
}

struct ItemLogic {
    builder: Arc<Function>,
    /// None after it discarded itself, until the next value.
    logic: Option<Py<PyAny>>,
}

impl ItemLogic {
    /// Calls a method without arguments, and does as it says.
    fn tell(
        &self,
        py: Python<'_>,
        method: &str,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        let Some(logic) = &self.logic else {
            return Ok(Fate::Discard);
        };
        let logic = logic.bind(py);
        let returned = logic.call_method0(method).map_err(calling(method))?;
        emit_and_fate(logic, method, &self.builder.step, &returned, emit)
    }
}

impl KeyLogic<Python3> for ItemLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        const METHOD: &str = "on_item";
        for value in values.drain(..) {
            let logic = match &self.logic {
                Some(logic) => logic,
                None => self.logic.insert(make(py, &self.builder)?),
            };
            let logic = logic.bind(py);
            let returned = logic
                .call_method1(pyo3::intern!(py, "on_item"), (value,))
                .map_err(calling(METHOD))?;
            let fate = emit_and_fate(logic, METHOD, &self.builder.step, &returned, emit)?;
            if fate == Fate::Discard {
                self.logic = None;
            }
        }
        Ok(if self.logic.is_some() {
            Fate::Retain
        } else {
            Fate::Discard
        })
    }

    fn on_notify(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        self.tell(py, "on_notify", emit)
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        self.tell(py, "on_eof", emit)
    }

    fn notify_at(&mut self, py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        let Some(logic) = &self.logic else {
            return Ok(None);
        };
        logic
            .bind(py)
            .call_method0(pyo3::intern!(py, "notify_at"))
            .and_then(|at| moment(&at, "notify_at"))
            .map_err(calling("notify_at"))
    }
}
