//! Which keys have changed in the epoch at hand, for the store.

use crate::context::Context;
use crate::epoch::Epoch;
use crate::host::{Failure, Host};
use crate::metrics::Figures;
use crate::operators::stateful_batch::keys::AnyKeys;
use crate::plan::StepId;
use crate::spans::{Call, Spans};

/// Which keys have changed.
#[derive(Default)]
pub(super) struct Changes {
    /// The slots of those that were called.
    pub(super) called: Vec<u32>,
    /// Those that are gone, or were for a while.
    pub(super) gone: Vec<String>,
}

/// Gives a step the keys that an earlier run kept of it, and notes from now on what changes.
pub(crate) fn restore<H: Host, V>(
    context: &Context<H>,
    step: &StepId,
    keys: &mut dyn AnyKeys<H, V>,
    scope: H::Scope<'_>,
) -> Result<(), Failure<H>> {
    if context.recorder.is_none() {
        return Ok(());
    }
    keys.note_changes();
    for (key, saved) in context.take_restored(step) {
        let key = H::key(scope, &key)?;
        keys.resume(context, scope, key, &saved)?;
    }
    Ok(())
}

/// Hands over what changed in an epoch that is over.
pub(crate) fn record<H: Host, V>(
    context: &Context<H>,
    step: &StepId,
    (figures, spans): (&Figures, &Spans<H>),
    keys: &mut dyn AnyKeys<H, V>,
    scope: H::Scope<'_>,
    epoch: Epoch,
) -> Result<(), Failure<H>> {
    if context.recorder.is_some() {
        let clock = &context.shared.clock;
        let begun = clock.monotonic();
        let call = Call::new("snapshot").in_epoch(epoch);
        let changes = spans.around(scope, call, || keys.changes(scope))?;
        let took = clock.monotonic().saturating_sub(begun);
        figures.snapshots.observe(took);
        figures.kept(&changes);
        context.record(scope, step, epoch, changes);
    }
    Ok(())
}
