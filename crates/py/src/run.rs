//! The entry points.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_engine::clock::SystemClock;
use millstream_engine::cluster;
use millstream_engine::metrics::{Metrics, Notice};
use millstream_engine::physical::{Physical, PhysicalOperator};
use millstream_engine::plan::StreamId;
use millstream_engine::run::{Caller, Settings, run};
use millstream_engine::spans::Tracer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::callables::describe;
use crate::cluster::cluster;
use crate::error::to_py;
use crate::garbage::{relax, restore};
use crate::host::Python3;
use crate::log::Log;
use crate::plan::read;
use crate::recovery::recovery;
use crate::time::span;
use crate::tracing::PyTracer;
use crate::watch::{Watch, serve_run};
use crate::worker_threads::WorkerThreads;

/// Runs a dataflow on the calling thread, to its end.
#[pyfunction]
#[pyo3(signature = (flow, *, epoch_interval=None, recovery_config=None, optimize=None))]
pub(crate) fn run_main(
    flow: &Bound<'_, PyAny>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
    optimize: Option<bool>,
) -> PyResult<()> {
    let asked = Asked {
        epoch_interval,
        recovery_config,
        optimize,
        ..Asked::default()
    };
    start(flow, 1, None, asked)
}

/// Runs a dataflow on several workers, to its end.
#[pyfunction]
#[pyo3(signature = (flow, addresses, proc_id, *, epoch_interval=None, recovery_config=None, worker_count_per_proc=None, cluster_config=None, optimize=None))]
#[expect(
    clippy::too_many_arguments,
    reason = "they are those of the Python function"
)]
pub(crate) fn cluster_main(
    flow: &Bound<'_, PyAny>,
    addresses: Option<&Bound<'_, PyAny>>,
    proc_id: &Bound<'_, PyAny>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
    worker_count_per_proc: Option<WorkerCount>,
    cluster_config: Option<&Bound<'_, PyAny>>,
    optimize: Option<bool>,
) -> PyResult<()> {
    let workers = worker_count_per_proc.map_or(1, |count| count.0);
    let cluster = cluster(flow, workers, addresses, Some(proc_id), cluster_config)?;
    let asked = Asked {
        epoch_interval,
        recovery_config,
        optimize,
        ..Asked::default()
    };
    start(flow, workers, cluster, asked)
}

/// Runs a dataflow as the command line does.
#[pyfunction]
#[pyo3(signature = (flow, *, workers_per_process=None, process_id=None, addresses=None, epoch_interval=None, recovery_config=None, cluster_config=None, optimize=None, api=None, watch=None))]
#[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
pub(crate) fn cli_main(
    flow: &Bound<'_, PyAny>,
    workers_per_process: Option<WorkerCount>,
    process_id: Option<&Bound<'_, PyAny>>,
    addresses: Option<&Bound<'_, PyAny>>,
    epoch_interval: Option<&Bound<'_, PyAny>>,
    recovery_config: Option<&Bound<'_, PyAny>>,
    cluster_config: Option<&Bound<'_, PyAny>>,
    optimize: Option<bool>,
    api: Option<&str>,
    watch: Option<&Watch>,
) -> PyResult<()> {
    let workers = workers_per_process.map_or(1, |count| count.0);
    let cluster = cluster(flow, workers, addresses, process_id, cluster_config)?;
    let asked = Asked {
        epoch_interval,
        recovery_config,
        optimize,
        api,
        watch,
    };
    start(flow, workers, cluster, asked)
}

/// What really runs for a dataflow: each operator's name, the steps that it stands
/// for, the streams that it takes, and those that it makes.
#[pyfunction]
#[pyo3(signature = (flow, *, optimize=None))]
pub(crate) fn physical(flow: &Bound<'_, PyAny>, optimize: Option<bool>) -> PyResult<Vec<Shown>> {
    let plan = read(flow)?;
    plan.validate()
        .map_err(|error| to_py(flow.py(), error.into()))?;
    let optimize = optimize.map_or_else(optimize_by_environment, Ok)?;
    let shown = |op: &PhysicalOperator<Python3>| {
        let ids = |ids: &[StreamId]| ids.iter().map(ToString::to_string).collect();
        (op.name(), op.steps(), ids(&op.ups), ids(&op.downs))
    };
    let physical = Physical::of(&plan, optimize);
    Ok(physical.operators.iter().map(shown).collect())
}

