//! Whether a dataflow may begin on a store, and with which state.
//!
//! A dataflow changes between runs: steps come, go and get new names. A step that came begins
//! empty. State whose step is gone is a question that only the user can answer, and answering
//! it wrongly loses data without a word, so it is refused until they say: the step has another
//! name now (an *alias*), or its state is to be *dropped*.
//!
//! Answers may stay where they were given. A supervisor starts the same command line again, so
//! an alias that has done its work, and the drop of what is no longer there, change nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, ExecutionId, FlowId, StepId};
use crate::protocol::abort::ExitCode;
use crate::protocol::manifest::{FormatVersion, Manifest, SchemaVersion, StepKind, StoredStep};
use crate::protocol::path::CommittedPath;

/// What the dataflow to be started says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub id: FlowId,
    /// Its steps that keep something in the store.
    pub steps: BTreeMap<StepId, FlowStep>,
}

/// What a step of the dataflow says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStep {
    /// What its snapshots are of.
    pub kind: StepKind,
    /// What a state is, in a few words: another form is another state.
    pub form: String,
    /// How it lays them out.
    pub schema: SchemaVersion,
    /// The oldest version that it can turn into its own; its own if it can't migrate.
    pub oldest_readable: SchemaVersion,
}

/// What the user says has changed.
///
/// What is said of a step is said of all steps within it, too: of those whose names begin with
/// its name and a dot. Of two things that are said of a step, the one counts that names the
/// innermost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What steps of the store are called in the dataflow.
    pub aliases: BTreeMap<StepId, StepId>,
    /// Steps whose state is of no use any more.
    pub drop: BTreeSet<StepId>,
}

/// What the user says of a step of the store.
enum Said<'a> {
    /// It is called so, by this alias.
    Alias {
        old: &'a StepId,
        name: StepId,
    },
    Drop,
    Nothing,
}

impl Changes {
    fn of(&self, step: &StepId) -> Said<'_> {
        let alias = self.aliases.iter().filter(|(old, _)| is_of(step, old));
        let alias = alias.max_by_key(|(old, _)| old.0.len());
        let drop = self.drop.iter().filter(|dropped| is_of(step, dropped));
        let drop = drop.map(|dropped| dropped.0.len()).max();
        match alias {
            Some((old, new)) if drop.is_none_or(|length| length < old.0.len()) => Said::Alias {
                old,
                name: StepId(format!("{}{}", new.0, &step.0[old.0.len()..])),
            },
            _ if drop.is_some() => Said::Drop,
            _ => Said::Nothing,
        }
    }
}

/// Whether a step is another one, or within it.
fn is_of(step: &StepId, other: &StepId) -> bool {
    let rest = step.0.strip_prefix(&other.0);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// How to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The name of the new execution.
    pub execution: ExecutionId,
    /// Where it goes on.
    pub epoch: Epoch,
    /// Steps of the store, and the step of the dataflow that each belongs to.
    pub steps: BTreeMap<StepId, StepId>,
    /// Steps of the dataflow whose state is of an older version, and which.
    pub migrations: BTreeMap<StepId, SchemaVersion>,
    /// Steps of the dataflow that begin empty on a store that has been used before.
    pub added: BTreeSet<StepId>,
    /// Steps of the store whose state is to be deleted, and how many keys that is.
    pub dropped: BTreeMap<StepId, u64>,
}

