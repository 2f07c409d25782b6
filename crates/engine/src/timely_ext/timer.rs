//! Waking an operator at a later time.

use std::time::Duration;

use timely::scheduling::Activator;

/// The longest an operator sleeps before it looks at the clock again, in case the
/// clock was set meanwhile.
const LONGEST: Duration = Duration::from_secs(10);

/// Wakes one operator.
///
/// Timely can't forget an activation that was asked for, so asking again each time
/// something else wakes the operator would pile them up. This asks only for one
/// that comes before all those still to come.
pub(crate) struct Timer {
    activator: Activator,
    /// When the next activation comes, in monotonic time.
    next: Option<Duration>,
}

impl Timer {
    pub(crate) fn new(activator: Activator) -> Self {
        Self {
            activator,
            next: None,
        }
    }

    /// Wakes the operator after `delay`, or earlier.
    pub(crate) fn wake_after(&mut self, delay: Duration, now: Duration) {
        if delay.is_zero() {
            self.activator.activate();
            return;
        }
        let delay = delay.min(LONGEST);
        let at = now + delay;
        if self.next.is_none_or(|next| next <= now || at < next) {
            self.next = Some(at);
            self.activator.activate_after(delay);
        }
    }
}
