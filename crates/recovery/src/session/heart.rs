//! The heartbeat of a run: a thread that shows that it is well, and sees whether another run
//! has taken its place.

use std::io;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_threads::{Panic, contain, panic_point};

use crate::store::Lease;

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Heart {
    chest: Arc<Chest>,
    thread: Option<JoinHandle<()>>,
}

/// What is told that the thread has panicked.
type OnPanic = Box<dyn Fn(&Panic) + Send + Sync>;

/// Shared with the thread.
#[derive(Default)]
struct Chest {
    stopped: Mutex<bool>,
    wake: Condvar,
    on_lost: OnceLock<Box<dyn Fn() + Send + Sync>>,
    on_panic: OnceLock<OnPanic>,
    panic: OnceLock<Panic>,
}

impl Heart {
    /// Begins to beat.
    pub(super) fn start(lease: Lease, every: Duration) -> io::Result<Self> {
        let chest = Arc::new(Chest::default());
        let shared = Arc::clone(&chest);
        let thread = thread::Builder::new()
            .name("millstream-lease".to_owned())
            .spawn(move || {
                if let Err(panic) = contain(|| shared.beat(&lease, every)) {
                    let _ = shared.panic.set(panic);
                    shared.tell_panic();
                }
            })?;
        Ok(Self {
            chest,
            thread: Some(thread),
        })
    }

    /// What to do once another run has the store. Without, whoever writes finds out.
    pub(super) fn on_lost(&self, act: impl Fn() + Send + Sync + 'static) {
        // A session says so once.
        let _ = self.chest.on_lost.set(Box::new(act));
    }

    /// What to do once it beats no more, because its thread has panicked; or has done so. It may
    /// be told twice.
    pub(super) fn on_panic(&self, act: impl Fn(&Panic) + Send + Sync + 'static) {
        let _ = self.chest.on_panic.set(Box::new(act));
        self.chest.tell_panic();
    }
}

impl Chest {
    fn tell_panic(&self) {
        if let (Some(panic), Some(act)) = (self.panic.get(), self.on_panic.get()) {
            act(panic);
        }
    }

    fn beat(&self, lease: &Lease, every: Duration) {
        for beat in 1.. {
            panic_point!("beat");
            // One that is not seen makes us look stopped, and then we are fenced: no harm.
            let _ = lease.beat(beat);
            if lease.is_lost().unwrap_or(false)
                && let Some(act) = self.on_lost.get()
            {
                act();
                return;
            }
            let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let (stopped, _) = self
                .wake
                .wait_timeout_while(stopped, every, |stopped| !*stopped)
                .unwrap_or_else(PoisonError::into_inner);
            if *stopped {
                return;
            }
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        *self
            .chest
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.chest.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Chest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chest").finish_non_exhaustive()
    }
}
