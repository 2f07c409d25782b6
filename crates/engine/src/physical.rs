//! The physical plan: what each worker really runs.
//!
//! Two stations lead from the logical plan to it. [`lower`] decides, step by step,
//! what runs in its place; as of now every composed step runs as the core steps it
//! is made of. [`fuse`] then makes one operator of neighbours that can share an
//! activation; as of now it leaves them apart.

use std::fmt;

use crate::host::Host;
use crate::plan::{Core, Operator, Plan, Step, StepId, StreamId};

/// A dataflow, ready to be compiled.
pub struct Physical<H: Host> {
    /// Its name.
    pub flow_id: String,
    /// Its operators, each after those whose streams it takes.
    pub operators: Vec<PhysicalOperator<H>>,
}

/// One operator of a physical plan.
pub struct PhysicalOperator<H: Host> {
    /// The full id of the core step.
    pub id: StepId,
    /// The step that errors name.
    pub written_as: StepId,
    /// The streams that it takes.
    pub ups: Vec<StreamId>,
    /// The streams that it makes.
    pub downs: Vec<StreamId>,
    /// What it does.
    pub kind: Core<H>,
}

/// Lays the tree out flat, in an order in which streams are made before they are
/// taken.
pub fn lower<H: Host>(plan: &Plan<H>) -> Physical<H> {
    let mut operators = Vec::new();
    for step in &plan.steps {
        lower_step(step, &mut operators);
    }
    Physical {
        flow_id: plan.flow_id.clone(),
        operators,
    }
}

fn lower_step<H: Host>(step: &Step<H>, operators: &mut Vec<PhysicalOperator<H>>) {
    match &step.operator {
        Operator::Composed(steps) => {
            for step in steps {
                lower_step(step, operators);
            }
        }
        Operator::Core(kind) => operators.push(PhysicalOperator {
            id: step.id.clone(),
            written_as: step.written_as.clone(),
            ups: step.ups.clone(),
            downs: step.downs.clone(),
            kind: kind.clone(),
        }),
    }
}

/// Makes one operator of neighbours that can share an activation: none so far.
pub fn fuse<H: Host>(physical: Physical<H>) -> Physical<H> {
    physical
}

impl<H: Host> fmt::Debug for Physical<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.operators.iter().map(|op| (&op.id.0, op.kind.name())))
            .finish()
    }
}
