//! Named aggregators: counts, sums and the like, kept in Rust.
//!
//! All that is called in Python for a value is what takes the number out of it, once
//! for all aggregators that share it. Sums of `float` and of small `int` are Rust
//! numbers; whatever else can be added is added by Python.

use std::sync::Arc;

use millstream_engine::host::Failure;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyTuple};
use smallvec::SmallVec;

use crate::callables::calling;
use crate::getter::Getter;
use crate::host::PyFailure;
use crate::saved::reading;

/// Up to here, every `int` is a `float` exactly.
const EXACT: u64 = 1 << 53;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
}

/// The aggregators of a step.
pub(crate) struct Aggregators {
    /// The names of the results, and what they are.
    named: Vec<Named>,
    /// What takes numbers out of values; each called once for a value.
    getters: Vec<Getter>,
}

struct Named {
    name: Py<PyString>,
    kind: Kind,
    /// Which getter, if it isn't of the value itself.
    getter: Option<usize>,
}

impl Named {
    /// The failure of making this result.
    fn failed(&self, py: Python<'_>, error: PyErr) -> PyFailure {
        let (kind, name) = (name_of(self.kind), self.name.bind(py));
        Failure::new(format!("making the `{kind}` named `{name}`"), error)
    }
}

impl Aggregators {
    /// Reads a mapping of names to aggregators.
    pub(crate) fn read(mapping: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Self>>> {
        let mut named = Vec::new();
        let mut getters: Vec<Getter> = Vec::new();
        for pair in mapping.call_method0("items")?.try_iter()? {
            let (name, aggregator): (Bound<'_, PyString>, Bound<'_, PyAny>) = pair?.extract()?;
            let kind = match aggregator.getattr("kind")?.extract::<String>()?.as_str() {
                "count" => Kind::Count,
                "sum" => Kind::Sum,
                "mean" => Kind::Mean,
                "min" => Kind::Min,
                "max" => Kind::Max,
                "first" => Kind::First,
                "last" => Kind::Last,
                _ => return Ok(None),
            };
            let by = aggregator.getattr("by")?;
            let getter = match getters.iter().position(|getter| getter.is(&by)) {
                _ if by.is_none() => None,
                Some(known) => Some(known),
                None => {
                    getters.push(Getter::of(&by)?);
                    Some(getters.len() - 1)
                }
            };
            named.push(Named {
                name: name.unbind(),
                kind,
                getter,
            });
        }
        Ok(Some(Arc::new(Self { named, getters })))
    }

    /// What they are.
    pub(crate) fn form(&self) -> String {
        let kinds: Vec<&str> = self.named.iter().map(|named| name_of(named.kind)).collect();
        kinds.join(", ")
    }

    /// Accumulators of what was kept of them.
    pub(crate) fn read_saved(&self, kept: &Bound<'_, PyAny>) -> Result<Aggregates, PyFailure> {
        let parts: Vec<Vec<Bound<'_, PyAny>>> = kept.extract().map_err(reading)?;
        let accumulators: PyResult<Vec<Accumulator>> = self
            .named
            .iter()
            .zip(parts)
            .map(|(named, parts)| Accumulator::read(named.kind, &parts))
            .collect();
        Ok(Aggregates(accumulators.map_err(reading)?.into()))
    }

    /// What there is before the first value.
    pub(crate) fn open(&self) -> Aggregates {
        Aggregates(self.named.iter().map(|_| Accumulator::Empty).collect())
    }

    /// Takes a value in. `time` decides which value is the first and the last; among
    /// equals, and if it is the same for all, that is by arrival.
    pub(crate) fn add(
        &self,
        py: Python<'_>,
        aggregates: &mut Aggregates,
        time: i64,
        value: &Py<PyAny>,
    ) -> Result<(), PyFailure> {
        let value = value.bind(py);
        let mut taken: SmallVec<[Bound<'_, PyAny>; 2]> = SmallVec::new();
        for getter in &self.getters {
            taken.push(getter.get(value).map_err(calling("by"))?);
        }
        for (named, accumulator) in self.named.iter().zip(&mut aggregates.0) {
            let value = named.getter.map_or(value, |getter| &taken[getter]);
            accumulator
                .add(named.kind, time, value)
                .map_err(|error| named.failed(py, error))?;
        }
        Ok(())
    }

    /// Takes in what came to something else, of values that come after these.
    pub(crate) fn merge(
        &self,
        py: Python<'_>,
        aggregates: &mut Aggregates,
        later: Aggregates,
    ) -> Result<(), PyFailure> {
        let both = aggregates.0.iter_mut().zip(later.0);
        for (named, (accumulator, later)) in self.named.iter().zip(both) {
            accumulator
                .merge(py, named.kind, later)
                .map_err(|error| named.failed(py, error))?;
        }
        Ok(())
    }

    /// The results, by name.
    pub(crate) fn close(
        &self,
        py: Python<'_>,
        aggregates: &Aggregates,
    ) -> Result<Py<PyAny>, PyFailure> {
        let results = PyDict::new(py);
        for (named, accumulator) in self.named.iter().zip(&aggregates.0) {
            accumulator
                .finish(py)
                .and_then(|result| results.set_item(&named.name, result))
                .map_err(|error| named.failed(py, error))?;
        }
        Ok(results.into_any().unbind())
    }
}

impl Aggregates {
    /// What is kept of them: for each, what is in it, in a tuple.
    pub(crate) fn save(&self, py: Python<'_>) -> Result<Py<PyAny>, PyFailure> {
        let parts: PyResult<Vec<_>> = self.0.iter().map(|each| each.save(py)).collect();
        let saved = parts.and_then(|parts| PyTuple::new(py, parts));
        Ok(saved.map_err(calling("aggregate"))?.into_any().unbind())
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => "count",
        Kind::Sum => "sum",
        Kind::Mean => "mean",
        Kind::Min => "min",
        Kind::Max => "max",
        Kind::First => "first",
        Kind::Last => "last",
    }
}

/// What values have come to, for each aggregator.
pub(crate) struct Aggregates(Box<[Accumulator]>);

enum Accumulator {
    /// No value yet.
    Empty,
    Count(u64),
    Sum(Number),
    Mean(Number, u64),
    /// The smallest, largest, first or last, and its time.
    One(i64, Py<PyAny>),
}

impl Accumulator {
    /// What is in it.
    fn save(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let parts = match self {
            Self::Empty => PyTuple::empty(py),
            Self::Count(count) => (*count,).into_pyobject(py)?,
            Self::Sum(sum) => (sum.to_py(py),).into_pyobject(py)?,
            Self::Mean(sum, count) => (sum.to_py(py), *count).into_pyobject(py)?,
            Self::One(time, value) => (*time, value).into_pyobject(py)?,
        };
        Ok(parts.into_any().unbind())
    }

    /// One with these things in it.
    fn read(kind: Kind, parts: &[Bound<'_, PyAny>]) -> PyResult<Self> {
        Ok(match (kind, parts) {
            (Kind::Count, [count]) => Self::Count(count.extract()?),
            (Kind::Sum, [sum]) => Self::Sum(Number::of(sum)),
            (Kind::Mean, [sum, count]) => Self::Mean(Number::of(sum), count.extract()?),
            (_, [time, value]) => Self::One(time.extract()?, value.clone().unbind()),
            _ => Self::Empty,
        })
    }

    fn add(&mut self, kind: Kind, time: i64, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        match self {
            Self::Empty => *self = Self::of(kind, time, value),
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => sum.add(py, Number::of(value))?,
            Self::Mean(sum, count) => {
                sum.add(py, Number::of(value))?;
                *count += 1;
            }
            Self::One(kept_at, kept) => {
                if replaces(kind, (time, value), (*kept_at, kept))? {
                    *self = Self::One(time, value.clone().unbind());
                }
            }
        }
        Ok(())
    }

    fn of(kind: Kind, time: i64, value: &Bound<'_, PyAny>) -> Self {
        match kind {
            Kind::Count => Self::Count(1),
            Kind::Sum => Self::Sum(Number::of(value)),
            Kind::Mean => Self::Mean(Number::of(value), 1),
            Kind::Min | Kind::Max | Kind::First | Kind::Last => {
                Self::One(time, value.clone().unbind())
            }
        }
    }

    fn merge(&mut self, py: Python<'_>, kind: Kind, later: Self) -> PyResult<()> {
        match (&mut *self, later) {
            (_, Self::Empty) => {}
            (Self::Empty, later) => *self = later,
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum), Self::Sum(more)) => sum.add(py, more)?,
            (Self::Mean(sum, count), Self::Mean(more, further)) => {
                sum.add(py, more)?;
                *count += further;
            }
            (Self::One(kept_at, kept), Self::One(time, later)) => {
                let is_better = replaces(kind, (time, later.bind(py)), (*kept_at, kept))?;
                if is_better {
                    *self = Self::One(time, later);
                }
            }
            // Both are of one aggregator, so of one form.
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Empty => Ok(py.None()),
            Self::Count(count) => Ok(PyInt::new(py, *count).into_any().unbind()),
            Self::Sum(sum) => Ok(sum.to_py(py)),
            Self::Mean(sum, count) => sum.divide(py, *count),
            Self::One(_, kept) => Ok(kept.clone_ref(py)),
        }
    }
}

/// Whether a value takes the place of the one that was kept, which came before it.
fn replaces(
    kind: Kind,
    (time, value): (i64, &Bound<'_, PyAny>),
    (kept_at, kept): (i64, &Py<PyAny>),
) -> PyResult<bool> {
    match kind {
        Kind::Min => value.lt(kept),
        Kind::Max => value.gt(kept),
        Kind::First => Ok(time < kept_at),
        Kind::Last => Ok(time >= kept_at),
        Kind::Count | Kind::Sum | Kind::Mean => Ok(false),
    }
}

/// A sum.
enum Number {
    Int(i64),
    Float(f64),
    Object(Py<PyAny>),
}

impl Number {
    fn of(value: &Bound<'_, PyAny>) -> Self {
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            return Self::Float(float.value());
        }
        if value.is_exact_instance_of::<PyInt>()
            && let Ok(int) = value.extract()
        {
            return Self::Int(int);
        }
        Self::Object(value.clone().unbind())
    }

    fn add(&mut self, py: Python<'_>, more: Self) -> PyResult<()> {
        let sum = match (&*self, &more) {
            (Self::Float(sum), Self::Float(more)) => Some(Self::Float(sum + more)),
            (Self::Int(sum), Self::Int(more)) => sum.checked_add(*more).map(Self::Int),
            (Self::Int(int), Self::Float(float)) | (Self::Float(float), Self::Int(int)) => {
                exactly(*int).map(|int| Self::Float(int + float))
            }
            _ => None,
        };
        *self = if let Some(sum) = sum {
            sum
        } else {
            let sum = self.to_py(py).bind(py).add(more.to_py(py))?;
            Self::Object(sum.unbind())
        };
        Ok(())
    }

    /// The quotient that Python's `/` gives.
    fn divide(&self, py: Python<'_>, count: u64) -> PyResult<Py<PyAny>> {
        let divisor = i64::try_from(count).ok().and_then(exactly);
        let quotient = match (self, divisor) {
            (Self::Float(sum), Some(count)) => Some(sum / count),
            (Self::Int(sum), Some(count)) => exactly(*sum).map(|sum| sum / count),
            _ => None,
        };
        match quotient {
            Some(quotient) => Ok(PyFloat::new(py, quotient).into_any().unbind()),
            None => Ok(self.to_py(py).bind(py).div(count)?.unbind()),
        }
    }

    fn to_py(&self, py: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Int(int) => PyInt::new(py, *int).into_any().unbind(),
            Self::Float(float) => PyFloat::new(py, *float).into_any().unbind(),
            Self::Object(object) => object.clone_ref(py),
        }
    }
}

/// An integer as a float, if that is exact.
#[expect(
    clippy::cast_precision_loss,
    reason = "it is checked that none is lost"
)]
fn exactly(int: i64) -> Option<f64> {
    (int.unsigned_abs() <= EXACT).then_some(int as f64)
}
