//! What all that have a part in a run share: facts go in, and what the coordinator decides is
//! done.
//!
//! The writer, the workers, the sinks and the heartbeat each have a thread. The lock is held
//! while the coordinator decides and for nothing else: not while something is handed to the
//! writer, and not while the engine is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::error::{Awaited, SessionError};
use super::plan::Plan;
use crate::id::{Epoch, Generation, WorkerIndex};
use crate::protocol::abort::Abort;
use crate::protocol::coordinator::{Action, Coordinator, Fact, Frontier, Participants};
use crate::store::{Collected, Report, StoreError, Trouble, WriterHandle};

/// What the engine is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// All epochs up to this one are history.
    Committed(Epoch),
    /// Every two-phase sink is to publish what it has prepared.
    Publish {
        /// The last of the epochs.
        through: Epoch,
    },
    /// Every source is to emit nothing more.
    StopSources,
    /// Something could not be written, and will be tried again.
    Waiting {
        /// Why not.
        trouble: Trouble,
        /// How often in a row by now.
        attempt: u32,
        /// What happened, for people.
        error: Arc<StoreError>,
    },
    /// Garbage was collected.
    Collected(Collected),
    /// The run can't go on. Told once.
    Failed(Arc<SessionError>),
}

/// What all that have a part in a run share.
pub(super) struct Conductor {
    state: Mutex<State>,
    /// Signalled when there is an ending, or a commit.
    over: Condvar,
    writer: OnceLock<WriterHandle>,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
}

struct State {
    coordinator: Coordinator,
    /// The first epoch that each worker has not said to be over.
    open: BTreeMap<WorkerIndex, Epoch>,
    /// The last epoch of the workers that have said that everything is over.
    finished: BTreeMap<WorkerIndex, Epoch>,
    /// The epoch that is to be committed whatever comes: state is moved in it.
    least: Option<Epoch>,
    ending: Option<Ending>,
}

/// How a run ended.
enum Ending {
    /// All is committed and published.
    Well,
    Failed(SessionError),
    /// Nobody wants to know.
    Abandoned,
}

