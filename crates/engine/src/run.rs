//! Running a plan, from the first look at its partitions to the last word of the store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::begin::{Prior, deal_out, fuse_stages, list_partitions, restore, two_phase_sinks};
use crate::clock::Clock;
use crate::cluster::lobby::Lobby;
use crate::cluster::member::{Member, start_clerk};
use crate::cluster::wire::{Network, Sockets};
use crate::cluster::{self, Place};
use crate::context::{Shared, Threads};
use crate::epoch::{Epoch, EpochBoard};
use crate::error::Error;
use crate::halt::{Halt, Reason};
use crate::host::Host;
use crate::metrics::{Metrics, Notice, Phase, labels};
use crate::physical::Physical;
use crate::plan::Plan;
use crate::recovery::Recovery;
use crate::resume::Keeping;
use crate::room::Room;
use crate::spans::{Call, Spans, Tracer};
use crate::workers::{run_here, run_threads};

/// How a plan is to be run.
pub struct Settings {
    /// How many workers; at least one.
    pub workers: usize,
    /// How long an epoch lasts. Zero makes an epoch of every batch of a source.
    pub epoch_interval: Duration,
    /// About how many bytes of items may be on their way between workers.
    pub room: usize,
    /// Whether to use native forms and fusion; the results are the same.
    pub optimize: bool,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where to keep what a later run needs to go on, if at all. In a cluster, the store is where
    /// the first process is.
    pub recovery: Option<Recovery>,
    /// The other processes, if there are any; each has as many workers.
    pub cluster: Option<cluster::Settings>,
}

impl Settings {
    /// How long an epoch lasts if nothing else is said.
    pub const EPOCH_INTERVAL: Duration = Duration::from_secs(10);

    /// How many bytes may be on their way, for each worker, if nothing else is said:
    /// enough for eight batches of a thousand light items.
    pub const ROOM_PER_WORKER: usize = 16 << 20;
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("workers", &self.workers)
            .field("epoch_interval", &self.epoch_interval)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// How a run ended, if nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every source reached its end, and every sink took everything.
    Finished,
    /// A source asked to stop at once.
    Aborted,
    /// The caller asked for it: the sources stopped where they were, and what they had
    /// brought was worked off.
    Drained,
}

/// Who asked for a run, as far as the run needs to know.
pub trait Caller<H: Host>: Send + Sync {
    /// Whether to stop; asked on the calling thread now and then.
    fn interrupted(&self) -> Result<(), H::Error>;

    /// Whether to stop where it is, to go on in a later run; asked like that, too.
    fn drains(&self) -> bool {
        false
    }

    /// A worker begins on this thread, which isn't the caller's.
    fn worker_begins(&self);

    /// The worker on this thread has run, and only tidies up from now on.
    fn worker_tidies_up(&self);

    /// The worker on this thread has ended.
    fn worker_ends(&self);

    /// The run is to stop: whatever user code the workers are in should end soon, and what
    /// tidies up, too, if so asked.
    fn interrupt_workers(&self, also_tidying: bool);

    /// Where it can be seen from outside what the run does; asked for once.
    fn metrics(&self) -> Arc<Metrics> {
        Arc::default()
    }

    /// Who traces the run, if anybody does.
    fn tracer(&self) -> Option<Arc<dyn Tracer<H>>> {
        None
    }
}

/// Runs a plan to its end.
///
/// Must not be called attached to the host: workers would wait for each other.
pub fn run<H: Host>(
    plan: &Plan<H>,
    settings: &Settings,
    caller: &Arc<dyn Caller<H>>,
) -> Result<Ending, Error<H>> {
    plan.validate()?;
    let metrics = caller.metrics();
    let outcome = run_seen(plan, settings, caller, &metrics);
    metrics.set_phase(Phase::Stopping);
    if let Ok(ending) = &outcome {
        metrics.tell(Notice::Ended(*ending));
    }
    outcome
}

