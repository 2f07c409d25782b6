//! Going on from where an earlier run stopped: what the dataflow says of itself to the store,
//! and what of the store goes to which worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_recovery::id::{self, FlowId};
use millstream_recovery::protocol::manifest::{SchemaVersion, StepKind};
use millstream_recovery::protocol::resume::{Flow, FlowStep};
use millstream_recovery::session::{self, DEFAULT_SILENCE, Event, Opened, Opening};

use crate::attentive::attentively;
use crate::cluster::Place;
use crate::cluster::lobby::Claims;
use crate::cluster::member::Member;
use crate::cluster::message::Message;
use crate::context::Shared;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::halt::Reason;
use crate::host::{Host, stable_hash};
use crate::keeper::{Keeper, ToLeader};
use crate::operators::timed_batch::watermark_step;
use crate::partitions::Assigned;
use crate::physical::{Kind, Physical};
use crate::plan::{Core, Sink, Source, StepId};
use crate::recovery::{Change, Recorder, Recovery, Restored, Saved, worker_index};

/// How state is laid out, of steps whose author doesn't say.
const SCHEMA: SchemaVersion = SchemaVersion(1);

/// How many bytes of snapshots may wait for the store.
const ROOM: usize = 64 << 20;

/// How long a run that stops early waits for the store.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait at the end for the store, beyond what it takes to bear with a busy disk.
const DEADLINE: Duration = Duration::from_secs(600);

/// Who owns the partitions of each partitioned source and sink.
type Partitions = HashMap<StepId, Vec<Assigned>>;

/// Opens the store of a run.
pub(crate) fn open<H: Host>(
    physical: &Physical<H>,
    recovery: &Recovery,
    workers: usize,
    sinks: u32,
    started: i64,
    look_up: impl Fn() -> Result<(), Error<H>>,
) -> Result<Opened, Error<H>> {
    let opening = Opening {
        directory: recovery.directory.clone(),
        flow: flow_of(physical),
        changes: recovery.changes.clone(),
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
        sinks,
        started,
        retry: recovery.retry.clone(),
        room: ROOM,
        silence: DEFAULT_SILENCE,
    };
    attentively(move || session::open(opening), look_up)?
        .map_err(|error| Error::Recovery(Arc::new(error)))
}

/// What the dataflow keeps something of.
fn flow_of<H: Host>(physical: &Physical<H>) -> Flow {
    let mut steps = BTreeMap::new();
    let mut keep = |step: &StepId, kind, form| {
        let step = id::StepId(step.to_string());
        let kept = FlowStep {
            kind,
            form,
            schema: SCHEMA,
            oldest_readable: SCHEMA,
        };
        steps.insert(step, kept);
    };
    for operator in &physical.operators {
        let id = &operator.id;
        match &operator.kind {
            Kind::Core(Core::Input(Source::Partitioned(_))) => {
                keep(id, StepKind::Source, "a source".to_owned());
            }
            Kind::Core(Core::Output(Sink::Partitioned(sink))) => {
                let form = if sink.is_two_phase() {
                    "a two-phase sink"
                } else {
                    "a sink"
                };
                keep(id, StepKind::Sink, form.to_owned());
            }
            Kind::Core(Core::StatefulBatch(builder)) => {
                keep(id, StepKind::Stateful, builder.form());
            }
            Kind::Core(Core::TimedBatch(builder)) => {
                keep(id, StepKind::Stateful, builder.form());
                let watermark = watermark_step(id);
                keep(&watermark, StepKind::Stateful, "a watermark".to_owned());
            }
            _ => {}
        }
    }
    Flow {
        id: FlowId(physical.flow_id.clone()),
        steps,
    }
}

/// The store of a run that is on.
#[derive(Clone)]
pub(crate) struct Keeping {
    keeper: Keeper,
    /// What each worker begins with, until it takes it.
    restored: Arc<Mutex<Vec<Restored>>>,
}

