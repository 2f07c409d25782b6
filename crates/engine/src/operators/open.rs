//! Partitions that are open, and will be closed whatever happens.

use crate::context::Context;
use crate::host::{Failure, Host};
use crate::logic::{SinkPartition, SourcePartition};
use crate::plan::StepId;

/// What can be closed.
pub(crate) trait Close<H: Host> {
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>>;
}

impl<H: Host> Close<H> for dyn SourcePartition<H> {
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        SourcePartition::close(self, scope)
    }
}

impl<H: Host> Close<H> for dyn SinkPartition<H> {
    fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        SinkPartition::close(self, scope)
    }
}

/// Something that is open. Closing it by hand can fail; if it is dropped before,
/// because the run stops early, it is closed all the same, and an error is only
/// reported.
pub(crate) struct Open<H: Host, P: Close<H> + ?Sized> {
    context: Context<H>,
    /// The step that it is a part of.
    step: StepId,
    inner: Box<P>,
    is_closed: bool,
}

impl<H: Host, P: Close<H> + ?Sized> Open<H, P> {
    pub(crate) fn new(context: &Context<H>, step: &StepId, inner: Box<P>) -> Self {
        Self {
            context: context.clone(),
            step: step.clone(),
            inner,
            is_closed: false,
        }
    }

    pub(crate) fn get(&mut self) -> &mut P {
        &mut self.inner
    }

    /// Closes it, once.
    pub(crate) fn close(&mut self, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        self.is_closed = true;
        self.inner.close(scope)
    }
}

impl<H: Host, P: Close<H> + ?Sized> Drop for Open<H, P> {
    fn drop(&mut self) {
        if !self.is_closed {
            H::attach(|scope| {
                if let Err(failure) = self.inner.close(scope) {
                    self.context.fail(scope, &self.step, failure);
                }
            });
        }
    }
}
