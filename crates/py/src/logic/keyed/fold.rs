//! `fold_final`, `reduce_final`, `count_final`, `max_final`, `min_final`,
//! `aggregate_final`: one value per key, at the end.

use std::sync::Arc;

use millstream_engine::clock::Micros;
use millstream_engine::logic::{Emit, Fate, KeyBuilder, KeyLogic, StatefulBatch};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::callables::calling;
use crate::host::{PyFailure, PyKey, Python3};
use crate::logic::aggregate::{Aggregates, Aggregators};
use crate::logic::keyed::Function;

/// How values are combined.
pub(crate) enum Fold {
    /// By a function, from what another function makes.
    By { builder: Function, folder: Function },
    /// By a function, from the first value.
    Reduce(Function),
    /// By counting them.
    Count,
    /// By keeping the largest; `by` says of what, if not of the value itself.
    Max { by: Option<Function> },
    /// By keeping the smallest.
    Min { by: Option<Function> },
    /// By several aggregators at once.
    Aggregate(Arc<Aggregators>),
}

#[derive(Clone)]
pub(crate) struct FoldBuilder(pub(crate) Arc<Fold>);

impl StatefulBatch<Python3> for FoldBuilder {
    fn start(&self, _wanted: &[bool]) -> Box<dyn KeyBuilder<Python3>> {
        Box::new(self.clone())
    }

    /// Counting calls nobody, and emits nothing until the end.
    fn is_order_seen(&self) -> bool {
        !matches!(*self.0, Fold::Count)
    }
}

impl KeyBuilder<Python3> for FoldBuilder {
    fn build(&self, py: Python<'_>, _key: &PyKey) -> Result<Box<dyn KeyLogic<Python3>>, PyFailure> {
        let state = match &*self.0 {
            Fold::By { builder, .. } => {
                let built = builder.callable.bind(py).call0();
                State::Value(built.map_err(calling(builder.role))?.unbind())
            }
            Fold::Count => State::Count(0),
            Fold::Aggregate(aggregators) => State::Aggregates(aggregators.open()),
            Fold::Reduce(_) | Fold::Max { .. } | Fold::Min { .. } => State::Nothing,
        };
        Ok(Box::new(FoldLogic {
            fold: Arc::clone(&self.0),
            state,
        }))
    }
}

/// What the values of a key have come to.
enum State {
    Nothing,
    Count(u64),
    Value(Py<PyAny>),
    /// A value, and what it is compared by.
    Best(Py<PyAny>, Py<PyAny>),
    Aggregates(Aggregates),
}

struct FoldLogic {
    fold: Arc<Fold>,
    state: State,
}

impl FoldLogic {
    fn add(&mut self, py: Python<'_>, value: Py<PyAny>) -> Result<(), PyFailure> {
        match (&*self.fold, &mut self.state) {
            (Fold::Aggregate(aggregators), State::Aggregates(aggregates)) => {
                aggregators.add(py, aggregates, &value)?;
            }
            (
                Fold::By {
                    folder: combine, ..
                }
                | Fold::Reduce(combine),
                State::Value(state),
            ) => {
                *state = combine.call_on(py, state.bind(py), &value)?.unbind();
            }
            (Fold::Max { by }, State::Best(best, measure)) => {
                let new = measure_of(py, by.as_ref(), &value)?;
                let failed = calling(by.as_ref().map_or("max", |by| by.role));
                if new.bind(py).gt(&*measure).map_err(failed)? {
                    (*best, *measure) = (value, new);
                }
            }
            (Fold::Min { by }, State::Best(best, measure)) => {
                let new = measure_of(py, by.as_ref(), &value)?;
                let failed = calling(by.as_ref().map_or("min", |by| by.role));
                if new.bind(py).lt(&*measure).map_err(failed)? {
                    (*best, *measure) = (value, new);
                }
            }
            (Fold::Max { by } | Fold::Min { by }, state) => {
                let measure = measure_of(py, by.as_ref(), &value)?;
                *state = State::Best(value, measure);
            }
            (_, state) => *state = State::Value(value),
        }
        Ok(())
    }
}

fn measure_of(
    py: Python<'_>,
    by: Option<&Function>,
    value: &Py<PyAny>,
) -> Result<Py<PyAny>, PyFailure> {
    let Some(by) = by else {
        return Ok(value.clone_ref(py));
    };
    let measured = by.callable.bind(py).call1((value,));
    Ok(measured.map_err(calling(by.role))?.unbind())
}

impl KeyLogic<Python3> for FoldLogic {
    fn on_batch(
        &mut self,
        py: Python<'_>,
        values: &mut Vec<Py<PyAny>>,
        _emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        if let State::Count(count) = &mut self.state {
            *count += values.len() as u64;
            return Ok(Fate::Retain);
        }
        for value in values.drain(..) {
            self.add(py, value)?;
        }
        Ok(Fate::Retain)
    }

    fn on_notify(&mut self, _py: Python<'_>, _emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        Ok(Fate::Retain)
    }

    fn on_eof(&mut self, py: Python<'_>, emit: &mut Emit<Python3>) -> Result<Fate, PyFailure> {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Nothing => {}
            State::Count(count) => emit.push(PyInt::new(py, count).into_any().unbind()),
            State::Value(value) | State::Best(value, _) => emit.push(value),
            State::Aggregates(aggregates) => {
                if let Fold::Aggregate(aggregators) = &*self.fold {
                    emit.push(aggregators.close(py, aggregates)?);
                }
            }
        }
        Ok(Fate::Discard)
    }

    fn notify_at(&mut self, _py: Python<'_>) -> Result<Option<Micros>, PyFailure> {
        Ok(None)
    }
}
