//! The threads of the workers, as Python knows them, and how Python code in them is
//! interrupted.

use std::ffi::c_long;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::ffi::{PyThread_get_thread_ident, PyThreadState_SetAsyncExc};
use pyo3::prelude::*;

/// The threads of the workers.
///
/// Python keeps an exception that is raised in a thread from outside until the thread runs
/// Python code, whichever that is.
#[derive(Default)]
pub(crate) struct WorkerThreads {
    /// Locked by who is attached, and only for what runs no Python code: to attach while others
    /// wait for the lock could be to wait for them.
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    running: Vec<c_long>,
    tidying: Vec<c_long>,
}

impl WorkerThreads {
    /// A worker begins on this thread.
    pub(crate) fn begin(&self) {
        Python::attach(|_py| self.lock().running.push(this_thread()));
    }

    /// The worker on this thread has run, and tidies up. An interrupt that found no Python code
    /// to end is taken back, or it would end what closes a file, say.
    pub(crate) fn tidy_up(&self) {
        let thread = this_thread();
        Python::attach(|_py| {
            let mut threads = self.lock();
            threads.running.retain(|&running| running != thread);
            threads.tidying.push(thread);
            // SAFETY: attached; without an exception, this takes back the one that there is.
            unsafe { PyThreadState_SetAsyncExc(thread, null_mut()) };
        });
    }

    /// The worker on this thread has ended.
    pub(crate) fn end(&self) {
        let thread = this_thread();
        Python::attach(|_py| {
            let mut threads = self.lock();
            threads.running.retain(|&running| running != thread);
            threads.tidying.retain(|&tidying| tidying != thread);
        });
    }

    /// Raises `KeyboardInterrupt` in the Python code of workers that run, or of all.
    pub(crate) fn interrupt(&self, also_tidying: bool) {
        Python::attach(|py| {
            let exception = py.get_type::<PyKeyboardInterrupt>();
            let threads = self.lock();
            let tidying = threads.tidying.iter().filter(|_| also_tidying);
            for &thread in threads.running.iter().chain(tidying) {
                // SAFETY: attached; an unknown thread is ignored; Python takes a
                // reference of its own to the exception.
                unsafe { PyThreadState_SetAsyncExc(thread, exception.as_ptr()) };
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Python calls this thread.
fn this_thread() -> c_long {
    // SAFETY: it asks the system alone.
    unsafe { PyThread_get_thread_ident() }.cast_signed()
}
