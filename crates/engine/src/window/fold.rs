//! What users do with the values of a window, and where the results go.

/// The user's logic, the same for all windows and keys of a step.
///
/// Each window has a state of its own, which begins with [`open`](Fold::open).
/// Every method gets the context that the driver was called with (such as proof of
/// being attached to a language runtime) and may fail. What it adds to `emit` goes
/// downstream under the id of the window.
pub trait Fold<V> {
    /// What a window remembers.
    type State;
    /// What a window emits.
    type Out;
    /// What a failed call leaves behind.
    type Error;
    /// What is passed down to each call.
    type Context<'a>: Copy;

    /// Makes the state of a new window.
    fn open(&self, context: Self::Context<'_>) -> Result<Self::State, Self::Error>;

    /// Takes a value into a window.
    ///
    /// In an ordered step, timestamps don't go down from one call to the next, except
    /// for values that came late.
    fn add(
        &self,
        context: Self::Context<'_>,
        state: &mut Self::State,
        timestamp: i64,
        value: V,
        emit: &mut Vec<Self::Out>,
    ) -> Result<(), Self::Error>;

    /// Takes a session that opened later into this one.
    fn merge(
        &self,
        context: Self::Context<'_>,
        state: &mut Self::State,
        later: Self::State,
        emit: &mut Vec<Self::Out>,
    ) -> Result<(), Self::Error>;

    /// Ends a window. If lateness is allowed, more may be added to the state, and then
    /// the window ends again: what was emitted must not change with it.
    fn close(
        &self,
        context: Self::Context<'_>,
        state: &mut Self::State,
        emit: &mut Vec<Self::Out>,
    ) -> Result<(), Self::Error>;

    /// Another handle to the same value, which lies in several windows.
    fn clone_value(&self, context: Self::Context<'_>, value: &V) -> V;
}

/// What is known of a window when it closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// When it opened; the timestamp of the first value of a session.
    pub open: i64,
    /// The first moment after it; the timestamp of the last value of a session.
    pub close: i64,
    /// All sessions that became part of it, directly or through others.
    pub merged: Vec<i64>,
}

/// Where a key puts what happens to its windows.
pub trait Sink<V, O> {
    /// A value came too late for the window `id`.
    fn late(&mut self, id: i64, value: V);

    /// The window `id` emitted something.
    fn emit(&mut self, id: i64, out: O);

    /// The window `id` has closed, or has changed since and closes again.
    fn meta(&mut self, id: i64, metadata: Metadata);
}

/// Something that happened to a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<V, O> {
    /// A value came too late for a window.
    Late(i64, V),
    /// A window emitted something.
    Emit(i64, O),
    /// A window has closed.
    Meta(i64, Metadata),
}

impl<V, O> Sink<V, O> for Vec<Event<V, O>> {
    fn late(&mut self, id: i64, value: V) {
        self.push(Event::Late(id, value));
    }

    fn emit(&mut self, id: i64, out: O) {
        self.push(Event::Emit(id, out));
    }

    fn meta(&mut self, id: i64, metadata: Metadata) {
        self.push(Event::Meta(id, metadata));
    }
}
