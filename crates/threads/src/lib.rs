//! Panics of threads, as values.
//!
//! A panic is a defect. It must not stay in the thread in which it happens, where nobody hears of
//! it and all that wait for the thread hang: whoever runs a thread [`contain`]s what it does, and
//! tells a [`Panic`] to those who wait.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub mod point;

/// A point where a test may have the thread panic that passes it: see [`point`]. Nothing without
/// the feature `failpoints`.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! panic_point {
    ($place:literal) => {
        $crate::point::pass($place)
    };
}

/// A point where a test may have the thread panic that passes it. Nothing without the feature
/// `failpoints`.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! panic_point {
    ($place:literal) => {};
}

/// That a thread has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    thread: Option<String>,
    message: Option<String>,
}

/// Does some work; gives the panic if it panics.
///
/// What the work has changed is as the panic left it: use no more of it than ends it.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic {
        message: message_of(&*payload),
        ..Panic::of_this_thread()
    })
}

impl Panic {
    /// That this thread is panicking, for what is dropped meanwhile. What the panic says can't be
    /// known then.
    pub fn of_this_thread() -> Self {
        Self {
            thread: thread::current().name().map(str::to_owned),
            message: None,
        }
    }

    /// What it says.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

fn message_of(payload: &(dyn Any + Send)) -> Option<String> {
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied())?;
    Some(message.to_owned())
}

impl fmt::Display for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.thread {
            Some(thread) => write!(formatter, "the thread `{thread}` panicked")?,
            None => formatter.write_str("a thread panicked")?,
        }
        match &self.message {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

impl Error for Panic {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::mpsc;

    use super::*;

    /// What is told of a thread that does some work.
    fn told(work: impl FnOnce() + Send + 'static) -> Option<String> {
        let thread = thread::Builder::new().name("worker".to_owned());
        let thread = thread.spawn(move || contain(work).err().map(|panic| panic.to_string()));
        thread.unwrap().join().unwrap()
    }

    #[test]
    fn panic_names_its_thread_and_what_it_says() {
        assert_eq!(told(|| ()), None);
        let text = "the thread `worker` panicked: too much".to_owned();
        assert_eq!(told(|| panic!("too much")), Some(text.clone()));
        assert_eq!(told(|| panic!("too {}", "much")), Some(text));
        let odd = told(|| std::panic::resume_unwind(Box::new(7)));
        assert_eq!(odd.unwrap(), "the thread `worker` panicked");
    }

    #[test]
    fn what_is_dropped_meanwhile_can_tell() {
        struct Telling(mpsc::Sender<Panic>);
        impl Drop for Telling {
            fn drop(&mut self) {
                self.0.send(Panic::of_this_thread()).unwrap();
            }
        }
        let (sender, receiver) = mpsc::channel();
        told(move || {
            let _telling = Telling(sender);
            panic!("too much");
        });
        let panic = receiver.recv().unwrap();
        assert_eq!(panic.to_string(), "the thread `worker` panicked");
    }
}
