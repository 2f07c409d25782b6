//! Waiting for the store without being deaf to the caller.
//!
//! The store bears with a busy disk for minutes. A caller who wants to stop must not have to
//! wait for that, so such calls are made on a thread of their own.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use millstream_threads::{contain, panic_point};

use crate::error::Error;
use crate::host::Host;

/// How often to look up.
const EVERY: Duration = Duration::from_millis(10);

/// Does some work, and looks up now and then until it is done. If that fails, the work is left
/// to itself.
pub(crate) fn attentively<H: Host, T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    look_up: impl Fn() -> Result<(), Error<H>>,
) -> Result<T, Error<H>> {
    let (sender, done) = channel();
    thread::Builder::new()
        .name("millstream-wait".to_owned())
        .spawn(move || {
            let made = contain(|| {
                panic_point!("wait");
                work()
            });
            // Nobody may be waiting any more.
            let _ = sender.send(made);
        })
        .map_err(|error| Error::Internal(format!("can't start a thread to wait on: {error}")))?;
    loop {
        match done.recv_timeout(EVERY) {
            Ok(made) => return made.map_err(Error::panicked),
            Err(RecvTimeoutError::Timeout) => look_up()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Internal(
                    "the thread that waits for the store has ended early".to_owned(),
                ));
            }
        }
    }
}
