//! What is kept of the windows of a key.

use millstream_engine::clock::Micros;
use millstream_engine::recovery::Saved;
use millstream_engine::window::{KeyWindows, SavedWindow, SavedWindows, Windower, Windowing};
use pyo3::prelude::*;

use crate::host::PyFailure;
use crate::logic::windows::WindowFold;
use crate::saved::{pickled_of, reading, unpickled};

/// A window: id, which it was to open, when it opens and closes, ids that became part of it,
/// whether it has changed, what the user keeps of it.
type WindowParts = (i64, i64, i64, i64, Vec<i64>, bool, Py<PyAny>);

/// A key: watermark, how many windows it opened, values that wait, windows.
type KeyParts = (i64, i64, Vec<(i64, Py<PyAny>)>, Vec<WindowParts>);

/// What the state of a key is: of other windows, it would be another.
pub(super) fn form_of(windowing: &Windowing, fold: &WindowFold) -> String {
    let windows = match windowing.windower {
        Windower::Session(_) => "sessions".to_owned(),
        Windower::Sliding(sliding) => {
            let ((first, close), (second, _)) = (sliding.bounds(0), sliding.bounds(1));
            let (length, offset) = (close - first, second - first);
            format!("windows of {length} µs every {offset} µs from {first}")
        }
    };
    let state = match fold {
        WindowFold::Fold { .. } => "a fold".to_owned(),
        WindowFold::Logic(_) => "a `WindowLogic`".to_owned(),
        WindowFold::Count => "a count".to_owned(),
        WindowFold::Aggregate { aggregators, .. } => {
            format!("an aggregate of {}", aggregators.form())
        }
    };
    format!("{windows}, each {state}")
}

/// All that a key has, to be kept.
pub(super) fn save(
    py: Python<'_>,
    fold: &WindowFold,
    key: &KeyWindows<Py<PyAny>, WindowFold>,
) -> Result<Saved, PyFailure> {
    let saved = key.save(|value| value.clone_ref(py), |state| fold.save(py, state))?;
    let windows = saved.windows.into_iter().map(|window| {
        let SavedWindow {
            id,
            opened,
            open,
            close,
            merged,
            has_changed,
            state,
        } = window;
        (id, opened, open, close, merged, has_changed, state)
    });
    let parts: KeyParts = (
        saved.watermark,
        saved.opened,
        saved.waiting,
        windows.collect(),
    );
    pickled_of(py, parts)
}

/// A key that goes on now.
pub(super) fn resume(
    py: Python<'_>,
    fold: &WindowFold,
    saved: &Saved,
    now: Micros,
) -> Result<KeyWindows<Py<PyAny>, WindowFold>, PyFailure> {
    let (watermark, opened, waiting, parts): KeyParts =
        unpickled(py, saved)?.extract().map_err(reading)?;
    let mut windows = Vec::with_capacity(parts.len());
    for (id, opened, open, close, merged, has_changed, state) in parts {
        windows.push(SavedWindow {
            id,
            opened,
            open,
            close,
            merged,
            has_changed,
            state: fold.resume(state.bind(py))?,
        });
    }
    let saved = SavedWindows {
        watermark,
        opened,
        waiting,
        windows,
    };
    Ok(KeyWindows::resume(saved, now))
}