/// An operator of a physical plan: name, steps, streams that it takes and makes.
type Shown = (&'static str, Vec<String>, Vec<String>, Vec<String>);

/// What a caller may say of a run, or leave to us.
#[derive(Default)]
struct Asked<'a, 'py> {
    epoch_interval: Option<&'a Bound<'py, PyAny>>,
    recovery_config: Option<&'a Bound<'py, PyAny>>,
    optimize: Option<bool>,
    /// Where to serve the HTTP API.
    api: Option<&'a str>,
    /// Who looks at the run.
    watch: Option<&'a Watch>,
}

fn start<'py>(
    flow: &Bound<'py, PyAny>,
    workers: usize,
    cluster: Option<cluster::Settings>,
    asked: Asked<'_, 'py>,
) -> PyResult<()> {
    let py = flow.py();
    let epoch_interval = match asked.epoch_interval {
        Some(interval) => span(interval, "epoch_interval")?,
        None => Settings::EPOCH_INTERVAL,
    };
    let plan = read(flow)?;
    let settings = Settings {
        workers,
        epoch_interval,
        room: Settings::ROOM_PER_WORKER * workers,
        optimize: asked.optimize.map_or_else(optimize_by_environment, Ok)?,
        clock: Arc::new(SystemClock::new()),
        recovery: asked.recovery_config.map(recovery).transpose()?,
        cluster,
    };
    let log = Arc::new(Log::new(py)?);
    let told = Arc::clone(&log);
    let process = settings.cluster.as_ref();
    let process = process.map_or(0, |cluster| cluster.process.index());
    // Of those that a parent has started, few speak for all that wait; not one, as that may be
    // the one that they wait for.
    let tells_delays = process < 2 || env::var_os("MILLSTREAM_LAUNCHED").is_none();
    let metrics = Arc::new(Metrics::new(move |notice| {
        if tells_delays || !matches!(notice, Notice::Delayed { .. }) {
            told.tell(notice);
        }
    }));
    if let Some(watch) = asked.watch {
        watch.follow(&metrics);
    }
    let serve = |address| serve_run(flow, settings.optimize, address, &metrics);
    let server = asked.api.map(serve).transpose()?;
    let tracer = PyTracer::begin_run(flow, process)?.map(Arc::new);
    let caller: Arc<dyn Caller<Python3>> = Arc::new(MainThread::new(metrics, tracer.clone()));
    relax(py)?;
    let outcome = py.detach(|| {
        let outcome = run(&plan, &settings, &caller);
        // What is being answered or told may need the interpreter.
        drop(server);
        log.finish();
        outcome
    });
    // Only now, so that a signal that comes before the run counts as well.
    DRAINS.store(false, Ordering::Relaxed);
    let restored = restore(py);
    let outcome = outcome.map_err(|error| to_py(py, error));
    let ended = tracer.map_or(Ok(()), |tracer| tracer.end_run(py, outcome.as_ref().err()));
    // The first cause counts, whatever comes while the last spans are sent.
    outcome?;
    ended?;
    restored
}

/// Whether the run is to stop where it is; asked for by `drain`.
static DRAINS: AtomicBool = AtomicBool::new(false);

/// Whether the run is to stop where it is.
pub(crate) fn is_drain_asked() -> bool {
    DRAINS.load(Ordering::Relaxed)
}

/// Stops the run that is on where it is: its sources bring nothing more, what they have
/// brought is worked off and kept, and the entry point returns. May be called by a handler of
/// signals.
#[pyfunction]
pub(crate) fn drain() {
    DRAINS.store(true, Ordering::Relaxed);
}

/// The thread that called an entry point, and the workers that it waits for.
struct MainThread {
    workers: WorkerThreads,
    metrics: Arc<Metrics>,
    tracer: Option<Arc<PyTracer>>,
}

impl MainThread {
    fn new(metrics: Arc<Metrics>, tracer: Option<Arc<PyTracer>>) -> Self {
        Self {
            workers: WorkerThreads::default(),
            metrics,
            tracer,
        }
    }
}

impl Caller<Python3> for MainThread {
    fn interrupted(&self) -> PyResult<()> {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method itself is not general enough in its lifetime"
        )]
        Python::attach(|py| py.check_signals())
    }

    fn drains(&self) -> bool {
        is_drain_asked()
    }

    fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    fn tracer(&self) -> Option<Arc<dyn Tracer<Python3>>> {
        let tracer = self.tracer.clone()?;
        Some(tracer)
    }

    fn worker_begins(&self) {
        self.workers.begin();
    }

    fn worker_tidies_up(&self) {
        self.workers.tidy_up();
    }

    fn worker_ends(&self) {
        self.workers.end();
    }

    fn interrupt_workers(&self, also_tidying: bool) {
        self.workers.interrupt(also_tidying);
    }
}

/// What `MILLSTREAM_OPTIMIZE` says.
fn optimize_by_environment() -> PyResult<bool> {
    match std::env::var("MILLSTREAM_OPTIMIZE").as_deref() {
        Err(_) | Ok("" | "1") => Ok(true),
        Ok("0") => Ok(false),
        Ok(other) => Err(PyValueError::new_err(format!(
            "`MILLSTREAM_OPTIMIZE` must be `0` or `1`; got `{other}`"
        ))),
    }
}

/// How many workers were asked for.
pub(crate) struct WorkerCount(usize);

/// More threads than any machine has a use for; most likely a slip of the finger.
const MOST_WORKERS: usize = 1_024;

impl<'py> FromPyObject<'_, 'py> for WorkerCount {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let refused = || {
            PyValueError::new_err(format!(
                "the number of workers must be an `int` from 1 to {MOST_WORKERS}; got {}",
                describe(&value)
            ))
        };
        value
            .extract::<usize>()
            .ok()
            .filter(|count| (1..=MOST_WORKERS).contains(count))
            .map(Self)
            .ok_or_else(refused)
    }
}
