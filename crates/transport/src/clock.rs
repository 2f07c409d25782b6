//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime};

/// A moment that only other moments of this process mean anything to.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time since 1970, as certificates count it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn today() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
