//! Taking a store: from the first look to the record of the new execution.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::error::SessionError;
use super::heart::Heart;
use super::opened::Opened;
use super::patience::patiently;
use super::plan::{Plan, check_identity};
use crate::id::Generation;
use crate::protocol::lease::{Decision, Heartbeat, Holding, Lock, decide};
use crate::protocol::resume::{Changes, Flow};
use crate::protocol::retry::RetryPolicy;
use crate::store::{Beginning, Claim, Observation, Reader, Store, StoreError, observe};

/// How long the holder of a store may be silent before another may take it for stopped.
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(5);

/// A holder shows this often that it is well, or more often where silence is short.
const BEAT: Duration = Duration::from_millis(500);

/// How often the heartbeat of another is looked at in the time that it may be silent.
const LOOKS: u32 = 20;

/// What to open, and who asks.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Where the store is.
    pub directory: PathBuf,
    /// The dataflow that is to run.
    pub flow: Flow,
    /// What the user says has changed in it.
    pub changes: Changes,
    /// How many workers it has.
    pub workers: u32,
    /// How many partitions its two-phase sinks have.
    pub sinks: u32,
    /// The time, in microseconds since 1970 UTC; for people only.
    pub started: i64,
    /// How long to bear with a store that is busy or full.
    pub retry: RetryPolicy,
    /// How many bytes may wait to be written.
    pub room: usize,
    /// How long another run that has the store may be silent before it is taken for stopped:
    /// [`DEFAULT_SILENCE`] unless there is a reason.
    pub silence: Duration,
}

/// Opens a store for a run: takes it over, decides how to begin, and records the execution.
///
/// While another run has the store, it waits up to [`Opening::silence`] to see whether that one
/// is alive, and refuses if so.
pub fn open(opening: Opening) -> Result<Opened, SessionError> {
    let Opening {
        directory, retry, ..
    } = &opening;
    let reader = patiently(retry, || Reader::open(directory))?;
    check_identity(&reader, &opening.flow)?;
    let generation = reader.generation();
    let mut claim = approach(directory, generation, opening.silence)?;
    let mut plan = Plan::new(&reader, &opening.flow, &opening.changes)?;
    let seen = reader.executions().to_vec();
    drop(reader);
    let mut store = loop {
        match patiently(retry, || Store::open(directory, claim)) {
            // Another was faster.
            Err(StoreError::InUse { .. }) if claim == Claim::IfFree => {
                claim = approach(directory, generation, opening.silence)?;
            }
            taken => break taken?,
        }
    };
    // Loading can take long, and must not look like standing still.
    let heart = start_heart(&store, &opening)?;
    if store.reader().executions() != seen {
        plan = Plan::new(store.reader(), &opening.flow, &opening.changes)?;
    }
    if plan.has_garbage {
        let path = plan.rows();
        patiently(retry, || store.sweep(&path))?;
    }
    let beginning = Beginning {
        resume: plan.start.epoch,
        workers: opening.workers,
        started: opening.started,
        manifest: &plan.manifest,
    };
    // The store has the last word on the name of an execution.
    plan.start.execution = patiently(retry, || store.begin_execution(beginning))?;
    Ok(Opened {
        opening,
        store,
        heart,
        plan,
    })
}

fn start_heart(store: &Store, opening: &Opening) -> Result<Heart, SessionError> {
    let every = BEAT.min(opening.silence / 4);
    Heart::start(store.lease(), every).map_err(|source| {
        SessionError::from(StoreError::Io {
            path: opening.directory.clone(),
            doing: "start the thread that renews the lease",
            source,
        })
    })
}

/// Finds out whether the store can be had, and how.
fn approach(
    directory: &Path,
    generation: Generation,
    silence: Duration,
) -> Result<Claim, SessionError> {
    let first = observe(directory)?;
    let mut is_held = first.is_held;
    let mut heartbeat = Heartbeat::Unobserved;
    loop {
        // A store is never on a network file system, so whoever has it is on this host.
        let lock = if is_held { Lock::Taken } else { Lock::Ours };
        let holding = Holding {
            generation,
            is_released: !is_held,
        };
        match decide(lock, holding, heartbeat) {
            Decision::TakeOver(_) if is_held => return Ok(Claim::ByForce),
            Decision::TakeOver(_) => return Ok(Claim::IfFree),
            Decision::Observe => (is_held, heartbeat) = watch(directory, first, silence)?,
            Decision::Refuse(reason) => return Err(reason.into()),
        }
    }
}

/// Looks at the heartbeat of the holder for as long as it may be silent; gives also whether
/// there still is one.
fn watch(
    directory: &Path,
    first: Observation,
    silence: Duration,
) -> Result<(bool, Heartbeat), SessionError> {
    for _ in 0..LOOKS {
        thread::sleep(silence / LOOKS);
        let now = observe(directory)?;
        if !now.is_held {
            return Ok((false, Heartbeat::Unobserved));
        }
        if (now.process, now.heartbeat) != (first.process, first.heartbeat) {
            return Ok((true, Heartbeat::Moved));
        }
    }
    Ok((true, Heartbeat::Still))
}
