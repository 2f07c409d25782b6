//! What the operators of a run share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use millstream_threads::Panic;
use timely::scheduling::activate::Activator;

use crate::clock::Clock;
use crate::cluster::Place;
use crate::cluster::member::{Member, PULSE};
use crate::epoch::{Epoch, EpochBoard};
use crate::error::Error;
use crate::halt::{Halt, Reason};
use crate::host::{Failure, Host};
use crate::lane::{Lane, LaneRegistry};
use crate::logic::FlatMapBatch;
use crate::metrics::{Figures, Gauges, Live, Metrics, Role};
use crate::partitions::Assigned;
use crate::physical::PhysicalOperator;
use crate::plan::StepId;
use crate::recovery::{Change, Recorder, Restored, Saved, TwoPhaseSinks, chunks};
use crate::room::Room;
use crate::spans::{Spans, Tracer};

/// What all workers of a process share.
pub(crate) struct Shared<H: Host> {
    pub(crate) halt: Halt<H>,
    /// Which part of a cluster this process is.
    pub(crate) place: Place,
    /// What it is to the other processes, if there are any.
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) room: Room,
    pub(crate) epochs: EpochBoard,
    /// The epoch in which the run begins.
    pub(crate) first_epoch: Epoch,
    /// The number of this run on its store, from 1; zero if there is none.
    pub(crate) execution: u64,
    /// The last epoch that is kept; zero if none is of this run.
    pub(crate) committed: AtomicU64,
    /// The last epoch that two-phase sinks are to publish; zero if none is of this run.
    pub(crate) publishes: AtomicU64,
    /// The threads of the workers.
    pub(crate) threads: Threads,
    /// Whether the sources are to stop where they are, to go on in a later run.
    pub(crate) drains: AtomicBool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) epoch_interval: Duration,
    /// Who owns the partitions of each partitioned source and sink.
    pub(crate) partitions: HashMap<StepId, Vec<Assigned>>,
    /// How the store numbers the partitions of two-phase sinks.
    pub(crate) two_phase: TwoPhaseSinks,
    /// Whether any step must know by which lanes its batches come.
    pub(crate) needs_lanes: bool,
    /// The mappers that fused operators became.
    pub(crate) fused: HashMap<StepId, Arc<dyn FlatMapBatch<H>>>,
    /// What can be seen of the run from outside.
    pub(crate) metrics: Arc<Metrics>,
    /// Who traces the run.
    pub(crate) tracer: Option<Arc<dyn Tracer<H>>>,
}

impl<H: Host> Shared<H> {
    /// Stops the run because a thread has panicked, unless it stops already.
    pub(crate) fn stop_for(&self, panic: Panic) {
        drop(self.halt.raise(Reason::Failed(Error::panicked(panic))));
        self.threads.wake();
    }
}

impl<H: Host> Live for Shared<H> {
    fn gauges(&self) -> Gauges {
        let is_kept = self.execution > 0;
        let member = self.member.as_ref();
        // Whatever this run resumes from was committed by another.
        let committed = self.committed.load(Ordering::Relaxed);
        Gauges {
            newest_epoch: self.epochs.newest().0,
            committed_epoch: is_kept.then(|| committed.max(self.first_epoch.0 - 1)),
            room_taken: self.room.taken(),
            room_limit: self.room.limit(),
            is_stopping: self.halt.is_raised() || self.drains.load(Ordering::Relaxed),
            wall: self.clock.wall().0,
            traffic: member.map(|member| member.traffic()).unwrap_or_default(),
        }
    }
}

/// The threads of the workers, to be woken when there is news that no batch brings.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<Thread>>);

impl Threads {
    pub(crate) fn add_current(&self) {
        self.lock().push(thread::current());
    }

