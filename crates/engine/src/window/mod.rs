//! Windows: cutting the endless stream of a key's values into spans of time.
//!
//! # The concepts
//!
//! - *Event time* is when something happened, by the timestamp of the value, an
//!   `i64` of microseconds since 1970 in UTC. *System time* is when we process it,
//!   a [`Micros`](crate::clock::Micros). The types keep them apart.
//! - The *watermark* is how far event time has come: a [`Clock`] moves it, and never
//!   back. It belongs to one key, since keys may come from devices whose data arrive
//!   hours apart.
//! - A value older than the watermark, by more than the *allowed lateness*, is *late*,
//!   and goes into no window.
//! - A [`Windower`] says which windows a timestamp belongs to, and which watermark
//!   closes them. A window that has closed is kept for as long as lateness is allowed;
//!   if it changes, it closes again. When that time is over it is freed, and never
//!   opens again.
//! - In an *ordered* step a value waits until the watermark reaches it, so that
//!   windows see values in the order of their timestamps. One that the watermark has
//!   passed already waits for nothing.
//! - A [`Fold`] is the user's logic: what a window does with its values.
//!
//! # One turn
//!
//! [`KeyWindows`] drives one key. Each call is one turn, and what it hands to the
//! [`Sink`] has one order: late values as they arrived; what windows emit for values
//! that are due; then what they emit as they close, for the first time or again, each
//! with its [`Metadata`], in the order in which they were opened.
//!
//! # The rules of this folder
//!
//! Nothing here reads a clock, knows timely, or allocates per value: times come in
//! as arguments, timers go out as answers, and the keys of a worker share the
//! buffers of their [`WindowStep`].
//!
//! # Example
//!
//! Counting values in windows of ten microseconds:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use millstream_engine::clock::Micros;
//! use millstream_engine::window::{
//!     Clock, Event, Fold, KeyWindows, Metadata, SessionIds, WindowStep, Windower, Windowing,
//! };
//!
//! struct Count;
//!
//! impl Fold<char> for Count {
//!     type State = usize;
//!     type Out = usize;
//!     type Error = Infallible;
//!     type Context<'a> = ();
//!
//!     fn open(&self, (): ()) -> Result<usize, Infallible> {
//!         Ok(0)
//!     }
//!     fn add(
//!         &self,
//!         (): (),
//!         count: &mut usize,
//!         _timestamp: i64,
//!         _: char,
//!         _: &mut Vec<usize>,
//!     ) -> Result<(), Infallible> {
//!         *count += 1;
//!         Ok(())
//!     }
//!     fn merge(
//!         &self,
//!         (): (),
//!         count: &mut usize,
//!         later: usize,
//!         _: &mut Vec<usize>,
//!     ) -> Result<(), Infallible> {
//!         *count += later;
//!         Ok(())
//!     }
//!     fn close(
//!         &self,
//!         (): (),
//!         count: &mut usize,
//!         emit: &mut Vec<usize>,
//!     ) -> Result<(), Infallible> {
//!         emit.push(*count);
//!         Ok(())
//!     }
//!     fn clone_value(&self, (): (), value: &char) -> char {
//!         *value
//!     }
//! }
//!
//! let windowing = Windowing {
//!     clock: Clock::Event { wait: 2 },
//!     windower: Windower::tumbling(10, 0).expect("a length above zero"),
//!     lateness: 0,
//!     ordered: true,
//!     wants_late: true,
//!     wants_meta: true,
//!     session_ids: SessionIds::Counts,
//! };
//! let mut step = WindowStep::new(windowing, Count);
//! let mut key = KeyWindows::new(Micros(0));
//! let mut events = Vec::new();
//!
//! let values = [(1, 'a'), (9, 'b'), (8, 'c'), (12, 'd'), (3, 'e')].map(Ok);
//! key.on_batch(&mut step, (), Micros(0), values, &mut events)?;
//! let metadata = Metadata { open: 0, close: 10, merged: vec![] };
//! assert_eq!(
//!     events,
//!     [Event::Late(0, 'e'), Event::Emit(0, 3), Event::Meta(0, metadata)]
//! );
//!
//! // The watermark is at 10, and `d` waits for 12.
//! assert_eq!(key.notify_at(&step), Some(Micros(2)));
//! # Ok::<(), Infallible>(())
//! ```

mod clock;
mod fold;
mod held;
mod key_windows;
mod lanes;
mod queue;
#[cfg(test)]
mod reference;
mod saved;
mod session;
mod step;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod turn;
mod windower;

pub use clock::{Clock, END_OF_TIME, KeyClock, START_OF_TIME};
pub use fold::{Event, Fold, Metadata, Sink};
pub use key_windows::KeyWindows;
pub use lanes::{Lanes, Timed};
pub use saved::{SavedWindow, SavedWindows};
pub use step::{SessionIds, WindowStep, Windowing};
pub use windower::{LATE_SESSION_ID, Session, Sliding, Windower};
