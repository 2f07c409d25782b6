//! What a run does, told to `millstream._spans`, which makes OpenTelemetry's spans of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_engine::epoch::Epoch;
use millstream_engine::host::{Failure, Host};
use millstream_engine::plan::StepId;
use millstream_engine::spans::{Call, Origin, Outcome, Span, Tracer};
use pyo3::prelude::*;

use crate::error::{explain, sentence};
use crate::host::{PyFailure, Python3};

/// The spans of one run: a `millstream._spans.RunSpans`.
pub(crate) struct PyTracer {
    run: Py<PyAny>,
    /// Whether it has failed, and is left alone from then on.
    is_broken: Arc<AtomicBool>,
}

impl PyTracer {
    /// The run begins; `None` if nobody traces it.
    pub(crate) fn begin_run(flow: &Bound<'_, PyAny>, process: usize) -> PyResult<Option<Self>> {
        let tracing = flow.py().import("millstream._tracing")?;
        let flow_id = flow.getattr("flow_id")?;
        let is_broken = Arc::default();
        let begun = tracing.call_method1("begin_run", (flow_id, process));
        let run = unless_broken(flow.py(), &is_broken, begun)?;
        Ok(run.filter(|run| !run.is_none()).map(|run| Self {
            run: run.unbind(),
            is_broken,
        }))
    }

    /// The run ends; waits a while until its spans are where they are to go.
    pub(crate) fn end_run(&self, py: Python<'_>, error: Option<&PyErr>) -> PyResult<()> {
        let error = error.map(|error| error.value(py));
        let ended = self.run.bind(py).call_method1("end", (error,));
        self.unless_broken(py, ended.map(drop)).map(drop)
    }

    /// Passes on a wish to stop. Anything else that went wrong is told of, once, and nothing is
    /// traced from then on.
    fn unless_broken<T>(&self, py: Python<'_>, outcome: PyResult<T>) -> PyResult<Option<T>> {
        unless_broken(py, &self.is_broken, outcome)
    }
}

fn unless_broken<T>(
    py: Python<'_>,
    is_broken: &AtomicBool,
    outcome: PyResult<T>,
) -> PyResult<Option<T>> {
    match outcome {
        Ok(made) => Ok(Some(made)),
        Err(error) if Python3::is_wish_to_stop(py, &error) => Err(error),
        Err(error) => {
            if !is_broken.swap(true, Ordering::Relaxed) {
                let told = py
                    .import("millstream._tracing")
                    .and_then(|tracing| tracing.call_method1("tell_broken", (error.value(py),)));
                if told.is_err() {
                    error.write_unraisable(py, None);
                }
            }
            Ok(None)
        }
    }
}

fn stopped(error: PyErr) -> PyFailure {
    Failure::new("tracing it", error)
}

impl Tracer<Python3> for PyTracer {
    fn begin(
        &self,
        py: Python<'_>,
        call: &Call<'_>,
    ) -> Result<Option<Box<dyn Span<Python3>>>, PyFailure> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let site = call.site.map(|site| (&site.step, &site.steps, site.worker));
        let origin = call
            .origin
            .map(|origin| (origin.trace, origin.span, origin.is_recorded));
        let epoch = call.epoch.map(|epoch| epoch.0);
        let span = self
            .run
            .bind(py)
            .call_method1("begin", (call.name, site, epoch, call.items, origin));
        let span = self.unless_broken(py, span).map_err(stopped)?;
        Ok(span.map(|span| -> Box<dyn Span<Python3>> {
            Box::new(PySpan {
                span: span.unbind(),
                site: call
                    .site
                    .map(|site| (StepId(site.step.as_str().into()), site.worker)),
                is_broken: Arc::clone(&self.is_broken),
            })
        }))
    }

    fn committed(&self, py: Python<'_>, epoch: Epoch, took: Duration) -> Result<(), PyFailure> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        let told = self
            .run
            .bind(py)
            .call_method1("committed", (epoch.0, took.as_nanos()));
        let told = self.unless_broken(py, told.map(drop)).map_err(stopped);
        told.map(drop)
    }
}

/// A call that has begun: a `millstream._spans.CallSpan`.
struct PySpan {
    span: Py<PyAny>,
    /// The step, and the worker.
    site: Option<(StepId, usize)>,
    is_broken: Arc<AtomicBool>,
}

impl Span<Python3> for PySpan {
    fn origin(&self, py: Python<'_>) -> Option<Origin> {
        let origin = self.span.bind(py).getattr("origin").ok()?;
        let (trace, span, is_recorded) = origin.extract().ok()?;
        Some(Origin {
            trace,
            span,
            is_recorded,
        })
    }

    fn end(
        self: Box<Self>,
        py: Python<'_>,
        items: Option<usize>,
        outcome: Outcome<'_, Python3>,
    ) -> Result<(), PyFailure> {
        let (text, exception) = match outcome {
            Outcome::Done => (None, None),
            Outcome::Failed(failure) => {
                let exception = failure.cause.value(py);
                let text = self.site.as_ref().map(|(step, worker)| {
                    let step = failure.step.as_ref().unwrap_or(step);
                    sentence(step, Some(*worker), failure)
                });
                (text, Some(exception))
            }
            Outcome::Stopped(error) => {
                let text = explain(py, error).map_or_else(|| "interrupted".to_owned(), |it| it.0);
                (Some(text), None)
            }
        };
        let ended = self
            .span
            .bind(py)
            .call_method1("end", (items, text, exception));
        let ended = unless_broken(py, &self.is_broken, ended.map(drop)).map_err(stopped);
        ended.map(drop)
    }
}
