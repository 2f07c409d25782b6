//! The physical plan: what each worker really runs.
//!
//! Two stations lead from the logical plan to it. [`lower`] decides, step by step, what
//! runs in its place: its native form if it has one, or the steps that it is made of.
//! [`fuse`] then makes one operator of stateless neighbours, so that they share an
//! activation and a loop.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::host::Host;
use crate::plan::{Core, Native, Operator, Plan, Sink, Step, StepId, StreamId};

/// A dataflow, ready to be compiled.
pub struct Physical<H: Host> {
    /// Its name.
    pub flow_id: String,
    /// Its operators, each after those whose streams it takes.
    pub operators: Vec<PhysicalOperator<H>>,
}

/// One operator of a physical plan.
pub struct PhysicalOperator<H: Host> {
    /// The full id of the step that it stands for; the last, if it is several.
    pub id: StepId,
    /// The step that errors name.
    pub written_as: StepId,
    /// The streams that it takes.
    pub ups: Vec<StreamId>,
    /// The streams that it makes.
    pub downs: Vec<StreamId>,
    /// What it does.
    pub kind: Kind<H>,
}

/// What a physical operator does.
pub enum Kind<H: Host> {
    /// It is a core step.
    Core(Core<H>),
    /// It is a run of stateless steps in one loop.
    Fused(Vec<Stage<H>>),
}

/// One of the steps of a fused operator.
pub struct Stage<H: Host> {
    /// The step.
    pub step: StepId,
    /// What it does.
    pub stage: Arc<H::Stage>,
}

/// Lays the tree out flat, in an order in which streams are made before they are taken.
///
/// With `optimize`, native forms are used where there are any.
pub fn lower<H: Host>(plan: &Plan<H>, optimize: bool) -> Physical<H> {
    let mut operators = Vec::new();
    for step in &plan.steps {
        lower_step(step, optimize, &mut operators);
    }
    Physical {
        flow_id: plan.flow_id.clone(),
        operators,
    }
}

fn lower_step<H: Host>(step: &Step<H>, optimize: bool, operators: &mut Vec<PhysicalOperator<H>>) {
    if optimize && !step.native.is_empty() {
        lower_native(step, operators);
        return;
    }
    match &step.operator {
        Operator::Composed(steps) => {
            for step in steps {
                lower_step(step, optimize, operators);
            }
        }
        Operator::Core(core) => operators.push(PhysicalOperator {
            id: step.id.clone(),
            written_as: step.written_as.clone(),
            ups: step.ups.clone(),
            downs: step.downs.clone(),
            kind: Kind::Core(core.clone()),
        }),
    }
}

/// Strings the parts of a native form together, by streams that only they know.
fn lower_native<H: Host>(step: &Step<H>, operators: &mut Vec<PhysicalOperator<H>>) {
    let mut ups = step.ups.clone();
    for (number, native) in step.native.iter().enumerate() {
        let is_last = number + 1 == step.native.len();
        let downs = if is_last {
            step.downs.clone()
        } else {
            vec![StreamId(format!("{}.native_{number}", step.id).into())]
        };
        let kind = match native {
            Native::Stage(stage) => Kind::Fused(vec![Stage {
                step: step.written_as.clone(),
                stage: Arc::clone(stage),
            }]),
            Native::Keyed(builder) => Kind::Core(Core::StatefulBatch(Arc::clone(builder))),
            Native::Timed(builder) => Kind::Core(Core::TimedBatch(Arc::clone(builder))),
        };
        operators.push(PhysicalOperator {
            // State is kept under the id of the step, whatever runs in its place.
            id: if is_last {
                step.id.clone()
            } else {
                StepId(format!("{}.native_{number}", step.id).into())
            },
            written_as: step.written_as.clone(),
            ups: std::mem::replace(&mut ups, downs.clone()),
            downs,
            kind,
        });
    }
}

/// Makes one operator of each run of stateless neighbours.
///
/// Two are neighbours if one takes the only stream of the other, and nobody else does.
pub fn fuse<H: Host>(physical: Physical<H>) -> Physical<H> {
    let mut takers: HashMap<StreamId, usize> = HashMap::new();
    for up in physical.operators.iter().flat_map(|op| &op.ups) {
        *takers.entry(up.clone()).or_insert(0) += 1;
    }
    let mut operators: Vec<PhysicalOperator<H>> = Vec::new();
    // Which fused operator so far makes a stream.
    let mut makers: HashMap<StreamId, usize> = HashMap::new();
    for operator in physical.operators {
        let neighbour = match (&operator.kind, operator.ups.as_slice()) {
            (Kind::Fused(_), [up]) if takers[up] == 1 => makers.get(up).copied(),
            _ => None,
        };
        let place = neighbour.unwrap_or(operators.len());
        if matches!(operator.kind, Kind::Fused(_)) {
            makers.extend(operator.downs.iter().map(|down| (down.clone(), place)));
        }
        match neighbour {
            Some(place) => operators[place].absorb(operator),
            None => operators.push(operator),
        }
    }
    Physical {
        flow_id: physical.flow_id,
        operators,
    }
}

impl<H: Host> Physical<H> {
    /// What will run for a plan.
    pub fn of(plan: &Plan<H>, optimize: bool) -> Self {
        let physical = lower(plan, optimize);
        if optimize { fuse(physical) } else { physical }
    }
}

impl<H: Host> Physical<H> {
    /// Whether any step must know by which lanes its batches come.
    pub fn needs_lanes(&self) -> bool {
        let mut kinds = self.operators.iter().map(|operator| &operator.kind);
        kinds.any(|kind| matches!(kind, Kind::Core(Core::TimedBatch(_))))
    }

    /// The step that alone takes what an operator makes, if it needs keys.
    pub fn keyed_taker(&self, operator: &PhysicalOperator<H>) -> Option<&StepId> {
        let [down] = operator.downs.as_slice() else {
            return None;
        };
        let mut takers = self.operators.iter().filter(|op| op.ups.contains(down));
        let taker = takers.next().filter(|taker| taker.needs_keys())?;
        takers.next().is_none().then_some(&taker.written_as)
    }
}

impl<H: Host> PhysicalOperator<H> {
    /// Whether it takes every item apart into key and value.
    fn needs_keys(&self) -> bool {
        matches!(
            &self.kind,
            Kind::Core(
                Core::StatefulBatch(_) | Core::TimedBatch(_) | Core::Output(Sink::Partitioned(_))
            )
        )
    }

    /// The steps that it stands for, as their author wrote them.
    pub fn steps(&self) -> Vec<String> {
        match &self.kind {
            Kind::Core(_) => vec![self.written_as.to_string()],
            Kind::Fused(stages) => stages.iter().map(|stage| stage.step.to_string()).collect(),
        }
    }

    /// Goes on with the stages of the next operator.
    fn absorb(&mut self, next: Self) {
        if let (Kind::Fused(stages), Kind::Fused(more)) = (&mut self.kind, next.kind) {
            stages.extend(more);
            self.id = next.id;
            self.downs = next.downs;
        }
    }

    /// The name of what it does.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Core(core) => core.name(),
            Kind::Fused(_) => "fused",
        }
    }
}

impl<H: Host> fmt::Debug for Physical<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.operators.iter().map(|op| (&op.id.0, op.name())))
            .finish()
    }
}
