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

use crate::callables::{calling, wrong_return};
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

    /// Calls it with two arguments.
    pub(crate) fn call2<'py>(
        &self,
        py: Python<'py>,
        first: &Bound<'py, PyAny>,
        second: Py<PyAny>,
    ) -> Result<Bound<'py, PyAny>, PyFailure> {
        self.callable
            .bind(py)
            .call1((first, second))
            .map_err(calling(self.role))
    }

    /// The failure for a return value of the wrong type.
    pub(crate) fn wrong_return(&self, expected: &str, got: &Bound<'_, PyAny>) -> PyFailure {
        let function = self.callable.bind(got.py());
        wrong_return(&self.step, self.role, function, expected, got)
    }
}
