//! A store that is ours, before the run.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::conductor::{Conductor, Event};
use super::error::SessionError;
use super::heart::Heart;
use super::opening::Opening;
use super::patience::Endurance;
use super::plan::{Fate, Plan};
use super::running::Session;
use crate::frame::Codec;
use crate::id::{Epoch, StateKey, StepId, WorkerIndex};
use crate::protocol::coordinator::Participants;
use crate::protocol::manifest::SchemaVersion;
use crate::protocol::path::CommittedPath;
use crate::protocol::resume::Start;
use crate::store::{
    Load, Loaded, Reader, Record, State, Store, StoreError, Writer, WriterHandle, WriterOptions,
};

/// How many bytes are handed over at a time when state is moved.
const CHUNK: usize = 1024 * 1024;

/// A store that is ours, before the run. Dropping it is what a crash does.
#[derive(Debug)]
pub struct Opened {
    pub(super) opening: Opening,
    pub(super) store: Store,
    pub(super) heart: Heart,
    pub(super) plan: Plan,
}

/// The state of a key, under the name that its step has today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedState<'a> {
    /// The step.
    pub step: &'a StepId,
    /// The key within the step.
    pub key: &'a str,
    /// How to read the state.
    pub codec: Codec,
    /// The state.
    pub payload: &'a [u8],
    /// The version of its form.
    pub schema: SchemaVersion,
}

impl Opened {
    /// How to begin.
    pub fn start(&self) -> &Start {
        &self.plan.start
    }

    /// What is history. A two-phase sink asks it about what it finds prepared.
    pub fn path(&self) -> &CommittedPath {
        &self.plan.path
    }

    /// Delivers every state that the dataflow resumes with, in one pass. It counts only if the
    /// pass ends well.
    ///
    /// The steps in [`Start::migrations`] are promised to have their new form after the first
    /// commit, so **every state that was migrated is to be recorded in the first epoch**.
    pub fn load(&self, deliver: &mut dyn FnMut(LoadedState<'_>)) -> Result<Load, SessionError> {
        let mut live = 0;
        let load = self.store.reader().load::<SessionError>(
            &self.plan.rows(),
            |_, _| WorkerIndex(0),
            |loaded| {
                if let Some((step, schema)) = self.plan.names.get(loaded.step) {
                    live += 1;
                    deliver(LoadedState {
                        step,
                        key: loaded.key,
                        codec: loaded.codec,
                        payload: loaded.payload,
                        schema: *schema,
                    });
                }
                Ok(())
            },
        )?;
        Ok(Load {
            rows: load.rows,
            live,
        })
    }

    /// Begins the run. `on_event` is called on the threads that learn of an event, mostly the
    /// writer's, and nothing is written meanwhile: it must not wait for anything, nor end the
    /// session, nor own it.
    ///
    /// State whose step has another name is recorded under that first, and what is dropped is
    /// forgotten.
    pub fn run(
        self,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Session, SessionError> {
        let Self {
            opening,
            store,
            heart,
            plan,
        } = self;
        let participants = Participants {
            workers: opening.workers,
            // A worker counts as past an epoch once its records are durable in all of them.
            partitions: 0,
            sinks: opening.sinks,
        };
        let generation = store.generation();
        let conductor = Arc::new(Conductor::new(participants, &plan, Box::new(on_event)));
        let hurried = Arc::new(AtomicBool::new(false));
        let writer = {
            let conductor = Arc::clone(&conductor);
            let options = WriterOptions {
                execution: plan.start.execution,
                room: opening.room,
            };
            let endurance = Endurance::new(opening.retry.clone(), Arc::clone(&hurried));
            Writer::start(store, options, endurance, move |report| {
                conductor.report(report);
            })?
        };
        let handle = writer.handle();
        conductor.connect(handle.clone());
        {
            let conductor = Arc::clone(&conductor);
            heart.on_lost(move || conductor.lose(generation));
        }
        {
            let conductor = Arc::clone(&conductor);
            heart.on_panic(move |panic| {
                conductor.fail(StoreError::Panicked(panic.clone()).into());
            });
        }
        let session = Session::new(conductor, writer, heart, hurried);
        if plan.is_moving()
            && let Err(error) = move_state(&opening, &plan, &handle)
            && !is_stopped(&error)
        {
            session.abandon();
            return Err(error);
        }
        Ok(session)
    }
}

/// Whether the writer has stopped, and so has told why.
fn is_stopped(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(error) if matches!(**error, StoreError::Stopped))
}

/// Records state under the names of today, in the first epoch, and tombstones under the old.
fn move_state(opening: &Opening, plan: &Plan, handle: &WriterHandle) -> Result<(), SessionError> {
    // The writer has the store, so this is another look at it, at what was history before.
    let reader = Reader::open(&opening.directory)?;
    let chunk = CHUNK.min(opening.room);
    let mut records = Vec::new();
    let mut weight = 0;
    reader.load::<SessionError>(
        &plan.rows(),
        |_, _| WorkerIndex(0),
        |loaded| {
            let new = match plan.fate(loaded.step) {
                Fate::Stays => return Ok(()),
                Fate::Moves(new) => Some(new),
                Fate::Ends => None,
            };
            for record in moves(&loaded, plan.start.epoch, new) {
                weight += record.weight();
                records.push(record);
            }
            if weight >= chunk {
                weight = 0;
                handle.append(std::mem::take(&mut records))?;
            }
            Ok(())
        },
    )?;
    handle.append(records)?;
    Ok(())
}

/// What is to be recorded of a key whose step has a new name, or none.
fn moves(
    loaded: &Loaded<'_>,
    epoch: Epoch,
    new: Option<&StepId>,
) -> impl Iterator<Item = Record> + use<> {
    let key = StateKey(loaded.key.to_owned());
    let forgotten = Record {
        step: StepId(loaded.step.to_owned()),
        key: key.clone(),
        epoch,
        state: None,
    };
    let kept = new.map(|new| Record {
        step: new.clone(),
        key,
        epoch,
        state: Some(State {
            codec: loaded.codec,
            payload: loaded.payload.to_vec(),
        }),
    });
    std::iter::once(forgotten).chain(kept)
}
