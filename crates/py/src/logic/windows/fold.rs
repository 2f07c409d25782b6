//! What a window does with its values.

use std::sync::Arc;

use millstream_engine::window::Fold;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use crate::callables::{calling, extend, is_a, is_iterable, wrong_return};
use crate::host::PyFailure;
use crate::logic::aggregate::{Aggregates, Aggregators};
use crate::logic::keyed::Function;
use crate::saved::reading;

/// The user's logic.
#[derive(Clone)]
pub(crate) enum WindowFold {
    /// `fold_window`.
    Fold {
        builder: Function,
        folder: Function,
        merger: Function,
        /// Whether the accumulator may still change when it has been emitted, so that
        /// it must be a copy.
        copies: bool,
    },
    /// `window`: an object for each window.
    Logic(Function),
    /// `count_window`.
    Count,
    /// `aggregate_window`.
    Aggregate {
        aggregators: Arc<Aggregators>,
        /// Whether the first and the last value are those by timestamp; else they are
        /// those by arrival.
        by_time: bool,
    },
}

/// What a window remembers.
pub(crate) enum WindowState {
    Object(Py<PyAny>),
    Count(u64),
    Aggregates(Aggregates),
}

impl WindowFold {
    /// What is kept of a window.
    pub(super) fn save(&self, py: Python<'_>, state: &WindowState) -> Result<Py<PyAny>, PyFailure> {
        match (self, state) {
            (_, WindowState::Count(count)) => Ok(PyInt::new(py, *count).into_any().unbind()),
            (_, WindowState::Aggregates(aggregates)) => aggregates.save(py),
            (Self::Logic(_), WindowState::Object(logic)) => {
                let snapshot = logic.bind(py).call_method0("snapshot");
                Ok(snapshot.map_err(calling("snapshot"))?.unbind())
            }
            (_, WindowState::Object(state)) => Ok(state.clone_ref(py)),
        }
    }

    /// A window of what was kept of it.
    pub(super) fn resume(&self, kept: &Bound<'_, PyAny>) -> Result<WindowState, PyFailure> {
        match self {
            Self::Count => Ok(WindowState::Count(kept.extract().map_err(reading)?)),
            Self::Aggregate { aggregators, .. } => {
                Ok(WindowState::Aggregates(aggregators.read_saved(kept)?))
            }
            Self::Logic(builder) => make_logic(builder, kept),
            Self::Fold { .. } => Ok(WindowState::Object(kept.clone().unbind())),
        }
    }

    /// Calls a method of a user's `WindowLogic`, and emits what it returns.
    fn tell(
        builder: &Function,
        logic: &Bound<'_, PyAny>,
        method: &str,
        argument: Option<&Py<PyAny>>,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        let failed = calling(method);
        let returned = match argument {
            Some(argument) => logic.call_method1(method, (argument,)),
            None => logic.call_method0(method),
        };
        let returned = returned.map_err(&failed)?;
        if returned.is_instance_of::<PyString>() || !is_iterable(&returned) {
            let function = logic.get_type().getattr(method).map_err(&failed)?;
            let expected = "an iterable of values to emit";
            return Err(wrong_return(
                &builder.step,
                method,
                &function,
                expected,
                &returned,
            ));
        }
        extend(emit, &returned, method)
    }
}

impl Fold<Py<PyAny>> for WindowFold {
    type State = WindowState;
    type Out = Py<PyAny>;
    type Error = PyFailure;
    type Context<'a> = Python<'a>;

    fn open(&self, py: Python<'_>) -> Result<WindowState, PyFailure> {
        match self {
            Self::Count => Ok(WindowState::Count(0)),
            Self::Aggregate { aggregators, .. } => Ok(WindowState::Aggregates(aggregators.open())),
            Self::Fold { builder, .. } => {
                let built = builder.callable.bind(py).call0();
                Ok(WindowState::Object(
                    built.map_err(calling(builder.role))?.unbind(),
                ))
            }
            Self::Logic(builder) => make_logic(builder, &py.None().into_bound(py)),
        }
    }

    fn add(
        &self,
        py: Python<'_>,
        state: &mut WindowState,
        timestamp: i64,
        value: Py<PyAny>,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        match (self, state) {
            (_, WindowState::Count(count)) => *count += 1,
            (Self::Fold { folder, .. }, WindowState::Object(state)) => {
                *state = folder.call_on(py, state.bind(py), &value)?.unbind();
            }
            (Self::Logic(builder), WindowState::Object(logic)) => {
                Self::tell(builder, logic.bind(py), "on_value", Some(&value), emit)?;
            }
            (
                Self::Aggregate {
                    aggregators,
                    by_time,
                },
                WindowState::Aggregates(aggregates),
            ) => {
                let time = if *by_time { timestamp } else { 0 };
                aggregators.add(py, aggregates, time, &value)?;
            }
            // Each fold has the one state that it opens.
            _ => {}
        }
        Ok(())
    }

    fn merge(
        &self,
        py: Python<'_>,
        state: &mut WindowState,
        later: WindowState,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        match (self, state, later) {
            (_, WindowState::Count(count), WindowState::Count(more)) => *count += more,
            (Self::Fold { merger, .. }, WindowState::Object(state), WindowState::Object(later)) => {
                let merged = merger.callable.bind(py).call1((&*state, later));
                *state = merged.map_err(calling(merger.role))?.unbind();
            }
            (Self::Logic(builder), WindowState::Object(logic), WindowState::Object(later)) => {
                Self::tell(builder, logic.bind(py), "on_merge", Some(&later), emit)?;
            }
            (
                Self::Aggregate { aggregators, .. },
                WindowState::Aggregates(aggregates),
                WindowState::Aggregates(later),
            ) => aggregators.merge(py, aggregates, later)?,
            _ => {}
        }
        Ok(())
    }

    fn close(
        &self,
        py: Python<'_>,
        state: &mut WindowState,
        emit: &mut Vec<Py<PyAny>>,
    ) -> Result<(), PyFailure> {
        match (self, state) {
            (_, WindowState::Count(count)) => {
                emit.push(PyInt::new(py, *count).into_any().unbind());
            }
            (Self::Logic(builder), WindowState::Object(logic)) => {
                Self::tell(builder, logic.bind(py), "on_close", None, emit)?;
            }
            (Self::Aggregate { aggregators, .. }, WindowState::Aggregates(aggregates)) => {
                emit.push(aggregators.close(py, aggregates)?);
            }
            (Self::Fold { copies: true, .. }, WindowState::Object(state)) => {
                let copied = py
                    .import("copy")
                    .and_then(|copy| copy.call_method1("deepcopy", (&*state,)));
                emit.push(copied.map_err(calling("copy.deepcopy"))?.unbind());
            }
            (_, WindowState::Object(state)) => emit.push(state.clone_ref(py)),
            (_, WindowState::Aggregates(_)) => {}
        }
        Ok(())
    }

    fn clone_value(&self, py: Python<'_>, value: &Py<PyAny>) -> Py<PyAny> {
        value.clone_ref(py)
    }
}

/// Makes the user's object for a window, of what was kept of it or of `None`.
fn make_logic(
    builder: &Function,
    resume_state: &Bound<'_, PyAny>,
) -> Result<WindowState, PyFailure> {
    let built = builder
        .callable
        .bind(resume_state.py())
        .call1((resume_state,));
    let built = built.map_err(calling(builder.role))?;
    if is_a(&built, super::PACKAGE, "WindowLogic")? {
        return Ok(WindowState::Object(built.unbind()));
    }
    Err(builder.wrong_return("a `WindowLogic`", &built))
}
