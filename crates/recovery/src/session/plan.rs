//! What a store says, put to the protocol; and what is to be written for its answer.
//!
//! The manifest in a store is that of its newest execution, which says in it what it
//! [found](crate::store::Manifest::found). What it changed (names, schemas, steps that are
//! gone) became true with its first commit. So whether it committed decides which of the two
//! is to be believed.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::SessionError;
use crate::id::{FlowId, StepId, WorkerIndex};
use crate::protocol::manifest::{
    Commit, Execution, FormatVersion, History, Manifest, SchemaVersion, StepKind, StoredStep,
};
use crate::protocol::path::CommittedPath;
use crate::protocol::resume::{Changes, Flow, Start, start};
use crate::store::{self, ManifestStep, Reader, Segment};

/// How a run begins on a store.
#[derive(Debug)]
pub(super) struct Plan {
    /// What was decided.
    pub(super) start: Start,
    /// What is history.
    pub(super) path: CommittedPath,
    /// What is to be written of the dataflow.
    pub(super) manifest: store::Manifest,
    /// By the name that a step has in the store: its name of today, and the schema of its state.
    pub(super) names: BTreeMap<String, (StepId, SchemaVersion)>,
    /// Whether there are rows that no resume needs.
    pub(super) has_garbage: bool,
}

impl Plan {
    /// Goes through all of the store once, checks it on the way, and decides.
    pub(super) fn new(
        reader: &Reader,
        flow: &Flow,
        changes: &Changes,
    ) -> Result<Self, SessionError> {
        let path = CommittedPath::new(&history(reader))?;
        let (counts, load) = count(reader, &path)?;
        let stored = stored(reader, flow, &counts)?;
        let start = start(&stored, &path, flow, changes)?;
        let names = start.steps.iter().filter_map(|(old, new)| {
            let schema = stored.steps.get(old)?.schema;
            Some((old.0.clone(), (new.clone(), schema)))
        });
        Ok(Self {
            names: names.collect(),
            manifest: to_write(flow, &stored),
            start,
            path,
            has_garbage: load.live < load.rows,
        })
    }

    /// What is history, as the store takes it.
    pub(super) fn rows(&self) -> store::CommittedPath {
        rows(&self.path)
    }

    /// What is to become of the state that the store has under a name.
    pub(super) fn fate(&self, step: &str) -> Fate<'_> {
        match self.names.get(step) {
            Some((new, _)) if new.0 == step => Fate::Stays,
            Some((new, _)) => Fate::Moves(new),
            None => Fate::Ends,
        }
    }

    /// Whether any state is to be moved or dropped.
    pub(super) fn is_moving(&self) -> bool {
        let is_renamed = |(old, new): (&StepId, &StepId)| old != new;
        !self.start.dropped.is_empty() || self.start.steps.iter().any(is_renamed)
    }
}

/// What is to become of the state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// It stays under its name.
    Stays,
    /// It goes on under this name.
    Moves(&'a StepId),
    /// It is dropped.
    Ends,
}

/// Refuses another dataflow at once, without a look at the rows.
pub(super) fn check_identity(reader: &Reader, flow: &Flow) -> Result<(), SessionError> {
    let path = CommittedPath::new(&history(reader))?;
    let stored = stored(reader, flow, &BTreeMap::new())?;
    start(&stored, &path, flow, &Changes::default())?;
    Ok(())
}

/// What is in a store, of which only what is history counts.
pub fn inspect(directory: &Path) -> Result<store::Inspection, SessionError> {
    let reader = Reader::open(directory)?;
    let path = CommittedPath::new(&history(&reader))?;
    Ok(store::inspect(&reader, &rows(&path))?)
}

/// How many keys have state, by the name of the step in the store.
fn count(
    reader: &Reader,
    path: &CommittedPath,
) -> Result<(BTreeMap<String, u64>, store::Load), SessionError> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let load = reader.load::<SessionError>(
        &rows(path),
        |_, _| WorkerIndex(0),
        |loaded| {
            match counts.get_mut(loaded.step) {
                Some(count) => *count += 1,
                None => drop(counts.insert(loaded.step.to_owned(), 1)),
            }
            Ok(())
        },
    )?;
    Ok((counts, load))
}

