//! What a run can do next.

use super::Run;
use crate::world::{Shape, Step};

impl Run {
    /// What it can do next.
    pub(in crate::world) fn steps(&self, shape: &Shape, steps: &mut Vec<Step>) {
        let run = self.execution;
        if !self.is_open() {
            steps.push(Step::Fence { run });
            return;
        }
        for worker in 0..self.workers.len() {
            self.turns(shape, worker, steps);
            if self.workers[worker].written < self.workers[worker].ended() {
                steps.push(Step::Output { run, worker });
            }
            if self.workers[worker].reported < self.passed(worker) {
                steps.push(Step::Report { run, worker });
            }
        }
        for (partition, writer) in self.writers.iter().enumerate() {
            self.writes(shape, partition, steps);
            let acknowledgements = writer.acknowledgements.iter();
            steps.extend(acknowledgements.map(|(frontier, _)| Step::Hear {
                run,
                partition,
                frontier: *frontier,
            }));
            if writer.collect.is_some() {
                steps.push(Step::Collect { run, partition });
            }
        }
        for (sink, output) in self.outputs.iter().enumerate() {
            if output.heard < Some(self.workers[sink].frontier(self.resume)) {
                steps.push(Step::Prepare { run, sink });
            }
            if output.publish.is_some() {
                steps.push(Step::Publish { run, sink });
            }
        }
        if self.commit.is_some() {
            steps.push(Step::Commit { run });
        }
    }

    /// What the coordinator may never hear.
    pub(in crate::world) fn losses(&self, steps: &mut Vec<Step>) {
        for (partition, writer) in self.writers.iter().enumerate() {
            let acknowledgements = writer.acknowledgements.iter();
            steps.extend(acknowledgements.map(|(frontier, _)| Step::Lose {
                run: self.execution,
                partition,
                frontier: *frontier,
            }));
        }
    }

    fn turns(&self, shape: &Shape, worker: usize, steps: &mut Vec<Step>) {
        let of = &self.workers[worker];
        if of.is_finished {
            return;
        }
        let mut turn = |items, finish| {
            steps.push(Step::Turn {
                run: self.execution,
                worker,
                items,
                finish,
            });
        };
        let left = shape.inputs[worker].len() - of.position();
        if self.is_draining {
            turn(0, true);
        } else {
            turn(left, true);
            if of.ended() + 1 < shape.epochs {
                (0..=left).for_each(|items| turn(items, false));
            }
        }
    }

    fn writes(&self, shape: &Shape, partition: usize, steps: &mut Vec<Step>) {
        let writer = &self.writers[partition];
        let all = writer.queue.len();
        let first = if shape.partial_writes { 1 } else { all };
        let mut write = |records| {
            steps.push(Step::Write {
                run: self.execution,
                partition,
                records,
            });
        };
        if all > 0 {
            (first..=all).for_each(write);
        } else if Some(self.durable(partition)) > writer.told() {
            write(0);
        }
    }
}