    pub(crate) fn wake(&self) {
        for thread in self.lock().iter() {
            thread.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the operators on one worker share.
pub(crate) struct Context<H: Host> {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) shared: Arc<Shared<H>>,
    /// What is to be woken on this worker when an epoch begins or is kept, or sources are to stop.
    pub(crate) wakers: Rc<RefCell<Vec<Activator>>>,
    /// What this worker has to be kept, if there is a store.
    pub(crate) recorder: Option<Rc<Recorder>>,
    /// What an earlier run kept, until the operators take it.
    pub(crate) restored: Rc<RefCell<Restored>>,
    /// The lanes on this worker so far.
    pub(crate) lanes: Rc<LaneRegistry>,
}

impl<H: Host> Clone for Context<H> {
    fn clone(&self) -> Self {
        Self {
            worker: self.worker,
            workers: self.workers,
            shared: Arc::clone(&self.shared),
            wakers: Rc::clone(&self.wakers),
            recorder: self.recorder.clone(),
            restored: Rc::clone(&self.restored),
            lanes: Rc::clone(&self.lanes),
        }
    }
}

impl<H: Host> Context<H> {
    /// Hands over what changed in an epoch, before its end shows. While the store is far behind,
    /// this waits, and holds nobody up but this worker; nobody hears of changes if the run stops
    /// meanwhile.
    pub(crate) fn record(
        &self,
        scope: H::Scope<'_>,
        step: &StepId,
        epoch: Epoch,
        changes: Vec<Change>,
    ) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        let keeper = recorder.keeper();
        for chunk in chunks(changes) {
            while !keeper.has_room() && !self.is_halted() {
                if let Err(error) = H::pause(scope, || keeper.await_room(PULSE)) {
                    self.shared.halt.interrupt(error);
                }
            }
            if self.is_halted() {
                return;
            }
            keeper.record(step, epoch, chunk);
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.shared.halt.is_raised()
    }

    /// What an operator counts on this worker.
    pub(crate) fn figures(&self, operator: &StepId, role: Role) -> Arc<Figures> {
        let figures = self.shared.metrics.add(operator, self.worker, role);
        figures.frontier.set(self.shared.first_epoch.0);
        figures
    }

    /// The calls of an operator on this worker.
    pub(crate) fn spans(&self, operator: &PhysicalOperator<H>) -> Spans<H> {
        Spans::of_operator(self.shared.tracer.as_ref(), operator, self.worker)
    }

    /// Gives back room that a process took for what has arrived here.
    pub(crate) fn give_back(&self, process: usize, weight: usize) {
        match &self.shared.member {
            Some(member) if process != self.shared.place.process => {
                member.give_back(process, weight);
            }
            _ => self.shared.room.give_back(weight),
        }
    }

    /// Whether the sources are to stop where they are.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.drains.load(Ordering::Relaxed)
    }

    /// The last epoch that two-phase sinks are to publish.
    pub(crate) fn publishable(&self) -> Epoch {
        Epoch(self.shared.publishes.load(Ordering::Acquire))
    }

    /// Whether all epochs before this one are kept, if they are to be.
    pub(crate) fn has_committed_before(&self, epoch: u64) -> bool {
        let committed = self.shared.committed.load(Ordering::Acquire);
        self.recorder.is_none() || epoch <= self.shared.first_epoch.0 || epoch <= committed + 1
    }

    /// What an earlier run kept of a step, for this worker.
    pub(crate) fn take_restored(&self, step: &StepId) -> Vec<(String, Saved)> {
        self.restored.borrow_mut().remove(step).unwrap_or_default()
    }

    /// A lane of its own for batches that follow one another, if any step must know.
    pub(crate) fn new_lane(&self) -> Lane {
        self.new_named_lane(|| None)
    }

    /// A lane that a later run will have again, by its name.
    pub(crate) fn new_named_lane(&self, name: impl FnOnce() -> Option<String>) -> Lane {
        if self.shared.needs_lanes {
            self.lanes.add(name())
        } else {
            Lane::default()
        }
    }

    /// The partitions of a step that this worker owns, in the order of their names.
    pub(crate) fn owned_partitions(&self, step: &StepId) -> Vec<String> {
        self.partitions(step)
            .iter()
            .filter(|assigned| assigned.worker == self.worker)
            .map(|assigned| assigned.part.clone())
            .collect()
    }

    /// All partitions of a step, in the order of their names.
    pub(crate) fn partitions(&self, step: &StepId) -> &[Assigned] {
        self.shared.partitions.get(step).map_or(&[], Vec::as_slice)
    }

    /// Stops the run because of a failure in a step. If it is stopping already,
    /// the failure is reported instead.
    pub(crate) fn fail(&self, scope: H::Scope<'_>, step: &StepId, failure: Failure<H>) {
        let step = failure.step.clone().unwrap_or_else(|| step.clone());
        let reason = Reason::Failed(Error::Step {
            step,
            worker: Some(self.worker),
            failure,
        });
        self.raise(scope, reason);
    }

    /// Stops the run. If it is stopping already, a wish to stop takes the place of the
    /// first reason, since it must not be lost, and a failure is reported.
    pub(crate) fn raise(&self, scope: H::Scope<'_>, reason: Reason<H>) {
        let Some(Reason::Failed(error)) = self.shared.halt.raise(reason) else {
            return;
        };
        match error {
            Error::Step { failure, .. } if H::is_wish_to_stop(scope, &failure.cause) => {
                self.shared.halt.interrupt(failure.into_cause());
            }
            Error::Step { step, failure, .. } => {
                H::report(scope, &step, self.worker, failure);
            }
            Error::Interrupted(error) => self.shared.halt.interrupt(error),
            // The first reason says enough.
            Error::Internal(_)
            | Error::Plan(_)
            | Error::Recovery(_)
            | Error::PartitionGone { .. }
            | Error::Join(_)
            | Error::PeerLost { .. }
            | Error::Peer(_) => {}
        }
    }
}

impl<H: Host> fmt::Debug for Context<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} of {}", self.worker, self.workers)
    }
}