/// Why a dataflow may not begin on a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A later version of this program wrote the store.
    #[error(
        "the recovery store has format {found}, and this version of millstream reads up to \
         {readable}; use the version that wrote it, or a later one"
    )]
    FormatTooNew {
        /// What the store has.
        found: FormatVersion,
        /// What we read.
        readable: FormatVersion,
    },
    /// The store belongs to another dataflow.
    #[error(
        "the recovery store belongs to dataflow `{stored}`, and this is `{flow}`; \
         use a store of its own for each dataflow"
    )]
    AnotherFlow {
        /// Whose it is.
        stored: FlowId,
        /// Who wants it.
        flow: FlowId,
    },
    /// There is state of steps that the dataflow doesn't have.
    #[error(
        "the recovery store has state of steps that the dataflow doesn't have: {}; for each, \
         give its new name as an alias (`--alias old=new`, or in Python \
         `aliases={{\"old\": \"new\"}}`), or give its state up (`--drop old`, `drop=[\"old\"]`)",
        counted(.steps)
    )]
    StepsGone {
        /// The steps, and how many keys each has.
        steps: BTreeMap<StepId, u64>,
    },
    /// The user says two things about one step.
    #[error("step `{step}` is both given an alias and dropped; say one of the two")]
    AliasAndDrop {
        /// The step.
        step: StepId,
    },
    /// The user gives up the state of a step that is there.
    #[error(
        "step `{step}` is to be dropped, but the dataflow has it; each start would empty it \
         again, so give the step a new name instead"
    )]
    DropOfPresentStep {
        /// The step.
        step: StepId,
    },
    /// An alias leads nowhere.
    #[error(
        "the alias of step `{old}` is `{new}`, and the dataflow has no such step that keeps \
         state; it has {}",
        quoted(.present)
    )]
    AliasToNothing {
        /// What the store calls it.
        old: StepId,
        /// What the dataflow should call it.
        new: StepId,
        /// What the dataflow has.
        present: BTreeSet<StepId>,
    },
    /// An alias comes from nowhere.
    #[error(
        "`{new}` is to take over the state of step `{old}`, and the recovery store has none of \
         it; it has state of {}",
        quoted(.stored)
    )]
    AliasFromNothing {
        /// What the store should call it.
        old: StepId,
        /// What the dataflow calls it.
        new: StepId,
        /// What the store has.
        stored: BTreeSet<StepId>,
    },
    /// The dataflow has the step under its own name as well.
    #[error("step `{old}` has the alias `{new}`, but the dataflow still has `{old}` itself")]
    AliasOfPresentStep {
        /// What the store and the dataflow call it.
        old: StepId,
        /// What the user calls it.
        new: StepId,
    },
    /// Two steps of the store would become one.
    #[error(
        "`{first}` and `{second}` of the recovery store would both become step `{new}`; \
         drop one of them, or give it a step of its own"
    )]
    AliasesMeet {
        /// One step of the store.
        first: StepId,
        /// The other.
        second: StepId,
        /// The step of the dataflow.
        new: StepId,
    },
    /// A step is not what it was.
    #[error(
        "step `{step}` is {now}, and the recovery store has state of it as {before}; \
         give the step a new name, and drop the old one"
    )]
    KindChanged {
        /// The step, as the dataflow calls it.
        step: StepId,
        /// What it was.
        before: StepKind,
        /// What it is.
        now: StepKind,
    },
    /// What was kept of the step is another operator's state.
    #[error(
        "step `{step}` keeps {now}, and the recovery store has of it what an earlier run kept of \
         {before}; give the step a new name, and drop the old one"
    )]
    FormChanged {
        /// The step.
        step: StepId,
        /// What the store has.
        before: String,
        /// What it keeps now.
        now: String,
    },
    /// A later version of the step wrote its state.
    #[error(
        "the state of step `{step}` has version {stored}, and the dataflow's is {current}; \
         run the version of the dataflow that wrote it, or a later one"
    )]
    SchemaTooNew {
        /// The step, as the dataflow calls it.
        step: StepId,
        /// What the store has.
        stored: SchemaVersion,
        /// What the dataflow has.
        current: SchemaVersion,
    },
    /// The step can't make its own state of an older version.
    #[error(
        "the state of step `{step}` has version {stored}, and the dataflow reads versions \
         {oldest} to {current}; let its state class offer `migrate` for it, or drop it and \
         give the step a new name"
    )]
    SchemaTooOld {
        /// The step, as the dataflow calls it.
        step: StepId,
        /// What the store has.
        stored: SchemaVersion,
        /// The oldest that the dataflow reads.
        oldest: SchemaVersion,
        /// What the dataflow has.
        current: SchemaVersion,
    },
}

impl Refusal {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::FormatTooNew { .. } => ExitCode::VersionMismatch,
            Self::AliasAndDrop { .. } => ExitCode::Usage,
            _ => ExitCode::FlowMismatch,
        }
    }
}

/// Decides how a dataflow begins on a store.
///
/// `path` is of the same transaction as `manifest`.
pub fn start(
    manifest: &Manifest,
    path: &CommittedPath,
    flow: &Flow,
    changes: &Changes,
) -> Result<Start, Refusal> {
    check_identity(manifest, flow)?;
    check_changes(manifest, flow, changes)?;
    let mut start = Start {
        execution: path.next_execution(),
        epoch: path.resume_epoch(),
        steps: BTreeMap::new(),
        migrations: BTreeMap::new(),
        added: BTreeSet::new(),
        dropped: BTreeMap::new(),
    };
    let mut gone = BTreeMap::new();
    for (id, stored) in manifest.steps.iter().filter(|(_, step)| step.keys > 0) {
        let own = flow.steps.get(id);
        let (name, step) = match changes.of(id) {
            Said::Drop if own.is_some() => {
                return Err(Refusal::DropOfPresentStep { step: id.clone() });
            }
            Said::Drop => {
                start.dropped.insert(id.clone(), stored.keys);
                continue;
            }
            Said::Nothing => (id.clone(), own),
            Said::Alias { old, name } => match flow.steps.get(&name) {
                Some(_) if own.is_some() && name != *id => {
                    let (old, new) = (old.clone(), changes.aliases[old].clone());
                    return Err(Refusal::AliasOfPresentStep { old, new });
                }
                Some(step) => (name, Some(step)),
                // The alias has done its work, and leads from the step to another within it.
                None => (id.clone(), own),
            },
        };
        match step {
            Some(step) => start.take(id, stored, &name, step)?,
            None => {
                gone.insert(id.clone(), stored.keys);
            }
        }
    }
    if !gone.is_empty() {
        return Err(Refusal::StepsGone { steps: gone });
    }
    if manifest.flow.is_some() {
        let known: BTreeSet<_> = start.steps.values().chain(manifest.steps.keys()).collect();
        let added = flow.steps.keys().filter(|step| !known.contains(step));
        start.added = added.cloned().collect();
    }
    Ok(start)
}

