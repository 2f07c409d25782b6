//! The heartbeat of a run: a thread that shows that it is well, and sees whether another run
//! has taken its place.

use std::io;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_threads::panic_point;

use crate::store::Lease;

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Heart {
    chest: Arc<Chest>,
    thread: Option<JoinHandle<()>>,
}

/// Shared with the thread.
#[derive(Default)]
struct Chest {
    stopped: Mutex<bool>,
    wake: Condvar,
    on_lost: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Heart {
    /// Begins to beat.
    pub(super) fn start(lease: Lease, every: Duration) -> io::Result<Self> {
        let chest = Arc::new(Chest::default());
        let shared = Arc::clone(&chest);
        let thread = thread::Builder::new()
            .name("millstream-lease".to_owned())
            .spawn(move || shared.beat(&lease, every))?;
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
}

impl Chest {
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
