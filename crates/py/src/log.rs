//! What happens in a run, told to Python's `logging`, under the name of the package.
//!
//! A thread of its own does it: whoever notices something may hold what the interpreter is
//! waited for with. It starts with the first thing that anybody wants to know.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use millstream_engine::metrics::Notice;
use pyo3::prelude::*;

const INFO: u8 = 20;
const WARNING: u8 = 30;

/// Where what happens in a run goes.
pub(crate) struct Log {
    /// Whether anybody wants to know of more than warnings.
    is_wanted: bool,
    teller: Mutex<Option<Teller>>,
}

struct Teller {
    notices: Sender<Notice>,
    thread: JoinHandle<()>,
}

impl Log {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let is_wanted = logger(py)?.call_method1("isEnabledFor", (INFO,))?;
        Ok(Self {
            is_wanted: is_wanted.extract()?,
            teller: Mutex::default(),
        })
    }

    /// Tells something, and doesn't wait for that.
    pub(crate) fn tell(&self, notice: Notice) {
        if !self.is_wanted && !notice.is_warning() {
            return;
        }
        let mut teller = self.lock();
        if teller.is_none() {
            *teller = Teller::start();
        }
        if let Some(teller) = &*teller {
            let _ = teller.notices.send(notice);
        }
    }

    /// Waits until all is told. Must not be called attached.
    pub(crate) fn finish(&self) {
        if let Some(teller) = self.lock().take() {
            drop(teller.notices);
            // A panic there is not ours.
            let _ = teller.thread.join();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Teller>> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    /// None if there can be no further thread: the run is more important.
    fn start() -> Option<Self> {
        let (sender, notices) = channel();
        let thread = thread::Builder::new().name("millstream-log".to_owned());
        let thread = thread.spawn(move || tell_all(notices)).ok()?;
        Some(Self {
            notices: sender,
            thread,
        })
    }
}

fn tell_all(notices: Receiver<Notice>) {
    for notice in notices {
        let level = if notice.is_warning() { WARNING } else { INFO };
        // At the end of the interpreter there is nobody left to tell.
        Python::try_attach(|py| log(py, level, &notice.to_string()));
    }
}

/// Tells something at once. A handler that fails is not a reason to stop.
fn log(py: Python<'_>, level: u8, text: &str) {
    let told = logger(py).and_then(|logger| logger.call_method1("log", (level, "%s", text)));
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}

/// Tells something of interest at once.
pub(crate) fn inform(py: Python<'_>, text: &str) {
    log(py, INFO, text);
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("logging")?
        .call_method1("getLogger", ("millstream",))
}
