//! `fold_final`, `reduce_final`, `count_final`, `max_final`, `min_final`,
//! `aggregate_final`: one value per key, at the end.

use std::sync::Arc;

use millstream_engine::logic::{COMBINED, Emit, Fate, KeyedLogic, KeyedStep, StatefulBatch};
use millstream_engine::recovery::Saved;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::callables::calling;
use crate::host::{PyFailure, Python3};
use crate::key::PyKey;
use crate::logic::aggregate::{Aggregates, Aggregators};
use crate::logic::keyed::Function;
use crate::saved::{pickled_of, reading, unpickled};

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

/// What the values of a key have come to.
pub(crate) enum State {
    Nothing,
    Count(u64),
    Value(Py<PyAny>),
    /// A value, and what it is compared by.
    Best(Py<PyAny>, Py<PyAny>),
    Aggregates(Aggregates),
}

impl Fold {
    /// What the state of a key is.
    fn form(&self) -> String {
        match self {
            Self::By { .. } => "a `fold_final`".to_owned(),
            Self::Reduce(_) => "a `reduce_final`".to_owned(),
            Self::Count => "a `count_final`".to_owned(),
            Self::Max { .. } => "a `max_final`".to_owned(),
            Self::Min { .. } => "a `min_final`".to_owned(),
            Self::Aggregate(aggregators) => format!("an aggregate of {}", aggregators.form()),
        }
    }

    /// The state of a key, of what was kept of it: what is in it, in a tuple.
    fn read(&self, kept: Bound<'_, PyAny>) -> Result<State, PyFailure> {
        let py = kept.py();
        let parts: Vec<Py<PyAny>> = kept.extract().map_err(reading)?;
        Ok(match (self, parts.as_slice()) {
            (Self::Count, [count]) => State::Count(count.extract(py).map_err(reading)?),
            (Self::Aggregate(aggregators), [kept]) => {
                State::Aggregates(aggregators.read_saved(kept.bind(py))?)
            }
            (_, [value]) => State::Value(value.clone_ref(py)),
            (_, [best, measure]) => State::Best(best.clone_ref(py), measure.clone_ref(py)),
            _ => State::Nothing,
        })
    }

    fn open(&self, py: Python<'_>) -> Result<State, PyFailure> {
        Ok(match self {
            Self::By { builder, .. } => {
                let built = builder.callable.bind(py).call0();
                State::Value(built.map_err(calling(builder.role))?.unbind())
            }
            Self::Count => State::Count(0),
            Self::Aggregate(aggregators) => State::Aggregates(aggregators.open()),
            Self::Reduce(_) | Self::Max { .. } | Self::Min { .. } => State::Nothing,
        })
    }

    fn add(&self, py: Python<'_>, state: &mut State, value: Py<PyAny>) -> Result<(), PyFailure> {
        match (self, state) {
            (Self::Aggregate(aggregators), State::Aggregates(aggregates)) => {
                aggregators.add(py, aggregates, 0, &value)?;
            }
            (
                Self::By {
                    folder: combine, ..
                }
                | Self::Reduce(combine),
                State::Value(state),
            ) => {
                *state = combine.call_on(py, state.bind(py), &value)?.unbind();
            }
            (Self::Max { by }, State::Best(best, measure)) => {
                let new = measure_of(py, by.as_ref(), &value)?;
                let failed = calling(by.as_ref().map_or("max", |by| by.role));
                if new.bind(py).gt(&*measure).map_err(failed)? {
                    (*best, *measure) = (value, new);
                }
            }
            (Self::Min { by }, State::Best(best, measure)) => {
                let new = measure_of(py, by.as_ref(), &value)?;
                let failed = calling(by.as_ref().map_or("min", |by| by.role));
                if new.bind(py).lt(&*measure).map_err(failed)? {
                    (*best, *measure) = (value, new);
                }
            }
            (Self::Max { by } | Self::Min { by }, state) => {
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

/// A step that folds, for all workers.
pub(crate) struct FoldStep(pub(crate) Arc<Fold>);

impl FoldStep {
    fn logic(&self) -> KeyedStep<Python3> {
        KeyedStep::new(FoldLogic {
            fold: Arc::clone(&self.0),
            are_combined: false,
        })
    }
}

impl StatefulBatch<Python3> for FoldStep {
    fn form(&self) -> String {
        self.0.form()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Python3> {
        self.logic()
    }

    fn start_combining(&self) -> Option<KeyedStep<Python3>> {
        // Sums of floats would depend on what is added first, and extremes on which of them are
        // compared, if there is a NaN.
        matches!(*self.0, Fold::Count).then(|| self.logic())
    }
}

/// A step that folds, on one worker.
struct FoldLogic {
    fold: Arc<Fold>,
    /// Whether the values at hand are what other workers have counted.
    are_combined: bool,
}

impl KeyedLogic<Python3> for FoldLogic {
    type State = State;

    fn build(&mut self, py: Python<'_>, _key: &PyKey) -> Result<State, PyFailure> {
        self.fold.open(py)
    }

    fn resume(&mut self, py: Python<'_>, _key: &PyKey, saved: &Saved) -> Result<State, PyFailure> {
        self.fold.read(unpickled(py, saved)?)
    }

    fn snapshot(&mut self, py: Python<'_>, state: &mut State) -> Result<Saved, PyFailure> {
        match state {
            State::Nothing => pickled_of(py, ()),
            State::Count(count) => pickled_of(py, (*count,)),
            State::Value(value) => pickled_of(py, (&*value,)),
            State::Best(best, measure) => pickled_of(py, (&*best, &*measure)),
            State::Aggregates(aggregates) => pickled_of(py, (aggregates.save(py)?,)),
        }
    }

    fn begin_batch(&mut self, input: usize) {
        self.are_combined = input == COMBINED;
    }

    fn on_batch(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        values: &mut Vec<Py<PyAny>>,
        _emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        if let State::Count(count) = state {
            if !self.are_combined {
                *count += values.len() as u64;
                return Ok(Fate::Retain);
            }
            for value in values.drain(..) {
                *count += value.extract::<u64>(py).map_err(reading)?;
            }
        }
        for value in values.drain(..) {
            self.fold.add(py, state, value)?;
        }
        Ok(Fate::Retain)
    }

    fn on_eof(
        &mut self,
        py: Python<'_>,
        state: &mut State,
        emit: &mut Emit<Python3>,
    ) -> Result<Fate, PyFailure> {
        match std::mem::replace(state, State::Nothing) {
            State::Nothing => {}
            State::Count(count) => emit.push(PyInt::new(py, count).into_any().unbind()),
            State::Value(value) | State::Best(value, _) => emit.push(value),
            State::Aggregates(aggregates) => {
                if let Fold::Aggregate(aggregators) = &*self.fold {
                    emit.push(aggregators.close(py, &aggregates)?);
                }
            }
        }
        Ok(Fate::Discard)
    }

    fn is_called_in_order(&self) -> bool {
        false
    }
}