impl Keeping {
    /// Begins to keep what the run makes. If the store fails, the run stops.
    ///
    /// What sinks have claimed is kept before this returns, in an epoch of its own.
    pub(crate) fn begin<H: Host>(
        opened: Opened,
        found: Found,
        shared: &Arc<Shared<H>>,
        look_up: impl Fn() -> Result<(), Error<H>>,
    ) -> Result<Self, Error<H>> {
        let first = opened.start().epoch;
        let halts = Arc::downgrade(shared);
        let session = opened
            .run(move |event| {
                let Some(shared) = halts.upgrade() else {
                    return;
                };
                follow(&shared, event);
            })
            .map_err(|error| Error::Recovery(Arc::new(error)))?;
        let has_claims = !found.claims.is_empty();
        let keeper = Keeper::Store(session.clone());
        for (step, change) in found.dropped.into_iter().chain(found.claims) {
            keeper.record(&step, Epoch(first.0), vec![change]);
        }
        if has_claims {
            for worker in 0..shared.place.workers() {
                keeper.passed(worker_index(worker), Epoch(first.next().0));
            }
            for sink in (0..shared.two_phase.count()).map(id::SinkPartition) {
                keeper.prepared(sink, Epoch(first.next().0), false);
                keeper.published(sink, Epoch(first.0));
            }
            let awaited = session.clone();
            attentively(move || awaited.await_commit(first, DEADLINE), look_up)
                .inspect_err(|_| session.clone().abandon())?
                .map_err(|error| Error::Recovery(Arc::new(error)))?;
        }
        Ok(Self {
            keeper,
            restored: Arc::new(Mutex::new(found.workers)),
        })
    }

    /// Hands over to the leader what workers here have to be kept.
    pub(crate) fn by_leader(member: &Member, found: Found) -> Self {
        Self {
            keeper: Keeper::Leader(Arc::new(ToLeader::new(member.wire.clone()))),
            restored: Arc::new(Mutex::new(found.workers)),
        }
    }

    /// Where what is to be kept goes.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// What hands over for a worker.
    pub(crate) fn recorder(&self, worker: usize, first: Epoch) -> Recorder {
        Recorder::new(self.keeper.clone(), worker, first)
    }

    /// What a worker begins with.
    pub(crate) fn restored(&self, worker: usize) -> Restored {
        let mut all = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }

    /// Asks the sources to stop where they are.
    pub(crate) fn drain(&self) {
        self.keeper.drain();
    }

    /// Waits until everything is kept, where the store is.
    pub(crate) fn finish<H: Host>(
        self,
        look_up: impl Fn() -> Result<(), Error<H>>,
    ) -> Result<(), Error<H>> {
        let Keeper::Store(session) = self.keeper else {
            return Ok(());
        };
        let finishing = session.clone();
        attentively(move || finishing.finish(DEADLINE).map(drop), look_up)
            .inspect_err(|_| session.abandon())?
            .map_err(|error| Error::Recovery(Arc::new(error)))
    }

    /// Keeps what is over, of a run that stops early.
    pub(crate) fn stop(self) {
        if let Keeper::Store(session) = self.keeper {
            session.stop(STOP_DEADLINE);
        }
    }

    /// Leaves the store as it is. A later run goes on from what it has.
    pub(crate) fn abandon(self) {
        if let Keeper::Store(session) = self.keeper {
            session.abandon();
        }
    }
}

/// Does what the store's session says, here and in all other processes.
fn follow<H: Host>(shared: &Shared<H>, event: Event) {
    let told = match event {
        Event::Failed(error) => {
            shared.metrics.store_fails();
            shared.halt.raise(Reason::Failed(Error::Recovery(error)));
            None
        }
        Event::Committed(epoch) => {
            shared.committed.store(epoch.0, Ordering::Release);
            shared.metrics.store_goes_on();
            Some(Message::Committed(epoch.0))
        }
        Event::Publish { through } => {
            shared.publishes.store(through.0, Ordering::Release);
            Some(Message::Publish(through.0))
        }
        Event::StopSources => {
            shared.drains.store(true, Ordering::Relaxed);
            Some(Message::StopSources)
        }
        Event::Waiting { attempt, error, .. } => {
            shared.metrics.store_waits(&error, attempt);
            return;
        }
        Event::Collected(_) => return,
    };
    if let (Some(message), Some(member)) = (told, &shared.member) {
        member.wire.send_all(&message);
    }
    shared.threads.wake();
}

