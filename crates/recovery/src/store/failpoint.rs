//! Named points where a test may end the process, as a crash would.
//!
//! `MILLSTREAM_FAILPOINT=name:count` ends it at the `count`-th pass of the point `name`. Only
//! with the feature `failpoints`: otherwise the points are nothing.

/// A point where the crash harness may end the process.
#[cfg(feature = "failpoints")]
macro_rules! fail_point {
    ($name:literal) => {
        crate::store::failpoint::pass($name)
    };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! fail_point {
    ($name:literal) => {};
}

/// Counts one pass, and ends the process if it is the one.
#[cfg(feature = "failpoints")]
pub(super) fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

    let wanted = WANTED.get_or_init(|| {
        let setting = std::env::var("MILLSTREAM_FAILPOINT").ok()?;
        let (name, count) = setting.rsplit_once(':')?;
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((wanted, left)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
