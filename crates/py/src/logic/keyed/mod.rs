//! The native forms of the built-in stateful operators.
//!
//! Each calls the user's functions directly, and keeps what is between two calls on
//! the Rust side. Their composed forms, in `millstream.operators`, say what they do.

pub(crate) mod collect;
pub(crate) mod fold;
pub(crate) mod join;
pub(crate) mod map;
pub(crate) mod stateful;

use std::sync::Arc;

use millstream_engine::plan::StepId;
use pyo3::prelude::*;

use crate::callables::{calling, describe, wrong_return};
use crate::host::PyFailure;

/// A function of the user, with what errors say of it.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) callable: Arc<Py<PyAny>>,
    /// The step that it was given to.
    pub(crate) step: StepId,
    /// Which parameter of the operator it is.
    pub(crate) role: &'static str,
}

impl Function {
    pub(crate) fn of(
        step: &Bound<'_, PyAny>,
        written_as: &StepId,
        role: &'static str,
    ) -> PyResult<Self> {
        Ok(Self {
            callable: Arc::new(step.getattr(role)?.unbind()),
            step: written_as.clone(),
            role,
        })
    }

    /// Calls it with a state and an item.
    pub(crate) fn call_on<'py>(
        &self,
        py: Python<'py>,
        state: &Bound<'py, PyAny>,
        item: &Py<PyAny>,
    ) -> Result<Bound<'py, PyAny>, PyFailure> {
        self.callable
            .bind(py)
            .call1((state, item))
            .map_err(|error| calling(self.role)(error).with_item(describe(item.bind(py))))
    }

    /// The failure for a return value of the wrong type.
    pub(crate) fn wrong_return(&self, expected: &str, got: &Bound<'_, PyAny>) -> PyFailure {
        let function = self.callable.bind(got.py());
        wrong_return(&self.step, self.role, function, expected, got)
    }
}
