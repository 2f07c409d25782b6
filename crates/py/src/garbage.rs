//! The cyclic garbage collector while a dataflow runs.
//!
//! Python looks for cycles whenever 700 more containers were made than freed. A batch
//! of a thousand items makes as many, though none of them is garbage, so the collector
//! would run for every batch, and again and again over whatever state there is. While
//! any dataflow runs, it runs less often. A threshold that isn't the default is the
//! user's decision, and stays.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

/// The threshold while a dataflow runs: some dozens of batches.
const RELAXED: u32 = 50_000;

/// The thresholds that Python versions begin with.
const DEFAULTS: [u32; 2] = [700, 2_000];

type Thresholds = (u32, u32, u32);

/// How many dataflows are running, and what the first of them found. Never locked while
/// Python code may run, since that could wait for a thread that waits for the lock.
static RUNNING: Mutex<(usize, Option<Thresholds>)> = Mutex::new((0, None));

fn running() -> MutexGuard<'static, (usize, Option<Thresholds>)> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A dataflow begins: the collector is held back.
pub(crate) fn relax(py: Python<'_>) -> PyResult<()> {
    let found = thresholds(py)?;
    let is_first = {
        let mut running = running();
        running.0 += 1;
        running.0 == 1
    };
    if is_first && DEFAULTS.contains(&found.0) {
        running().1 = Some(found);
        set_thresholds(py, (RELAXED, found.1, found.2))?;
    }
    Ok(())
}

/// A dataflow has ended: after the last, the collector is as it was, unless its
/// threshold was changed meanwhile.
pub(crate) fn restore(py: Python<'_>) -> PyResult<()> {
    let found = {
        let mut running = running();
        running.0 -= 1;
        if running.0 == 0 {
            running.1.take()
        } else {
            None
        }
    };
    match found {
        Some(found) if thresholds(py)?.0 == RELAXED => set_thresholds(py, found),
        _ => Ok(()),
    }
}

fn thresholds(py: Python<'_>) -> PyResult<Thresholds> {
    py.import("gc")?.call_method0("get_threshold")?.extract()
}

fn set_thresholds(py: Python<'_>, thresholds: Thresholds) -> PyResult<()> {
    py.import("gc")?.call_method1("set_threshold", thresholds)?;
    Ok(())
}
