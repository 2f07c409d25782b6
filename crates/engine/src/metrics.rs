//! What can be seen of a run from outside, while it goes on.
//!
//! Each operator has [`Figures`] on each worker. Only its worker changes them, once for each
//! batch, so that counting costs a load and a store; anybody may read them. What is known
//! anyway (epochs, room, how much goes to other processes) is looked up when it is asked for.
//! A [`Snapshot`] of all of it is plain data.
//!
//! Figures are those of the steps that users have written, whatever runs in their place: see
//! [`labels`].

mod figures;
mod labels;
mod notice;
mod snapshot;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

pub use figures::Distribution;
pub(crate) use figures::{Figures, Role};
pub(crate) use labels::{Labels, labels};
pub use notice::Notice;
pub use snapshot::{Gauges, Phase, Snapshot, StepFigures, Traffic};

use crate::plan::StepId;

/// What is known of a run without counting.
pub(crate) trait Live: Send + Sync {
    fn gauges(&self) -> Gauges;
}

/// What can be seen of one run.
pub struct Metrics {
    phase: Mutex<Phase>,
    /// How many workers of this process run.
    running: AtomicUsize,
    labels: OnceLock<HashMap<StepId, Labels>>,
    figures: Mutex<Vec<Arc<Figures>>>,
    /// None before the start and after the end.
    live: Mutex<Option<Weak<dyn Live>>>,
    store_retries: AtomicU64,
    store_failures: AtomicU64,
    /// Whether something waits to be written again.
    store_waits: AtomicBool,
    on_notice: Box<dyn Fn(Notice) + Send + Sync>,
}

impl Metrics {
    /// Of a run that has not begun. `on_notice` is told what happens, on any thread of the run:
    /// it must not wait for one.
    pub fn new(on_notice: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self {
            phase: Mutex::new(Phase::Joining),
            running: AtomicUsize::new(0),
            labels: OnceLock::new(),
            figures: Mutex::default(),
            live: Mutex::default(),
            store_retries: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            store_waits: AtomicBool::new(false),
            on_notice: Box::new(on_notice),
        }
    }

    /// How far the run is.
    pub fn phase(&self) -> Phase {
        let phase = *lock(&self.phase);
        match self.gauges() {
            Some(gauges) if gauges.is_stopping => Phase::Stopping,
            _ => phase,
        }
    }

    /// All there is to see.
    pub fn snapshot(&self) -> Snapshot {
        let gauges = self.gauges();
        let figures = lock(&self.figures);
        let newest = gauges.as_ref().map_or(0, |gauges| gauges.newest_epoch);
        Snapshot {
            steps: snapshot::steps(&figures),
            frontier_lags: snapshot::frontier_lags(&figures, newest),
            gauges,
            store_retries: self.store_retries.load(Ordering::Relaxed),
            store_failures: self.store_failures.load(Ordering::Relaxed),
        }
    }

    fn gauges(&self) -> Option<Gauges> {
        let live = lock(&self.live).as_ref().and_then(Weak::upgrade);
        live.map(|live| live.gauges())
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.on_notice)(notice);
    }

    /// The run is about to begin, with operators that count for these steps.
    pub(crate) fn begin(&self, labels: HashMap<StepId, Labels>, live: Weak<dyn Live>) {
        // There is one run.
        let _ = self.labels.set(labels);
        *lock(&self.live) = Some(live);
        self.set_phase(Phase::Starting);
    }

    /// What an operator counts on a worker.
    pub(crate) fn add(&self, operator: &StepId, worker: usize, role: Role) -> Arc<Figures> {
        let labels = self.labels.get().and_then(|labels| labels.get(operator));
        let labels = labels.cloned().unwrap_or_default();
        let figures = Arc::new(Figures::new(labels, worker, role));
        lock(&self.figures).push(Arc::clone(&figures));
        figures
    }

    /// One of so many workers of this process has built its operators.
    pub(crate) fn worker_runs(&self, workers: usize) {
        if self.running.fetch_add(1, Ordering::AcqRel) + 1 == workers {
            self.set_phase(Phase::Running);
            self.tell(Notice::Started { workers });
        }
    }

    /// Something could not be written, and will be tried again.
    pub(crate) fn store_waits(&self, why: &dyn fmt::Display, attempt: u32) {
        self.store_retries.fetch_add(1, Ordering::Relaxed);
        self.store_waits.store(true, Ordering::Relaxed);
        // The longer it lasts, the less there is to say.
        if attempt.is_power_of_two() {
            let why = why.to_string();
            self.tell(Notice::StoreWaits { why, attempt });
        }
    }

    /// Something was written.
    pub(crate) fn store_goes_on(&self) {
        if self.store_waits.swap(false, Ordering::Relaxed) {
            self.tell(Notice::StoreGoesOn);
        }
    }

    /// The store can't be used any more.
    pub(crate) fn store_fails(&self) {
        self.store_failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    /// Nobody is told anything.
    fn default() -> Self {
        Self::new(drop)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