impl Start {
    /// A step of the dataflow takes over the state of a step of the store.
    fn take(
        &mut self,
        old: &StepId,
        stored: &StoredStep,
        new: &StepId,
        step: &FlowStep,
    ) -> Result<(), Refusal> {
        if let Some((first, _)) = self.steps.iter().find(|(_, taken)| *taken == new) {
            return Err(Refusal::AliasesMeet {
                first: first.clone(),
                second: old.clone(),
                new: new.clone(),
            });
        }
        if stored.kind != step.kind {
            return Err(Refusal::KindChanged {
                step: new.clone(),
                before: stored.kind,
                now: step.kind,
            });
        }
        // What wrote the store may not have known forms yet.
        if !stored.form.is_empty() && stored.form != step.form {
            return Err(Refusal::FormChanged {
                step: new.clone(),
                before: stored.form.clone(),
                now: step.form.clone(),
            });
        }
        if stored.schema > step.schema {
            return Err(Refusal::SchemaTooNew {
                step: new.clone(),
                stored: stored.schema,
                current: step.schema,
            });
        }
        if stored.schema < step.oldest_readable {
            return Err(Refusal::SchemaTooOld {
                step: new.clone(),
                stored: stored.schema,
                oldest: step.oldest_readable,
                current: step.schema,
            });
        }
        if stored.schema < step.schema {
            self.migrations.insert(new.clone(), stored.schema);
        }
        self.steps.insert(old.clone(), new.clone());
        Ok(())
    }
}

fn check_identity(manifest: &Manifest, flow: &Flow) -> Result<(), Refusal> {
    if manifest.format > FormatVersion::CURRENT {
        return Err(Refusal::FormatTooNew {
            found: manifest.format,
            readable: FormatVersion::CURRENT,
        });
    }
    match &manifest.flow {
        Some(stored) if *stored != flow.id => Err(Refusal::AnotherFlow {
            stored: stored.clone(),
            flow: flow.id.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_changes(manifest: &Manifest, flow: &Flow, changes: &Changes) -> Result<(), Refusal> {
    for step in &changes.drop {
        let step = step.clone();
        if changes.aliases.contains_key(&step) {
            return Err(Refusal::AliasAndDrop { step });
        }
        if flow.steps.contains_key(&step) {
            return Err(Refusal::DropOfPresentStep { step });
        }
    }
    let with_state = manifest.steps.iter().filter(|(_, step)| step.keys > 0);
    let with_state: BTreeMap<_, _> = with_state.map(|(id, step)| (id.clone(), step)).collect();
    for (old, new) in &changes.aliases {
        let (old, new) = (old.clone(), new.clone());
        if !has_any(&flow.steps, &new) {
            let present = flow.steps.keys().cloned().collect();
            return Err(Refusal::AliasToNothing { old, new, present });
        }
        if flow.steps.contains_key(&old) && !is_of(&new, &old) {
            return Err(Refusal::AliasOfPresentStep { old, new });
        }
        let is_fresh = manifest.flow.is_none();
        let has_done_its_work = has_any(&manifest.steps, &new);
        if !has_any(&with_state, &old) && !has_done_its_work && !is_fresh {
            let stored = with_state.into_keys().collect();
            return Err(Refusal::AliasFromNothing { old, new, stored });
        }
    }
    Ok(())
}

/// Whether a step is among some, or any within it.
fn has_any<Step>(steps: &BTreeMap<StepId, Step>, step: &StepId) -> bool {
    steps.keys().any(|id| is_of(id, step))
}

/// `` `count` (28 keys) and `sum` (1 key) ``.
fn counted(steps: &BTreeMap<StepId, u64>) -> String {
    joined(steps.iter().map(|(step, keys)| {
        let unit = if *keys == 1 { "key" } else { "keys" };
        format!("`{step}` ({keys} {unit})")
    }))
}

/// `` `count` and `sum` ``.
fn quoted(steps: &BTreeSet<StepId>) -> String {
    if steps.is_empty() {
        return "none".to_owned();
    }
    joined(steps.iter().map(|step| format!("`{step}`")))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<_> = parts.collect();
    match parts.pop() {
        Some(last) if !parts.is_empty() => format!("{} and {last}", parts.join(", ")),
        last => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
