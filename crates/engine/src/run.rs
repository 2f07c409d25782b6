//! Running a plan: workers, their loop, and how it ends.
//!
//! With one worker the calling thread is the worker, since user code may depend on
//! the thread that it was made in. With more, each has a thread of its own, and the
//! calling thread only waits. Either way the calling thread is the one that looks,
//! now and then, whether it is to stop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use millstream_recovery::session::Opened;
use timely::communication::allocator::{Allocator, Thread};
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use crate::clock::{Clock, timely_origin};
use crate::cluster::lobby::{Listed, Lobby};
use crate::cluster::member::start_clerk;
use crate::cluster::wire::{Network, Sockets, connect};
use crate::cluster::{self, Place};
use crate::compile::compile;
use crate::context::{Context, Shared, Threads};
use crate::epoch::{Epoch, EpochBoard};
use crate::error::Error;
use crate::halt::{Halt, Reason};
use crate::host::Host;
use crate::lane::LaneRegistry;
use crate::logic::FlatMapBatch;
use crate::partitions::{Assigned, assign};
use crate::physical::{Kind, Physical};
use crate::plan::{Core, Plan, Sink, Source, StepId};
use crate::recovery::{Recovery, TwoPhaseSinks};
use crate::resume::{self, Found, Keeping};
use crate::room::Room;

/// The longest that a worker sleeps, and so the longest that it takes to notice
/// that it is to stop.
const PARK: Duration = Duration::from_millis(50);

/// How often the caller's wish to stop is looked for while there is work to do.
const PULSE: Duration = Duration::from_millis(10);

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

    /// The worker on this thread has ended.
    fn worker_ends(&self);

    /// The run is to stop: whatever user code the workers are in should end soon.
    fn interrupt_workers(&self);
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
    let physical = Arc::new(Physical::of(plan, settings.optimize));
    let workers_each = settings.workers.max(1);
    let Some(cluster) = &settings.cluster else {
        return run_at(
            Place::alone(workers_each),
            None,
            &physical,
            settings,
            caller,
        );
    };
    let joined = Network::join(cluster, workers_each, || caller.interrupted())?;
    let member = Arc::clone(&joined.member);
    let outcome = run_at(member.place, Some(joined), &physical, settings, caller);
    member.tell_halt(|| {
        outcome
            .as_ref()
            .err()
            .map(|error| error.cause(member.place.process))
    });
    member.sever();
    member.leave();
    outcome
}