/// Runs a plan, and shows how far it is.
fn run_seen<H: Host>(
    plan: &Plan<H>,
    settings: &Settings,
    caller: &Arc<dyn Caller<H>>,
    metrics: &Arc<Metrics>,
) -> Result<Ending, Error<H>> {
    let physical = Arc::new(Physical::of(plan, settings.optimize));
    let workers_each = settings.workers.max(1);
    let Some(cluster) = &settings.cluster else {
        let place = Place::alone(workers_each);
        return run_at(place, None, &physical, settings, caller, metrics);
    };
    let spans = Spans::of_run(caller.tracer().as_ref());
    let joined = spans.around_part(Call::new("join"), || {
        Network::join(cluster, workers_each, &**caller, |delay| {
            let why = delay.to_string();
            metrics.tell(Notice::Delayed { why });
        })
    })?;
    let Some(joined) = joined else {
        return Ok(Ending::Drained);
    };
    let member = Arc::clone(&joined.member);
    metrics.tell(Notice::Joined {
        process: member.place.process,
        processes: member.place.processes,
    });
    let outcome = run_at(
        member.place,
        Some(joined),
        &physical,
        settings,
        caller,
        metrics,
    );
    leave(&member, &outcome);
    outcome
}

/// Tells the other processes why this one stops, if it failed, and says goodbye.
fn leave<H: Host>(member: &Member, outcome: &Result<Ending, Error<H>>) {
    member.tell_halt(|| {
        let error = outcome.as_ref().err()?;
        Some(error.cause(member.place.process))
    });
    member.sever();
    member.leave();
}

/// Runs this process's part of a plan.
fn run_at<H: Host>(
    place: Place,
    network: Option<Network>,
    physical: &Arc<Physical<H>>,
    settings: &Settings,
    caller: &Arc<dyn Caller<H>>,
    metrics: &Arc<Metrics>,
) -> Result<Ending, Error<H>> {
    metrics.set_phase(Phase::Loading);
    let (member, sockets, inbox) = match network {
        None => (None, None, None),
        Some(Network {
            member,
            sockets,
            inbox,
        }) => (Some(member), Some(sockets), Some(inbox)),
    };
    let mut lobby = member
        .clone()
        .zip(inbox)
        .map(|(member, inbox)| Lobby::new(member, inbox, &**caller));
    let listed = list_partitions(physical)?;
    let listed = match &mut lobby {
        None => vec![listed],
        Some(lobby) => lobby.share_parts(listed)?,
    };
    let partitions = deal_out(physical, &listed, place);
    let two_phase = two_phase_sinks(physical, &partitions);
    let fused = fuse_stages(physical)?;
    let mut kept = restore(
        place,
        lobby.as_mut(),
        physical,
        &partitions,
        two_phase.count(),
        settings,
        &**caller,
    )?;
    tell_of_resuming(metrics, kept.as_ref());
    let (first_epoch, execution) = match (&kept, &mut lobby) {
        (_, Some(lobby)) if !place.leads() => lobby.await_begin()?,
        (Some(Prior::Store(opened, found)), _) => {
            (found.first_epoch(opened), opened.start().execution.0)
        }
        _ => (Epoch::FIRST, 0),
    };
    let shared = Arc::new(Shared {
        halt: Halt::new(),
        place,
        member: member.clone(),
        room: Room::new(settings.room),
        epochs: EpochBoard::new(first_epoch),
        first_epoch,
        execution,
        drains: AtomicBool::new(false),
        committed: AtomicU64::new(0),
        publishes: AtomicU64::new(0),
        threads: Threads::default(),
        clock: Arc::clone(&settings.clock),
        epoch_interval: settings.epoch_interval,
        partitions,
        two_phase,
        needs_lanes: physical.needs_lanes(),
        fused,
        metrics: Arc::clone(metrics),
        tracer: caller.tracer(),
    });
    let live: Weak<Shared<H>> = Arc::downgrade(&shared);
    metrics.begin(labels(physical), live);
    let look_up = || caller.interrupted().map_err(Error::Interrupted);
    let keeping = match kept.take() {
        None => None,
        Some(Prior::Store(opened, found)) => {
            Some(Keeping::begin(*opened, found, &shared, look_up)?)
        }
        Some(Prior::Leader(found)) => member
            .as_deref()
            .map(|member| Keeping::by_leader(member, found)),
    };
    let clerk = leave_lobby(&shared, keeping.as_ref(), lobby)?;
    let outcome = work_to_the_end(physical, &shared, keeping, sockets, settings, caller);
    if let (Some(member), Some(clerk)) = (&member, clerk) {
        leave(member, &outcome);
        // It ends with the connections, and lets go of what it shares.
        let _ = clerk.join();
    }
    outcome
}