/// What the store has, for each worker.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) workers: Vec<Restored>,
    /// What was given up: to be forgotten with the first commit.
    pub(crate) dropped: Vec<(StepId, Change)>,
    /// What sinks begin with that nothing is known of: to be kept before anything is written.
    pub(crate) claims: Claims,
}

impl Found {
    /// The epoch in which the first items are.
    pub(crate) fn first_epoch(&self, opened: &Opened) -> Epoch {
        let resume = opened.start().epoch;
        Epoch(if self.claims.is_empty() {
            resume.0
        } else {
            resume.next().0
        })
    }
}

/// Lets sinks of this process take over the partitions that the store knows nothing of.
pub(crate) fn claim<H: Host>(
    physical: &Physical<H>,
    partitions: &Partitions,
    place: Place,
    found: &mut Found,
) -> Result<(), Error<H>> {
    H::attach(|scope| {
        for operator in &physical.operators {
            let Kind::Core(Core::Output(Sink::Partitioned(sink))) = &operator.kind else {
                continue;
            };
            let id = &operator.id;
            for Assigned { part, worker } in partitions.get(id).into_iter().flatten() {
                if !place.has(*worker) {
                    continue;
                }
                let restored = &mut found.workers[*worker];
                let mut known = restored.get(id).into_iter().flatten();
                if known.any(|(name, _)| name == part) {
                    continue;
                }
                let claimed = sink.claim_part(scope, id, part);
                let claimed = claimed.map_err(|failure| Error::before_start(operator, failure))?;
                if let Some(saved) = claimed {
                    give(restored, id, part.clone(), saved.clone());
                    found.claims.push((id.clone(), (part.clone(), Some(saved))));
                }
            }
        }
        Ok(())
    })
}

/// Reads what the store has, once, and deals it out to the workers.
pub(crate) fn load<H: Host>(
    opened: &Opened,
    physical: &Physical<H>,
    partitions: &Partitions,
    recovery: &Recovery,
    workers: usize,
) -> Result<Found, Error<H>> {
    let watermarks: Vec<StepId> = physical
        .operators
        .iter()
        .filter(|operator| matches!(operator.kind, Kind::Core(Core::TimedBatch(_))))
        .map(|operator| watermark_step(&operator.id))
        .collect();
    let mut found = Found {
        workers: (0..workers).map(|_| Restored::new()).collect(),
        dropped: Vec::new(),
        claims: Vec::new(),
    };
    let mut gone: Option<(StepId, String)> = None;
    opened
        .load(&mut |state| {
            let step = StepId(state.step.0.as_str().into());
            let key = state.key.to_owned();
            let saved = Saved {
                codec: state.codec,
                payload: state.payload.to_vec(),
            };
            if watermarks.contains(&step) {
                for worker in &mut found.workers {
                    give(worker, &step, key.clone(), saved.clone());
                }
                return;
            }
            let worker = match partitions.get(&step) {
                None => usize::try_from(stable_hash(&key) % workers as u64).ok(),
                Some(listed) => listed.iter().find(|a| a.part == key).map(|a| a.worker),
            };
            if let Some(worker) = worker {
                give(&mut found.workers[worker], &step, key, saved);
            } else if is_dropped(recovery, &step, &key) {
                found.dropped.push((step, (key, None)));
            } else {
                gone.get_or_insert((step, key));
            }
        })
        .map_err(|error| Error::Recovery(Arc::new(error)))?;
    match gone {
        None => Ok(found),
        Some((step, partition)) => Err(Error::PartitionGone { step, partition }),
    }
}

fn give(worker: &mut Restored, step: &StepId, key: String, saved: Saved) {
    match worker.get_mut(step) {
        Some(kept) => kept.push((key, saved)),
        None => {
            worker.insert(step.clone(), vec![(key, saved)]);
        }
    }
}

/// Whether the user gives up a partition, as `step/partition`.
fn is_dropped(recovery: &Recovery, step: &StepId, partition: &str) -> bool {
    let name = id::StepId(format!("{step}/{partition}"));
    recovery.changes.drop.contains(&name)
}
