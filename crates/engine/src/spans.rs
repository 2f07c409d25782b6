//! What a run does, call by call, for whoever traces it.
//!
//! A [`Tracer`] is told when user code is called on a batch, and when that is over; what
//! lies between is a [`Span`]. Without a tracer, that costs a branch for each batch.
//!
//! # Traces
//!
//! A stream need not end, so a trace of all that a run does would grow without one. Here, a
//! trace is what became of one batch of a source: its `next_batch` begins it, and the
//! [`Origin`] that this gives the batch goes with all that is made of it, from step to step, to
//! other workers and processes, up to the sinks. What no batch brought about begins a trace of
//! its own: timers and the end of the input, the snapshot of an epoch, its commit.
//!
//! Batches that are worked off together have one span, in the trace of the first that is
//! recorded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::epoch::Epoch;
use crate::error::Error;
use crate::host::{Failure, Host};
use crate::physical::PhysicalOperator;

/// The span that a trace began with, as far as others must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether the trace is kept, rather than left out as a sample leaves out most.
    pub is_recorded: bool,
}

impl Origin {
    /// The origin of what is made of two batches together.
    pub(crate) fn of_both(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        let is_recorded = first.is_some_and(|first| first.is_recorded);
        if is_recorded { first } else { second.or(first) }
    }
}

/// Where calls are made.
#[derive(Clone, Debug)]
pub struct Site {
    /// The step; the last, if one operator stands for several.
    pub step: String,
    /// All steps that are done here, as their author wrote them.
    pub steps: Vec<String>,
    /// The worker.
    pub worker: usize,
}

/// A call that begins.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is being done.
    pub name: &'static str,
    /// Where; `None` if it isn't a step that does it, but the run.
    pub site: Option<&'a Site>,
    /// The epoch that it is done in, or for.
    pub epoch: Option<Epoch>,
    /// How many items it is done with.
    pub items: Option<usize>,
    /// The trace that it belongs to; `None` if it begins one.
    pub origin: Option<Origin>,
}

