//! Named points where a test may have a thread panic.
//!
//! `MILLSTREAM_PANIC=thread@place:count` has the thread of that name panic when it passes the
//! point `place` for the `count`-th time.

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Where to panic.
struct Wanted {
    thread: String,
    place: String,
    /// How many passes there are to be until then.
    left: AtomicU64,
}

/// Counts one pass, and panics if it is the one.
///
/// # Panics
///
/// If that is wanted.
pub fn pass(place: &str) {
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    if let Some(wanted) = WANTED.get_or_init(Wanted::of_environment)
        && wanted.place == place
        && thread::current().name() == Some(&wanted.thread)
        && wanted.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        panic!("a test wants it");
    }
}

impl Wanted {
    fn of_environment() -> Option<Self> {
        let setting = env::var("MILLSTREAM_PANIC").ok()?;
        let (point, count) = setting.rsplit_once(':')?;
        let (thread, place) = point.rsplit_once('@')?;
        Some(Self {
            thread: thread.to_owned(),
            place: place.to_owned(),
            left: AtomicU64::new(count.parse().ok()?),
        })
    }
}