/// Runs this process's part of a plan.
fn run_at<H: Host>(
    place: Place,
    network: Option<Network>,
    physical: &Arc<Physical<H>>,
    settings: &Settings,
    caller: &Arc<dyn Caller<H>>,
) -> Result<Ending, Error<H>> {
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
    let (first_epoch, execution) = match (&kept, &mut lobby) {
        (_, Some(lobby)) if !place.leads() => lobby.await_begin()?,
        (Some(Kept::Store(opened, found)), _) => {
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
    });
    let look_up = || caller.interrupted().map_err(Error::Interrupted);
    let keeping = match kept.take() {
        None => None,
        Some(Kept::Store(opened, found)) => Some(Keeping::begin(opened, found, &shared, look_up)?),
        Some(Kept::Leader(found)) => member
            .as_deref()
            .map(|member| Keeping::by_leader(member, found)),
    };
    let clerk = match (&member, lobby) {
        (Some(member), Some(lobby)) => {
            if place.leads() {
                lobby.begin(first_epoch, execution);
            }
            let keeper = keeping.as_ref().map(|keeping| keeping.keeper().clone());
            let clerk = start_clerk(member, &shared, keeper, lobby.leave());
            Some(clerk.map_err(Error::Internal)?)
        }
        _ => None,
    };
    let outcome = work_to_the_end(physical, &shared, keeping, sockets, settings, caller);
    if let (Some(member), Some(clerk)) = (&member, clerk) {
        member.tell_halt(|| {
            outcome
                .as_ref()
                .err()
                .map(|error| error.cause(place.process))
        });
        member.sever();
        member.leave();
        // It ends with the connections, and lets go of what it shares.
        let _ = clerk.join();
    }
    outcome
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
            None => keeping.finish(look_up)?,
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

/// What an earlier run kept, and where what this one makes goes.
enum Kept {
    Store(Opened, Found),
    Leader(Found),
}

/// Finds what an earlier run kept, and lets sinks claim what it didn't know of.
fn restore<H: Host>(
    place: Place,
    lobby: Option<&mut Lobby<'_, H>>,
    physical: &Physical<H>,
    partitions: &HashMap<StepId, Vec<Assigned>>,
    sinks: u32,
    settings: &Settings,
    caller: &dyn Caller<H>,
) -> Result<Option<Kept>, Error<H>> {
    let look_up = || caller.interrupted().map_err(Error::Interrupted);
    if let Some(lobby) = lobby {
        if !place.leads() {
            let Some(workers) = lobby.take_restored()? else {
                return Ok(None);
            };
            let mut found = Found {
                workers,
                ..Found::default()
            };
            resume::claim(physical, partitions, place, &mut found)?;
            lobby.send_claims(std::mem::take(&mut found.claims));
            return Ok(Some(Kept::Leader(found)));
        }
        let Some(recovery) = &settings.recovery else {
            lobby.begin_from_nothing();
            return Ok(None);
        };
        let started = settings.clock.wall().0;
        let opened = resume::open(physical, recovery, place.workers(), sinks, started, look_up)?;
        let mut found = resume::load(&opened, physical, partitions, recovery, place.workers())?;
        lobby.deal_out(&mut found.workers);
        resume::claim(physical, partitions, place, &mut found)?;
        found.claims.extend(lobby.gather_claims()?);
        return Ok(Some(Kept::Store(opened, found)));
    }
    let Some(recovery) = &settings.recovery else {
        return Ok(None);
    };
    let started = settings.clock.wall().0;
    let opened = resume::open(physical, recovery, place.workers(), sinks, started, look_up)?;
    let mut found = resume::load(&opened, physical, partitions, recovery, place.workers())?;
    resume::claim(physical, partitions, place, &mut found)?;
    Ok(Some(Kept::Store(opened, found)))
}

/// The mapper of each fused operator.
type FusedMappers<H> = HashMap<StepId, Arc<dyn FlatMapBatch<H>>>;

/// Makes one mapper of the stages of each fused operator, for all workers.
fn fuse_stages<H: Host>(physical: &Physical<H>) -> Result<FusedMappers<H>, Error<H>> {
    H::attach(|scope| {
        let mut all = HashMap::new();
        for operator in &physical.operators {
            if let Kind::Fused(stages) = &operator.kind {
                let stages: Vec<&H::Stage> = stages.iter().map(|stage| &*stage.stage).collect();
                let mapper = H::fuse(scope, &stages, physical.keyed_taker(operator))
                    .map_err(|failure| Error::before_start(operator, failure))?;
                all.insert(operator.id.clone(), mapper);
            }
        }
        Ok(all)
    })
}

/// Asks partitioned sources and sinks for the partitions that this process can reach.
fn list_partitions<H: Host>(physical: &Physical<H>) -> Result<Listed, Error<H>> {
    H::attach(|scope| {
        let mut all = Listed::new();
        for operator in &physical.operators {
            let listed = match &operator.kind {
                Kind::Core(Core::Input(Source::Partitioned(source))) => source.list_parts(scope),
                Kind::Core(Core::Output(Sink::Partitioned(sink))) => sink.list_parts(scope),
                _ => continue,
            };
            let parts = listed.map_err(|failure| Error::before_start(operator, failure))?;
            all.insert(operator.id.clone(), parts);
        }
        Ok(all)
    })
}

/// Says who owns which partition, of those that the processes can reach.
fn deal_out<H: Host>(
    physical: &Physical<H>,
    listed: &[Listed],
    place: Place,
) -> HashMap<StepId, Vec<Assigned>> {
    let ids = physical.operators.iter().map(|operator| &operator.id);
    ids.filter(|id| listed.iter().any(|listed| listed.contains_key(*id)))
        .map(|id| {
            let of_step = |listed: &Listed| listed.get(id).cloned().unwrap_or_default();
            let listed: Vec<_> = listed.iter().map(of_step).collect();
            (id.clone(), assign(&listed, place.workers_each))
        })
        .collect()
}

/// Numbers the partitions of all two-phase sinks.
fn two_phase_sinks<H: Host>(
    physical: &Physical<H>,
    partitions: &HashMap<StepId, Vec<Assigned>>,
) -> TwoPhaseSinks {
    let mut sinks = TwoPhaseSinks::default();
    for operator in &physical.operators {
        if let Kind::Core(Core::Output(Sink::Partitioned(sink))) = &operator.kind
            && sink.is_two_phase()
        {
            sinks.add(
                &operator.id,
                partitions.get(&operator.id).map_or(0, Vec::len),
            );
        }
    }
    sinks
}

/// A worker with nothing to do sleeps at once: to look around for a while before would
/// cost more CPU time, with items that come one by one, than all of their processing.
fn worker_config() -> WorkerConfig {
    WorkerConfig::default().idle_spin(Duration::ZERO)
}

/// The calling thread is the only worker.
fn run_here<H: Host>(
    physical: &Arc<Physical<H>>,
    shared: &Arc<Shared<H>>,
    keeping: Option<&Keeping>,
    caller: &dyn Caller<H>,
) {
    let clock = Arc::clone(&shared.clock);
    let mut looked_at = clock.monotonic();
    let mut worker = Worker::new(
        worker_config(),
        Allocator::Thread(Thread::default()),
        Some(timely_origin()),
    );
    work(physical, shared, keeping, &mut worker, || {
        let now = clock.monotonic();
        if now.saturating_sub(looked_at) < PULSE {
            return Ok(());
        }
        looked_at = now;
        drain_if(caller.drains(), shared, keeping);
        caller.interrupted()
    });
}

/// Every worker has a thread; the calling thread waits for them.
fn run_threads<H: Host>(
    physical: &Arc<Physical<H>>,
    shared: &Arc<Shared<H>>,
    keeping: Option<&Keeping>,
    workers: usize,
    sockets: Option<Sockets>,
    caller: &Arc<dyn Caller<H>>,
) -> Result<(), Error<H>> {
    let (allocators, transport) = match sockets {
        None => CommunicationConfig::Process(workers).try_build(),
        Some(sockets) => connect(sockets, shared.place),
    }
    .map_err(Error::Internal)?;
    // Nothing is ever sent: the channel closes when the last worker has stopped and
    // lets go of its sender.
    let (sender, is_running) = mpsc::channel::<()>();
    let guards = {
        let (physical, shared) = (Arc::clone(physical), Arc::clone(shared));
        let caller = Arc::clone(caller);
        let keeping = keeping.cloned();
        execute_from(allocators, transport, worker_config(), move |worker| {
            let _sender = &sender;
            caller.worker_begins();
            work(&physical, &shared, keeping.as_ref(), worker, || Ok(()));
            caller.worker_ends();
        })
        .map_err(Error::Internal)?
    };
    let pause = if shared.member.is_some() { PULSE } else { PARK };
    while is_running.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        drain_if(caller.drains(), shared, keeping);
        if let Err(error) = caller.interrupted() {
            shared.halt.interrupt(error);
            caller.interrupt_workers();
        }
        if let Some(member) = &shared.member {
            member.pulse(shared);
        }
    }
    if let Some(member) = &shared.member {
        // For the last time: what was given back since must reach those who wait for it.
        member.pulse(shared);
        if shared.halt.is_raised() {
            member.sever();
        }
    }
    drop(guards);
    Ok(())
}