impl Call<'_> {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            site: None,
            epoch: None,
            items: None,
            origin: None,
        }
    }

    pub(crate) fn in_epoch(self, epoch: Epoch) -> Self {
        let epoch = Some(epoch);
        Self { epoch, ..self }
    }

    /// It is done with so many items.
    pub(crate) fn with(self, items: usize, origin: Option<Origin>) -> Self {
        let items = Some(items);
        Self {
            items,
            origin,
            ..self
        }
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome<'a, H: Host> {
    /// Well.
    Done,
    /// User code failed.
    Failed(&'a Failure<H>),
    /// The run can't go on.
    Stopped(&'a Error<H>),
}

/// Who traces a run.
///
/// Whatever goes wrong with tracing is no reason for a run to fail. What its methods fail
/// with is the wish of somebody to stop, which came while they were at work.
pub trait Tracer<H: Host>: Send + Sync {
    /// A call begins on this thread. Spans that user code makes until it ends are within it.
    fn begin(
        &self,
        scope: H::Scope<'_>,
        call: &Call<'_>,
    ) -> Result<Option<Box<dyn Span<H>>>, Failure<H>>;

    /// An epoch is kept, so long after the first worker of this process was done with it.
    fn committed(
        &self,
        scope: H::Scope<'_>,
        epoch: Epoch,
        took: Duration,
    ) -> Result<(), Failure<H>>;
}

/// A call that has begun.
pub trait Span<H: Host> {
    /// What a trace that begins with it is known by.
    fn origin(&self, scope: H::Scope<'_>) -> Option<Origin>;

    /// It ends. A source knows only now how many items it was.
    fn end(
        self: Box<Self>,
        scope: H::Scope<'_>,
        items: Option<usize>,
        outcome: Outcome<'_, H>,
    ) -> Result<(), Failure<H>>;
}

/// The calls of one operator on one worker, or of the run itself.
pub(crate) struct Spans<H: Host> {
    tracer: Option<Arc<dyn Tracer<H>>>,
    site: Option<Site>,
}

/// A call that may be traced.
pub(crate) struct Begun<H: Host>(Option<Box<dyn Span<H>>>);

impl<H: Host> Spans<H> {
    pub(crate) fn of_operator(
        tracer: Option<&Arc<dyn Tracer<H>>>,
        operator: &PhysicalOperator<H>,
        worker: usize,
    ) -> Self {
        let site = || {
            let steps = operator.steps();
            Site {
                step: steps.last().cloned().unwrap_or_default(),
                steps,
                worker,
            }
        };
        Self {
            tracer: tracer.cloned(),
            site: tracer.map(|_| site()),
        }
    }

    pub(crate) fn of_run(tracer: Option<&Arc<dyn Tracer<H>>>) -> Self {
        Self {
            tracer: tracer.cloned(),
            site: None,
        }
    }

    #[inline]
    pub(crate) fn begin(
        &self,
        scope: H::Scope<'_>,
        call: Call<'_>,
    ) -> Result<Begun<H>, Failure<H>> {
        let Some(tracer) = &self.tracer else {
            return Ok(Begun(None));
        };
        let site = self.site.as_ref();
        tracer.begin(scope, &Call { site, ..call }).map(Begun)
    }

    /// Does some work of a step.
    #[inline]
    pub(crate) fn around<T>(
        &self,
        scope: H::Scope<'_>,
        call: Call<'_>,
        work: impl FnOnce() -> Result<T, Failure<H>>,
    ) -> Result<T, Failure<H>> {
        let begun = self.begin(scope, call)?;
        begun.end(scope, None, work())
    }

    /// Does some work of the run. Must not be called attached.
    pub(crate) fn around_part<T>(
        &self,
        call: Call<'_>,
        work: impl FnOnce() -> Result<T, Error<H>>,
    ) -> Result<T, Error<H>> {
        if self.tracer.is_none() {
            return work();
        }
        let interrupted = |failure: Failure<H>| Error::Interrupted(failure.into_cause());
        let begun = H::attach(|scope| self.begin(scope, call)).map_err(interrupted)?;
        let outcome = work();
        if let Some(span) = begun.0 {
            let how = outcome
                .as_ref()
                .err()
                .map_or(Outcome::Done, Outcome::Stopped);
            H::attach(|scope| span.end(scope, None, how)).map_err(interrupted)?;
        }
        outcome
    }
}

impl<H: Host> Begun<H> {
    /// What a trace that begins with it is known by.
    #[inline]
    pub(crate) fn origin(&self, scope: H::Scope<'_>) -> Option<Origin> {
        self.0.as_ref().and_then(|span| span.origin(scope))
    }

    /// It ends like that, unless somebody wished to stop in the meantime.
    #[inline]
    pub(crate) fn end<T>(
        self,
        scope: H::Scope<'_>,
        items: Option<usize>,
        outcome: Result<T, Failure<H>>,
    ) -> Result<T, Failure<H>> {
        if let Some(span) = self.0 {
            let how = outcome
                .as_ref()
                .err()
                .map_or(Outcome::Done, Outcome::Failed);
            span.end(scope, items, how)?;
        }
        outcome
    }
}

/// The epochs that a worker is done with, and that are not kept yet.
pub(crate) struct Commits<H: Host> {
    tracer: Arc<dyn Tracer<H>>,
    /// Each with when the worker was done with it.
    waiting: VecDeque<(Epoch, Duration)>,
    /// The first that it isn't done with.
    open: Epoch,
}

impl<H: Host> Commits<H> {
    /// Of a worker that begins in an epoch.
    pub(crate) fn new(tracer: &Arc<dyn Tracer<H>>, first: Epoch) -> Self {
        Self {
            tracer: Arc::clone(tracer),
            waiting: VecDeque::new(),
            open: first,
        }
    }

    /// The worker is done with all before an epoch, and all up to another are kept.
    pub(crate) fn follow(
        &mut self,
        open: Epoch,
        committed: Epoch,
        now: Duration,
    ) -> Result<(), Failure<H>> {
        // Epochs need not follow one another: only the last of several is told of.
        if open > self.open {
            self.waiting.push_back((Epoch(open.0 - 1), now));
            self.open = open;
        }
        while let Some(&(epoch, since)) = self.waiting.front()
            && epoch <= committed
        {
            self.waiting.pop_front();
            let took = now.saturating_sub(since);
            H::attach(|scope| self.tracer.committed(scope, epoch, took))?;
        }
        Ok(())
    }
}
