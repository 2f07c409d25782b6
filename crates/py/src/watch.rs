//! A run as it is seen from outside: by Python, and over HTTP.

use std::env;
use std::sync::{Arc, OnceLock};

use millstream_api::{Address, Family, Readiness, Server, Source, serve};
use millstream_engine::metrics::{Metrics, Phase};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::api_error;
use crate::families::families;
use crate::log::inform;
use crate::run::is_drain_asked;

/// Looks at a run while it goes on, from another thread.
#[pyclass(frozen, module = "millstream._engine")]
#[derive(Default)]
pub(crate) struct Watch {
    /// None before the run.
    metrics: OnceLock<Arc<Metrics>>,
}

/// A step on a worker: its id, how many items it took and made, how many keys it has.
type Counted = (String, Option<u64>, Option<u64>, Option<u64>);

#[pymethods]
impl Watch {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Whether all processes have come together.
    fn has_joined(&self) -> bool {
        let metrics = self.metrics.get();
        metrics.is_some_and(|metrics| metrics.phase() != Phase::Joining)
    }

    /// What each step has done on each worker.
    fn steps(&self) -> Vec<Counted> {
        let snapshot = self.metrics.get().map(|metrics| metrics.snapshot());
        let steps = snapshot.into_iter().flat_map(|snapshot| snapshot.steps);
        steps
            .map(|step| (step.step, step.items_in, step.items_out, step.keys))
            .collect()
    }

    /// The newest epoch, and the last that is kept, if there is a store; none if the run isn't on.
    fn epochs(&self) -> Option<(u64, Option<u64>)> {
        let gauges = self.metrics.get()?.snapshot().gauges?;
        Some((gauges.newest_epoch, gauges.committed_epoch))
    }
}

impl Watch {
    /// Looks at this run, unless it looks at one already.
    pub(crate) fn follow(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }
}

/// The address of the HTTP API that a text names, for one of several processes of a host.
#[pyfunction]
pub(crate) fn api_address(text: &str, process: u16) -> PyResult<String> {
    text.parse::<Address>()
        .and_then(|address| address.of_process(process))
        .map(|address| address.to_string())
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Serves a run over HTTP.
pub(crate) fn serve_run(
    flow: &Bound<'_, PyAny>,
    optimize: bool,
    address: &str,
    metrics: &Arc<Metrics>,
) -> PyResult<Server> {
    let py = flow.py();
    let module = py.import("millstream._api")?;
    let dataflow = module.call_method1("describe", (flow, optimize))?;
    let shown = Shown {
        metrics: Arc::clone(metrics),
        dataflow: dataflow.extract()?,
    };
    let refused = |text: String| api_error(py, text);
    let address: Address = address
        .parse()
        .map_err(|error| refused(format!("{error}")))?;
    let server = serve(&address, Arc::new(shown)).map_err(|error| refused(error.to_string()))?;
    inform(py, &format!("serving http://{}", server.address()));
    Ok(server)
}

/// What is shown of a run.
struct Shown {
    metrics: Arc<Metrics>,
    dataflow: String,
}

impl Source for Shown {
    fn families(&self) -> Vec<Family> {
        // Whoever has launched this process says how often it did so again.
        let restarts = env::var("MILLSTREAM_LAUNCHED_AGAIN").ok();
        let restarts = restarts.and_then(|restarts| restarts.parse().ok());
        families(&self.metrics.snapshot(), restarts)
    }

    fn others(&self) -> String {
        let metrics = Python::try_attach(|py| -> PyResult<String> {
            let module = py.import("millstream._api")?;
            module.call_method0("user_metrics")?.extract()
        });
        metrics.and_then(Result::ok).unwrap_or_default()
    }

    fn dataflow(&self) -> String {
        self.dataflow.clone()
    }

    fn readiness(&self) -> Readiness {
        let phase = match self.metrics.phase() {
            // The run hears of it a little later.
            _ if is_drain_asked() => Phase::Stopping,
            phase => phase,
        };
        let reason = match phase {
            Phase::Joining => "waiting for the other processes",
            Phase::Loading => "reading what an earlier run kept",
            Phase::Starting => "starting the workers",
            Phase::Running => "all workers run",
            Phase::Stopping => "stopping",
        };
        Readiness {
            is_ready: phase == Phase::Running,
            reason,
        }
    }
}
