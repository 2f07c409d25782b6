//! All there is to see of a run at one moment, as plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::figures::{Distribution, Figures, Role};
use crate::plan::StepId;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for the other processes.
    Joining,
    /// It reads what an earlier run kept.
    Loading,
    /// Workers build their operators.
    Starting,
    /// All workers run.
    Running,
    /// It is about to end, or has.
    Stopping,
}

/// All there is to see of a run.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What was counted for each step on each worker of this process.
    pub steps: Vec<StepFigures>,
    /// How many epochs each worker is behind the newest.
    pub frontier_lags: BTreeMap<usize, u64>,
    /// What is so just now; none before the start and after the end.
    pub gauges: Option<Gauges>,
    /// How often something could not be kept, and was to be tried again.
    pub store_retries: u64,
    /// How often the store failed for good.
    pub store_failures: u64,
}

/// What is so just now.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The newest epoch that any source has begun.
    pub newest_epoch: u64,
    /// The last epoch that is kept, if there is a store; zero if none is.
    pub committed_epoch: Option<u64>,
    /// How many bytes are on their way between workers, about.
    pub room_taken: usize,
    /// How many may be, until sources wait.
    pub room_limit: usize,
    /// Whether the run is to stop.
    pub is_stopping: bool,
    /// The wall time, in microseconds.
    pub wall: i64,
    /// What went to each other process, and came from there.
    pub traffic: Vec<Traffic>,
}

/// What went to another process, and came from there.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The other process.
    pub process: usize,
    /// How many bytes went there.
    pub sent: u64,
    /// How many came.
    pub received: u64,
}

/// What was counted for a step on a worker.
#[derive(Clone, Debug, Default)]
pub struct StepFigures {
    /// The full id of the step.
    pub step: String,
    /// The worker.
    pub worker: usize,
    /// How many items it took.
    pub items_in: Option<u64>,
    /// How many it made.
    pub items_out: Option<u64>,
    /// How long `next_batch` took, if it is a source.
    pub next_batch: Option<Distribution>,
    /// How long `write_batch` took, if it is a sink.
    pub write_batch: Option<Distribution>,
    /// How long its keys took for a batch, if it keeps state.
    pub on_batch: Option<Distribution>,
    /// How long it took to say what changed in an epoch, if it ever had to.
    pub snapshot: Option<Distribution>,
    /// How many records it handed over to be kept.
    pub records: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many keys it has, if it keeps state.
    pub keys: Option<u64>,
    /// How many values came too late, if it goes by time.
    pub late: Option<u64>,
    /// The watermark, in microseconds, if its stream has one.
    pub watermark: Option<i64>,
}

/// What was counted, by step and worker.
pub(super) fn steps(all: &[Arc<Figures>]) -> Vec<StepFigures> {
    let mut steps = Steps::default();
    for figures in all {
        if let Some(step) = &figures.labels.enters {
            add_to(
                &mut steps.of(step, figures).items_in,
                figures.items_in.get(),
            );
        }
        if let Some(step) = &figures.labels.leaves {
            add_to(
                &mut steps.of(step, figures).items_out,
                figures.items_out.get(),
            );
        }
        if let Some(step) = &figures.labels.step
            && figures.role != Role::Stateless
        {
            add_rest(steps.of(step, figures), figures);
        }
    }
    steps.0.into_values().collect()
}

#[derive(Default)]
struct Steps(BTreeMap<(StepId, usize), StepFigures>);

impl Steps {
    fn of(&mut self, step: &StepId, figures: &Figures) -> &mut StepFigures {
        let worker = figures.worker;
        let place = self.0.entry((step.clone(), worker));
        place.or_insert_with(|| StepFigures {
            step: step.to_string(),
            worker,
            ..StepFigures::default()
        })
    }
}

/// Adds what isn't counted by item.
fn add_rest(step: &mut StepFigures, figures: &Figures) {
    let calls = match figures.role {
        Role::Source => Some(&mut step.next_batch),
        Role::Sink => Some(&mut step.write_batch),
        Role::Stateful => Some(&mut step.on_batch),
        Role::Stateless => None,
    };
    if let Some(calls) = calls {
        add_durations(calls, figures.calls.read());
    }
    let snapshots = figures.snapshots.read();
    if snapshots.count() > 0 {
        add_durations(&mut step.snapshot, snapshots);
    }
    step.records += figures.records.get();
    step.bytes += figures.bytes.get();
    if figures.role == Role::Stateful {
        add_to(&mut step.keys, figures.keys.get());
    }
    if let Some(late) = figures.late() {
        add_to(&mut step.late, late);
    }
    step.watermark = step.watermark.max(figures.watermark());
}

fn add_to(total: &mut Option<u64>, more: u64) {
    *total = Some(total.unwrap_or(0) + more);
}

fn add_durations(total: &mut Option<Distribution>, more: Distribution) {
    match total {
        Some(total) => total.add(&more),
        None => *total = Some(more),
    }
}

/// How many epochs each worker is behind the newest: as many as its slowest sink.
pub(super) fn frontier_lags(all: &[Arc<Figures>], newest: u64) -> BTreeMap<usize, u64> {
    let mut lags = BTreeMap::new();
    for figures in all.iter().filter(|figures| figures.role == Role::Sink) {
        let lag = newest.saturating_sub(figures.frontier.get());
        let slowest = lags.entry(figures.worker).or_insert(0);
        *slowest = lag.max(*slowest);
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::super::labels::Labels;
    use super::*;

    fn figures(step: &str, worker: usize, role: Role) -> Arc<Figures> {
        let step = Some(StepId(step.into()));
        let labels = Labels {
            enters: step.clone(),
            leaves: None,
            step,
        };
        Arc::new(Figures::new(labels, worker, role))
    }

    #[test]
    fn operators_of_one_step_are_counted_together() {
        let all = [
            figures("a", 0, Role::Stateful),
            figures("a", 0, Role::Stateful),
            figures("a", 1, Role::Stateful),
        ];
        for (number, each) in all.iter().enumerate() {
            each.items_in.add(10 + number);
            each.keys.set(2);
        }
        let steps = steps(&all);
        let seen: Vec<_> = steps
            .iter()
            .map(|step| (step.worker, step.items_in, step.items_out, step.keys))
            .collect();
        assert_eq!(
            seen,
            [(0, Some(21), None, Some(4)), (1, Some(12), None, Some(2))]
        );
    }

    #[test]
    fn a_worker_is_as_far_behind_as_its_slowest_sink() {
        let all = [
            figures("a", 0, Role::Sink),
            figures("b", 0, Role::Sink),
            figures("b", 1, Role::Sink),
            figures("c", 1, Role::Stateful),
        ];
        for (each, epoch) in all.iter().zip([5, 3, u64::MAX, 0]) {
            each.frontier.set(epoch);
        }
        assert_eq!(frontier_lags(&all, 7), BTreeMap::from([(0, 4), (1, 0)]));
    }
}
