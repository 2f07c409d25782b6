//! The seam to a language runtime.
//!
//! The engine moves items that it can't look into. What it must do with them
//! (copy one for a second consumer, take a `(key, value)` pair apart) it asks of
//! a [`Host`]. The Python host lives in the binding crate; tests bring one of
//! plain integers, so that everything here runs without an interpreter.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::batch::Batch;
use crate::error::Error;
use crate::logic::FlatMapBatch;
use crate::plan::StepId;

/// A language runtime whose values flow through the engine.
pub trait Host: Sized + 'static {
    /// One item of a stream.
    type Item: Send + 'static;
    /// Items that travel together, in the form in which the runtime hands them over.
    type Rows: Rows<Self>;
    /// The key of a keyed item.
    type Key: Key;
    /// What a failed call into user code leaves behind.
    type Error: Send + 'static;
    /// Proof of being attached to the runtime, needed to touch any value of it.
    type Scope<'a>: Copy;

    /// A stateless step, in a form in which neighbours can be made one.
    type Stage: Send + Sync + 'static;

    /// Attaches the calling thread to the runtime for as long as `work` takes.
    ///
    /// Operators call this once per activation, not per item.
    fn attach<R>(work: impl for<'a> FnOnce(Self::Scope<'a>) -> R) -> R;

    /// Does all the work of a thread, which attaches again and again. What the runtime, or user
    /// code, has stored for the thread stays there until it is done.
    fn in_thread<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Another handle to the same item.
    fn clone_item(scope: Self::Scope<'_>, item: &Self::Item) -> Self::Item;

    /// Another handle to the same key.
    fn clone_key(scope: Self::Scope<'_>, key: &Self::Key) -> Self::Key;

    /// A key, of its text.
    fn key(scope: Self::Scope<'_>, text: &str) -> Result<Self::Key, Failure<Self>>;

    /// About how many bytes an item takes; asked for one item of a batch.
    fn weigh(scope: Self::Scope<'_>, item: &Self::Item) -> usize;

    /// Whether an error is a wish to stop rather than a failure.
    fn is_wish_to_stop(scope: Self::Scope<'_>, error: &Self::Error) -> bool;

    /// Takes a `(key, value)` pair apart, for a step that needs one.
    fn split(
        scope: Self::Scope<'_>,
        step: &StepId,
        item: Self::Item,
    ) -> Result<(Self::Key, Self::Item), Failure<Self>>;

    /// Waits for something while others use the runtime, and then looks whether the caller wants
    /// to stop.
    fn pause(scope: Self::Scope<'_>, wait: impl FnOnce() + Send) -> Result<(), Self::Error>;

    /// Puts a `(key, value)` pair together.
    fn join(scope: Self::Scope<'_>, key: Self::Key, value: Self::Item) -> Self::Item;

    /// Makes bytes of a batch that goes to another process.
    fn pack(scope: Self::Scope<'_>, batch: Batch<Self>) -> Result<Vec<u8>, Failure<Self>>;

    /// Makes a batch of such bytes, of the same form: rows, or keyed rows.
    fn unpack(scope: Self::Scope<'_>, bytes: &[u8]) -> Result<Batch<Self>, Failure<Self>>;

    /// The failure of getting items from one process to another.
    fn no_crossing(scope: Self::Scope<'_>, why: String) -> Failure<Self>;

    /// Makes one mapper of a run of stateless steps.
    ///
    /// What it fails with must say in which of the steps ([`Failure::in_step`]). If
    /// only one step takes what it makes, and needs keys, that is `keyed_for`: the mapper
    /// may then make a keyed batch.
    fn fuse(
        scope: Self::Scope<'_>,
        stages: &[&Self::Stage],
        keyed_for: Option<&StepId>,
    ) -> Result<Arc<dyn FlatMapBatch<Self>>, Failure<Self>>;

    /// What went wrong, as people in front of another process are told, and the exit code that
    /// goes with it; none if somebody interrupted it.
    fn explain(scope: Self::Scope<'_>, error: &Error<Self>) -> Option<(String, u8)>;

    /// Reports a failure in a step that can't be raised any more, because the run is
    /// ending for another reason.
    fn report(scope: Self::Scope<'_>, step: &StepId, worker: usize, failure: Failure<Self>);
}

/// Whole items that travel together.
///
/// A runtime has a form of its own for many items, such as a list, in which sources
/// hand them over and user code takes them; as long as nobody looks at single items,
/// they stay in it.
pub trait Rows<H: Host<Rows = Self>>: Default + Send + 'static {
    /// Rows of these items.
    fn from_items(scope: H::Scope<'_>, items: Vec<H::Item>) -> Self;

    /// The single items.
    fn into_items(self, scope: H::Scope<'_>) -> Vec<H::Item>;

    /// How many items there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes the first takes; nothing if there is none.
    fn weigh_first(&self, scope: H::Scope<'_>) -> Option<usize>;

    /// Other rows of the same items.
    #[must_use]
    fn share(&self, scope: H::Scope<'_>) -> Self;
}

/// The key of a keyed item: text, with its hash at hand.
pub trait Key: Send + 'static {
    /// The key as text.
    fn as_str(&self) -> &str;

    /// [`stable_hash`] of the text, computed once.
    fn stable_hash(&self) -> u64;

    /// Whether it is the same text.
    #[inline]
    fn is_same(&self, other: &Self) -> bool {
        self.stable_hash() == other.stable_hash() && self.as_str() == other.as_str()
    }
}

/// The hash that decides which worker owns a key.
///
/// XXH3, 64 bits, seed 0, of the key in UTF-8. It is the same in every process
/// and every release: stored state is found again by it.
pub fn stable_hash(key: &str) -> u64 {
    XxHash3_64::oneshot(key.as_bytes())
}

/// A call into user code that failed. One pointer, since results that can fail are
/// returned for every item.
pub struct Failure<H: Host>(Box<Details<H>>);

/// What is known of a failed call.
pub struct Details<H: Host> {
    /// The step it happened in, if that isn't the one whose operator was running.
    pub step: Option<StepId>,
    /// What was being done, to complete the sentence "failed while ...".
    pub doing: String,
    /// The key that was being worked on, if there is one.
    pub key: Option<String>,
    /// A short description of the item, if there is one.
    pub item: Option<String>,
    /// The error that user code raised.
    pub cause: H::Error,
}

impl<H: Host> Failure<H> {
    /// A failure of a call that isn't about one key or item.
    pub fn new(doing: impl Into<String>, cause: H::Error) -> Self {
        Self(Box::new(Details {
            step: None,
            doing: doing.into(),
            key: None,
            item: None,
            cause,
        }))
    }

    /// Says in which step of several that run as one it happened.
    #[must_use]
    pub fn in_step(mut self, step: StepId) -> Self {
        self.0.step = Some(step);
        self
    }

    /// Says which key was being worked on.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.0.key = Some(key.to_owned());
        self
    }

    /// Says which item was being worked on.
    #[must_use]
    pub fn with_item(mut self, item: String) -> Self {
        self.0.item = Some(item);
        self
    }

    /// The error that user code raised.
    pub fn into_cause(self) -> H::Error {
        self.0.cause
    }
}

impl<H: Host> Deref for Failure<H> {
    type Target = Details<H>;

    fn deref(&self) -> &Details<H> {
        &self.0
    }
}

impl<H: Host> fmt::Debug for Failure<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("doing", &self.doing)
            .field("key", &self.key)
            .field("item", &self.item)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::stable_hash;

    /// Stored state is found by these numbers: they may never change.
    #[test]
    fn hash_is_pinned() {
        assert_eq!(stable_hash(""), 0x2d06_8005_38d3_94c2);
        assert_eq!(stable_hash("a"), 0xe6c6_32b6_1e96_4e1f);
    }
}