impl Conductor {
    pub(super) fn new(
        participants: Participants,
        plan: &Plan,
        on_event: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Self {
        let resume = plan.start.epoch;
        let workers = (0..participants.workers).map(WorkerIndex);
        let state = State {
            coordinator: Coordinator::new(participants, resume),
            open: workers.map(|worker| (worker, resume)).collect(),
            finished: BTreeMap::new(),
            least: plan.is_moving().then_some(resume),
            ending: None,
        };
        Self {
            state: Mutex::new(state),
            over: Condvar::new(),
            writer: OnceLock::new(),
            on_event,
        }
    }

    /// To be called before anyone has anything to say.
    pub(super) fn connect(&self, writer: WriterHandle) {
        // There is one writer.
        let _ = self.writer.set(writer);
    }

    /// A worker has handed over all it has for the epochs before this one.
    pub(super) fn passed(&self, worker: WorkerIndex, frontier: Epoch) {
        {
            let mut state = self.lock();
            match state.open.get_mut(&worker) {
                Some(open) if *open < frontier => *open = frontier,
                _ => return,
            }
        }
        if let Some(last) = frontier.previous() {
            self.ask(|writer| writer.close_epoch(worker, last));
        }
    }

    /// A worker has handed over all it has.
    pub(super) fn finished(&self, worker: WorkerIndex, last: Epoch) {
        let last = {
            let mut state = self.lock();
            let last = state.least.map_or(last, |least| least.max(last));
            state.finished.insert(worker, last);
            last
        };
        self.ask(|writer| writer.close_epoch(worker, last));
    }

    /// What the writer tells, on its thread.
    pub(super) fn report(&self, report: Report) {
        if self.lock().ending.is_some() {
            return;
        }
        match report {
            Report::Durable { worker, epoch } => self.tell(self.durable(worker, epoch)),
            Report::Committed(epoch) => {
                (self.on_event)(Event::Committed(epoch));
                self.tell(Fact::Committed { epoch });
                self.over.notify_all();
            }
            Report::Collected(collected) => (self.on_event)(Event::Collected(collected)),
            Report::Waiting {
                trouble,
                attempt,
                error,
            } => (self.on_event)(Event::Waiting {
                trouble,
                attempt,
                error,
            }),
            Report::Failed(error) => self.fail(error.into()),
        }
    }

    /// Takes notice of a fact, and does what follows.
    pub(super) fn tell(&self, fact: Fact) {
        let actions = {
            let mut state = self.lock();
            if state.ending.is_some() {
                return;
            }
            state.coordinator.on(fact)
        };
        for action in actions {
            self.perform(action);
        }
    }

    /// Another run has the store.
    pub(super) fn lose(&self, mine: Generation) {
        let holder = mine.next();
        self.tell(Fact::Failed(Abort::Fenced { mine, holder }));
    }

    /// Ends the run, for a reason that is told if it is the first.
    pub(super) fn fail(&self, error: SessionError) {
        if self.end(Ending::Failed(error.clone())) {
            (self.on_event)(Event::Failed(Arc::new(error)));
        }
    }

    /// Ends the run without a word.
    pub(super) fn abandon(&self) {
        self.end(Ending::Abandoned);
    }

    /// Waits for the end; gives the last epoch that was committed. A run that didn't end in time
    /// is over.
    pub(super) fn wait(&self, deadline: Duration) -> Result<Option<Epoch>, SessionError> {
        let (mut state, _) = self
            .over
            .wait_timeout_while(self.lock(), deadline, |state| state.ending.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.outcome(deadline).inspect_err(|_| {
            if state.ending.is_none() {
                state.ending = Some(Ending::Abandoned);
                self.over.notify_all();
            }
        })
    }

    /// Waits until an epoch is committed, or the run has ended.
    pub(super) fn await_commit(
        &self,
        epoch: Epoch,
        deadline: Duration,
    ) -> Result<(), SessionError> {
        let (state, _) = self
            .over
            .wait_timeout_while(self.lock(), deadline, |state| {
                state.ending.is_none() && state.coordinator.resume_epoch() <= epoch
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.coordinator.resume_epoch() > epoch {
            return Ok(());
        }
        state.outcome(deadline).map(drop)
    }

    /// Waits until all is committed that can be without another word of a worker, and ends the
    /// run. Gives the last epoch that was committed.
    pub(super) fn settle(&self, deadline: Duration) -> Option<Epoch> {
        let (mut state, _) = self
            .over
            .wait_timeout_while(self.lock(), deadline, |state| {
                state.ending.is_none() && state.coordinator.resume_epoch() < state.reached()
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.ending.get_or_insert(Ending::Abandoned);
        state.coordinator.resume_epoch().previous()
    }

    fn durable(&self, worker: WorkerIndex, epoch: Epoch) -> Fact {
        let state = self.lock();
        let frontier = match state.finished.get(&worker) {
            Some(last) if epoch >= *last => Frontier::Finished { last: *last },
            _ => Frontier::At(epoch.next()),
        };
        Fact::Passed { worker, frontier }
    }

    fn perform(&self, action: Action) {
        match action {
            Action::WriteCommit { epoch, .. } => self.ask(|writer| writer.commit(epoch)),
            Action::Collect { through } => self.ask(|writer| writer.collect(through)),
            Action::Publish { through } => (self.on_event)(Event::Publish { through }),
            Action::StopSources => (self.on_event)(Event::StopSources),
            Action::Finish => drop(self.end(Ending::Well)),
            Action::Abort(reason) => self.fail(reason.into()),
        }
    }

    /// Asks the writer for something. One that has stopped has told why.
    fn ask(&self, request: impl FnOnce(&WriterHandle) -> Result<(), StoreError>) {
        if let Some(writer) = self.writer.get() {
            let _ = request(writer);
        }
    }

    /// Gives whether this is the end, or there was one before.
    fn end(&self, ending: Ending) -> bool {
        let is_well = matches!(ending, Ending::Well);
        {
            let mut state = self.lock();
            if state.ending.is_some() {
                return false;
            }
            state.ending = Some(ending);
        }
        self.over.notify_all();
        if !is_well && let Some(writer) = self.writer.get() {
            // Also lets go of those who wait for room.
            writer.abandon();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first epoch that some worker has not said to be over.
    fn reached(&self) -> Epoch {
        let reached = self.open.iter().map(|(worker, open)| {
            let finished = self.finished.get(worker);
            finished.map_or(*open, |last| last.next())
        });
        reached.min().unwrap_or(Epoch::FIRST)
    }

    /// How the run has ended, if it has; gives the last epoch that was committed.
    fn outcome(&self, deadline: Duration) -> Result<Option<Epoch>, SessionError> {
        match &self.ending {
            Some(Ending::Well) => Ok(self.coordinator.resume_epoch().previous()),
            Some(Ending::Failed(error)) => Err(error.clone()),
            Some(Ending::Abandoned) => Err(StoreError::Stopped.into()),
            None => Err(SessionError::TimedOut {
                deadline,
                awaited: self.awaited(),
            }),
        }
    }

    /// What keeps the run from ending.
    fn awaited(&self) -> Awaited {
        let workers = self.open.keys();
        let workers: Vec<_> = workers
            .filter(|worker| !self.finished.contains_key(worker))
            .copied()
            .collect();
        if !workers.is_empty() {
            return Awaited::Workers(workers);
        }
        let sinks = self.coordinator.unfinished_sinks();
        if sinks.is_empty() {
            return Awaited::Store;
        }
        Awaited::Sinks(sinks)
    }
}

impl std::fmt::Debug for Conductor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Conductor").finish_non_exhaustive()
    }
}
