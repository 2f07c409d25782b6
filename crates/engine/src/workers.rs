//! The workers of a process, and the thread that waits for them.
//!
//! With one worker the calling thread is the worker, since user code may depend on
//! the thread that it was made in. With more, each has a thread of its own, and the
//! calling thread only waits. Either way the calling thread is the one that looks,
//! now and then, whether it is to stop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use millstream_threads::{Panic, contain, panic_point};
use timely::communication::allocator::{Allocator, Thread};
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use crate::clock::timely_origin;
use crate::cluster::wire::{Sockets, connect};
use crate::compile::compile;
use crate::context::{Context, Shared};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::halt::Reason;
use crate::host::Host;
use crate::lane::LaneRegistry;
use crate::physical::Physical;
use crate::resume::Keeping;
use crate::run::Caller;
use crate::spans::Commits;

/// The longest that a worker sleeps, and so the longest that it takes to notice
/// that it is to stop.
const PARK: Duration = Duration::from_millis(50);

/// How often the caller's wish to stop is looked for while there is work to do.
const PULSE: Duration = Duration::from_millis(10);

/// What timely says when a worker can't go on because another thread of timely's has panicked.
const POISONED: &str = "MergeQueue";

/// How many pulses to wait then until that is told by who knows more of it.
const PULSES: u32 = 100;

/// A worker with nothing to do sleeps at once: to look around for a while before would
/// cost more CPU time, with items that come one by one, than all of their processing.
fn worker_config() -> WorkerConfig {
    WorkerConfig::default().idle_spin(Duration::ZERO)
}

/// The calling thread is the only worker.
pub(crate) fn run_here<H: Host>(
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
    let interrupted = || {
        let now = clock.monotonic();
        if now.saturating_sub(looked_at) < PULSE {
            return Ok(());
        }
        looked_at = now;
        drain_if(caller.drains(), shared, keeping);
        caller.interrupted()
    };
    work(physical, shared, keeping, &mut worker, interrupted, || {});
}

/// Every worker has a thread; the calling thread waits for them.
pub(crate) fn run_threads<H: Host>(
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
            let worked = contain(|| {
                H::in_thread(|| {
                    caller.worker_begins();
                    let interrupted = || Ok(());
                    let tidies_up = || caller.worker_tidies_up();
                    let keeping = keeping.as_ref();
                    work(&physical, &shared, keeping, worker, interrupted, tidies_up);
                });
            });
            caller.worker_ends();
            if let Err(panic) = worked {
                shared.stop_for(panic);
                // Timely would go on with what there is.
                drop_dataflows(&shared, worker);
            }
        })
        .map_err(Error::Internal)?
    };
    let pause = if shared.member.is_some() { PULSE } else { PARK };
    while is_running.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        // A panic must not leave the workers to themselves, which would never end.
        let looked = contain(|| look_after(shared, keeping, &**caller));
        if let Err(panic) = looked {
            shared.stop_for(panic);
        }
    }
    if let Some(member) = &shared.member {
        // For the last time: what was given back since must reach those who wait for it.
        member.pulse(shared);
        if shared.halt.is_raised() {
            member.sever();
        }
    }
    // Timely panics here if a thread of its own has done so, be it the last thing that the thread
    // did.
    let is_well = contain(|| guards.join().iter().all(Result::is_ok));
    if is_well != Ok(true) {
        await_cause(shared);
        let cause = "a thread of the dataflow library panicked".to_owned();
        drop(shared.halt.raise(Reason::Failed(Error::Internal(cause))));
    }
    Ok(())
}

/// What the calling thread does now and then.
fn look_after<H: Host>(shared: &Shared<H>, keeping: Option<&Keeping>, caller: &dyn Caller<H>) {
    drain_if(caller.drains(), shared, keeping);
    if let Err(error) = caller.interrupted() {
        // Whoever tidies up because of that is to finish; the next interrupt ends it.
        let has_ended = shared.halt.is_raised();
        shared.halt.interrupt(error);
        caller.interrupt_workers(has_ended);
    }
    if let Some(member) = &shared.member {
        member.pulse(shared);
    }
}

/// Waits a moment for a reason to stop that is known elsewhere, and on its way.
fn await_cause<H: Host>(shared: &Shared<H>) {
    for _ in 0..PULSES {
        if shared.halt.is_raised() {
            return;
        }
        thread::sleep(PULSE);
    }
}

/// Whether it comes of a panic in another thread.
fn is_consequence(panic: &Panic) -> bool {
    let message = panic.message();
    message.is_some_and(|message| message.contains(POISONED))
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
    tidies_up: impl FnOnce(),
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
    let outcome = contain(|| run_dataflow(physical, &context, worker, interrupted));
    tidies_up();
    let error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => {
            if is_consequence(&panic) {
                await_cause(shared);
            }
            Some(Error::panicked(panic))
        }
    };
    if let Some(error) = error {
        H::attach(|scope| context.raise(scope, Reason::Failed(error)));
    }
    if shared.halt.is_raised() {
        drop_dataflows(shared, worker);
    }
}

/// Ends what a worker does. What the operators hold belongs to the host, and is dropped attached.
fn drop_dataflows<H: Host>(shared: &Shared<H>, worker: &mut Worker) {
    let dropped = contain(|| {
        H::attach(|_scope| {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        });
    });
    if let Err(panic) = dropped {
        shared.stop_for(panic);
    }
}

fn run_dataflow<H: Host>(
    physical: &Physical<H>,
    context: &Context<H>,
    worker: &mut Worker,
    mut interrupted: impl FnMut() -> Result<(), H::Error>,
) -> Result<(), Error<H>> {
    worker.dataflow_named(&physical.flow_id, |scope| compile(context, physical, scope))?;
    let shared = &context.shared;
    shared.metrics.worker_runs(shared.place.workers_each);
    let epochs = &context.shared.epochs;
    let news = || {
        (
            epochs.newest(),
            context.is_draining(),
            context.publishable(),
        )
    };
    let mut seen = news();
    let mut commits = commits_to_trace(context);
    while worker.has_dataflows() && !context.is_halted() {
        worker.step_or_park(Some(PARK));
        panic_point!("work");
        let now = news();
        if seen != now {
            seen = now;
            for waker in context.wakers.borrow().iter() {
                waker.activate();
            }
        }
        tell_progress(context);
        if let Some(commits) = &mut commits {
            trace_commits(context, commits)?;
        }
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

/// The epochs whose commits this worker traces: those of the process, if it is the first there.
fn commits_to_trace<H: Host>(context: &Context<H>) -> Option<Commits<H>> {
    let shared = &context.shared;
    let tracer = shared.tracer.as_ref()?;
    let is_first = context.worker == shared.place.workers_of(shared.place.process).start;
    (is_first && context.recorder.is_some()).then(|| Commits::new(tracer, shared.first_epoch))
}

/// Tells the tracer which epochs were kept since it was last told.
fn trace_commits<H: Host>(context: &Context<H>, commits: &mut Commits<H>) -> Result<(), Error<H>> {
    let shared = &context.shared;
    let Some(open) = context
        .recorder
        .as_ref()
        .and_then(|recorder| recorder.open())
    else {
        return Ok(());
    };
    let committed = Epoch(shared.committed.load(Ordering::Acquire));
    let told = commits.follow(open, committed, shared.clock.monotonic());
    told.map_err(|failure| Error::Interrupted(failure.into_cause()))
}
