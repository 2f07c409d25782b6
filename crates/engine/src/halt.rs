//! The one place where a run is stopped early.
//!
//! Errors are values that end up here, never panics. The first reason wins. Every
//! worker looks at the flag between steps, and every operator before it calls user
//! code: what is being called then ends first, and nothing is called after it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cluster::{Cause, CauseKind};
use crate::error::Error;
use crate::host::Host;

/// Why a run stops early.
pub enum Reason<H: Host> {
    /// A source asked for it.
    Aborted,
    /// Something failed.
    Failed(Error<H>),
}

/// The flag, and the first reason for raising it; shared by all workers.
pub struct Halt<H: Host> {
    raised: AtomicBool,
    reason: Mutex<Option<Reason<H>>>,
}

impl<H: Host> Halt<H> {
    /// A flag that is down.
    pub fn new() -> Self {
        Self {
            raised: AtomicBool::new(false),
            reason: Mutex::new(None),
        }
    }

    /// Whether the run is to stop.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Stops the run. A reason after the first is handed back.
    pub fn raise(&self, reason: Reason<H>) -> Option<Reason<H>> {
        let mut first = self.lock();
        if first.is_some() {
            return Some(reason);
        }
        *first = Some(reason);
        self.raised.store(true, Ordering::Relaxed);
        None
    }

    /// Stops the run, for this reason rather than a failure; the first wish to stop
    /// stands.
    pub fn interrupt(&self, error: H::Error) {
        let mut first = self.lock();
        if !matches!(*first, Some(Reason::Failed(Error::Interrupted(_)))) {
            *first = Some(Reason::Failed(Error::Interrupted(error)));
        }
        self.raised.store(true, Ordering::Relaxed);
    }

    /// What other processes are told of the reason.
    pub(crate) fn cause(&self, process: usize) -> Option<Cause> {
        match &*self.lock() {
            None => None,
            Some(Reason::Failed(error)) => Some(error.cause(process)),
            Some(Reason::Aborted) => Some(Cause {
                process,
                kind: CauseKind::Aborted,
            }),
        }
    }

    /// Takes the reason out, once all workers have stopped.
    pub fn take_reason(&self) -> Option<Reason<H>> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reason<H>>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Host> Default for Halt<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Host> fmt::Debug for Halt<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halt")
            .field("raised", &self.raised)
            .finish_non_exhaustive()
    }
}