/// Stops the sources where they are, if that was asked for.
fn drain_if<H: Host>(is_asked_for: bool, shared: &Shared<H>, keeping: Option<&Keeping>) {
    match keeping {
        _ if !is_asked_for => {}
        Some(keeping) => keeping.drain(),
        None => shared.drains.store(true, Ordering::Relaxed),
    }
}

/// The life of one worker. Whatever goes wrong ends up in the halt flag.
fn work<H: Host>(
    physical: &Physical<H>,
    shared: &Arc<Shared<H>>,
    keeping: Option<&Keeping>,
    worker: &mut Worker,
    interrupted: impl FnMut() -> Result<(), H::Error>,
) {
    shared.threads.add_current();
    let context = Context {
        worker: worker.index(),
        workers: worker.peers(),
        shared: Arc::clone(shared),
        wakers: Rc::new(RefCell::new(Vec::new())),
        recorder: keeping
            .map(|keeping| Rc::new(keeping.recorder(worker.index(), shared.first_epoch))),
        restored: Rc::new(RefCell::new(
            keeping
                .map(|keeping| keeping.restored(worker.index()))
                .unwrap_or_default(),
        )),
        lanes: Rc::new(LaneRegistry::default()),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run_dataflow(physical, &context, worker, interrupted)
    }));
    let error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(Error::Internal(panic_text(&*panic))),
    };
    if let Some(error) = error {
        H::attach(|scope| context.raise(scope, Reason::Failed(error)));
    }
    if shared.halt.is_raised() {
        // What the operators hold belongs to the host, and is dropped attached.
        H::attach(|_scope| {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        });
    }
}

fn run_dataflow<H: Host>(
    physical: &Physical<H>,
    context: &Context<H>,
    worker: &mut Worker,
    mut interrupted: impl FnMut() -> Result<(), H::Error>,
) -> Result<(), Error<H>> {
    worker.dataflow_named(&physical.flow_id, |scope| compile(context, physical, scope))?;
    let epochs = &context.shared.epochs;
    let news = || {
        (
            epochs.newest(),
            context.is_draining(),
            context.publishable(),
        )
    };
    let mut seen = news();
    while worker.has_dataflows() && !context.is_halted() {
        worker.step_or_park(Some(PARK));
        let now = news();
        if seen != now {
            seen = now;
            for waker in context.wakers.borrow().iter() {
                waker.activate();
            }
        }
        tell_progress(context);
        interrupted().map_err(Error::Interrupted)?;
    }
    tell_progress(context);
    Ok(())
}

/// Says how far this worker has come. Nothing counts that is over because something failed: by
/// the time that any worker can see that, all can see that the run is halted.
fn tell_progress<H: Host>(context: &Context<H>) {
    if let Some(recorder) = &context.recorder
        && !context.is_halted()
    {
        recorder.tell(context.shared.epochs.newest());
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a worker stopped for an unknown reason")
        .to_owned()
}