/// Tells where the run goes on, if it isn't the first on its store.
fn tell_of_resuming(metrics: &Metrics, kept: Option<&Prior>) {
    if let Some(Prior::Store(opened, _)) = kept
        && opened.start().epoch.0 > Epoch::FIRST.0
    {
        let epoch = opened.start().epoch.0;
        metrics.tell(Notice::Resumed { epoch });
    }
}

/// Has all processes begin, and hears the others from now on.
fn leave_lobby<H: Host>(
    shared: &Arc<Shared<H>>,
    keeping: Option<&Keeping>,
    lobby: Option<Lobby<'_, H>>,
) -> Result<Option<JoinHandle<()>>, Error<H>> {
    let (Some(member), Some(lobby)) = (&shared.member, lobby) else {
        return Ok(None);
    };
    if member.place.leads() {
        lobby.begin(shared.first_epoch, shared.execution);
    }
    let keeper = keeping.map(|keeping| keeping.keeper().clone());
    let clerk = start_clerk(member, shared, keeper, lobby.leave());
    clerk.map(Some).map_err(Error::Internal)
}

/// Has the workers work, and waits until everything is kept.
fn work_to_the_end<H: Host>(
    physical: &Arc<Physical<H>>,
    shared: &Arc<Shared<H>>,
    keeping: Option<Keeping>,
    sockets: Option<Sockets>,
    settings: &Settings,
    caller: &Arc<dyn Caller<H>>,
) -> Result<Ending, Error<H>> {
    let workers = settings.workers.max(1);
    if workers == 1 && sockets.is_none() {
        run_here(physical, shared, keeping.as_ref(), &**caller);
    } else {
        run_threads(physical, shared, keeping.as_ref(), workers, sockets, caller)?;
    }
    let member = shared.member.as_deref();
    if let Some(member) = member.filter(|_| !shared.halt.is_raised()) {
        member.await_others(|| {
            if let Err(error) = caller.interrupted() {
                shared.halt.interrupt(error);
            }
            !shared.halt.is_raised()
        });
    }
    let look_up = || caller.interrupted().map_err(Error::Interrupted);
    let reason = shared.halt.take_reason();
    if let Some(keeping) = keeping {
        match reason {
            None => {
                let call = Call::new("commit").in_epoch(shared.epochs.newest());
                let spans = Spans::of_run(shared.tracer.as_ref());
                spans.around_part(call, || keeping.finish(look_up))?;
            }
            Some(Reason::Failed(Error::Recovery(_))) => keeping.abandon(),
            Some(_) => keeping.stop(),
        }
    }
    match reason {
        Some(Reason::Aborted) => return Ok(Ending::Aborted),
        Some(Reason::Failed(error)) => return Err(error),
        None => {}
    }
    if let Some(member) = member.filter(|member| member.place.leads()) {
        member.tell_done();
    }
    if shared.drains.load(Ordering::Relaxed) {
        return Ok(Ending::Drained);
    }
    Ok(Ending::Finished)
}
