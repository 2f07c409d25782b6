//! What Python keeps of a thread, for as long as the engine has the thread.
//!
//! A thread that Python didn't start gets a state when it attaches, and loses it when it
//! detaches: with it goes what user code has in `threading.local()` or in context variables,
//! and the memory for frames, which the system is asked for each time. So a thread that
//! attaches for every batch keeps its state, and only lets go of the interpreter in between.

use pyo3::ffi::{
    PyEval_RestoreThread, PyEval_SaveThread, PyGILState_Ensure, PyGILState_Release,
    PyGILState_STATE, PyThreadState,
};

/// Keeps the state of this thread.
pub(crate) struct ThreadState {
    outer: PyGILState_STATE,
    /// A pointer, so this can't leave the thread that it belongs to.
    kept: *mut PyThreadState,
}

impl ThreadState {
    /// Keeps it from now on, detached. The thread must not be attached.
    pub(crate) fn keep() -> Self {
        // SAFETY: an interpreter runs as long as a dataflow does; the state that is saved is the
        // one that was just made.
        let (outer, kept) = unsafe { (PyGILState_Ensure(), PyEval_SaveThread()) };
        Self { outer, kept }
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        // SAFETY: on the thread that made it, which is detached by now, since whatever attaches
        // in between detaches before it ends.
        unsafe {
            PyEval_RestoreThread(self.kept);
            PyGILState_Release(self.outer);
        }
    }
}