fn rows(path: &CommittedPath) -> store::CommittedPath {
    let segments = path.stretches().map(|(execution, epochs)| Segment {
        execution,
        first: *epochs.start(),
        last: *epochs.end(),
    });
    segments.collect()
}

fn history(reader: &Reader) -> History {
    let executions = reader.executions();
    History {
        executions: executions
            .iter()
            .map(|execution| Execution {
                id: execution.id,
                resume: execution.resume,
            })
            .collect(),
        commits: executions
            .iter()
            .filter_map(|execution| {
                Some(Commit {
                    execution: execution.id,
                    epoch: execution.committed?,
                    // The store compares its files itself.
                    sequences: Vec::new(),
                })
            })
            .collect(),
    }
}

/// The manifest as it is to be believed.
fn stored(
    reader: &Reader,
    flow: &Flow,
    counts: &BTreeMap<String, u64>,
) -> Result<Manifest, SessionError> {
    let written = reader.manifest()?;
    let mut steps: BTreeMap<StepId, StoredStep> = BTreeMap::new();
    // Nobody writes state of a step that isn't in the manifest. If there is some all the same,
    // it is taken for the dataflow's own, or refused as that of a step that is gone.
    for step in counts.keys().map(|step| StepId(step.clone())) {
        let known = flow.steps.get(&step);
        let stored = StoredStep {
            kind: known.map_or(StepKind::Stateful, |known| known.kind),
            form: known.map_or_else(String::new, |known| known.form.clone()),
            schema: known.map_or(SchemaVersion(0), |known| known.schema),
            keys: 0,
        };
        steps.insert(step, stored);
    }
    if let Some(written) = &written {
        let has_committed = reader
            .executions()
            .last()
            .is_some_and(|execution| execution.committed.is_some());
        let found = written.found.iter().filter(|_| !has_committed);
        steps.extend(written.steps.iter().chain(found).map(from_document));
    }
    for (step, stored) in &mut steps {
        stored.keys = counts.get(&step.0).copied().unwrap_or(0);
    }
    Ok(Manifest {
        // A format that isn't known is refused by the store as it is opened.
        format: FormatVersion::CURRENT,
        flow: written.map(|manifest| FlowId(manifest.flow)),
        partitions: reader.partition_count(),
        steps,
    })
}

fn to_write(flow: &Flow, stored: &Manifest) -> store::Manifest {
    let found = stored.steps.iter().filter(|(_, step)| step.keys > 0);
    store::Manifest {
        flow: flow.id.0.clone(),
        steps: flow
            .steps
            .iter()
            .map(|(step, of)| to_document(step, of.kind, &of.form, of.schema))
            .collect(),
        found: found
            .map(|(step, of)| to_document(step, of.kind, &of.form, of.schema))
            .collect(),
    }
}

fn to_document(step: &StepId, kind: StepKind, form: &str, schema: SchemaVersion) -> ManifestStep {
    ManifestStep {
        id: step.0.clone(),
        kind: match kind {
            StepKind::Source => store::StepKind::Source,
            StepKind::Stateful => store::StepKind::State,
            StepKind::Sink => store::StepKind::Sink,
        },
        form: form.to_owned(),
        schema: schema.0,
    }
}

fn from_document(step: &ManifestStep) -> (StepId, StoredStep) {
    let kind = match step.kind {
        store::StepKind::Source => StepKind::Source,
        store::StepKind::State => StepKind::Stateful,
        store::StepKind::Sink => StepKind::Sink,
    };
    let stored = StoredStep {
        kind,
        form: step.form.clone(),
        schema: SchemaVersion(step.schema),
        keys: 0,
    };
    (StepId(step.id.clone()), stored)
}
