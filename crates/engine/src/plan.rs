//! The plan: a dataflow as plain data.
//!
//! A binding reads the user's dataflow into a [`Plan`] once. It is the logical
//! graph: a tree in which composed steps hold the steps that they are made of.
//! [`Plan::validate`] says in full sentences what is wrong with it; everything
//! after that may rely on it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::host::Host;
use crate::logic::{
    DynamicSink, DynamicSource, FlatMapBatch, Inspector, PartitionedSink, PartitionedSource,
    Predicate, StatefulBatch, TimedBatch,
};

/// The full id of a step: flow id and step names, joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub Arc<str>);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a stream: the id of the step that makes it, and the port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub Arc<str>);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A dataflow.
pub struct Plan<H: Host> {
    /// Its name.
    pub flow_id: String,
    /// Its steps, each after those whose streams it takes.
    pub steps: Vec<Step<H>>,
}

/// A step of a dataflow.
pub struct Step<H: Host> {
    /// Its full id.
    pub id: StepId,
    /// The step that errors name: this one, or the one that its author wrote and
    /// that this one is a part of.
    pub written_as: StepId,
    /// The streams that it takes.
    pub ups: Vec<StreamId>,
    /// The streams that it makes.
    pub downs: Vec<StreamId>,
    /// What it does.
    pub operator: Operator<H>,
    /// What may run in its place, from its upstreams to its downstreams, in this order;
    /// nothing if it has no native form.
    pub native: Vec<Native<H>>,
}

/// A native form of a step, or a part of one.
pub enum Native<H: Host> {
    /// A stateless step, which can share a loop with its neighbours.
    Stage(Arc<H::Stage>),
    /// A step with state for each key. The only one that may take several streams.
    Keyed(Arc<dyn StatefulBatch<H>>),
    /// A step with state for each key that goes by one watermark for its whole stream.
    Timed(Arc<dyn TimedBatch<H>>),
}

/// What a step does.
pub enum Operator<H: Host> {
    /// It is made of other steps.
    Composed(Vec<Step<H>>),
    /// The engine knows how to run it.
    Core(Core<H>),
}

/// The operators that everything else is made of.
pub enum Core<H: Host> {
    /// Brings in the items of a source.
    Input(Source<H>),
    /// Hands items to a sink.
    Output(Sink<H>),
    /// Maps a batch to any number of items.
    FlatMapBatch(Arc<dyn FlatMapBatch<H>>),
    /// Sends each item one of two ways.
    Branch(Arc<dyn Predicate<H>>),
    /// Makes one stream of several.
    Merge,
    /// Spreads items over the workers.
    Redistribute,
    /// Looks at items as they pass.
    InspectDebug(Arc<dyn Inspector<H>>),
    /// Keeps state for each key.
    StatefulBatch(Arc<dyn StatefulBatch<H>>),
    /// Keeps state for each key, and goes by one watermark for its whole stream.
    TimedBatch(Arc<dyn TimedBatch<H>>),
}

/// The two shapes of a source.
pub enum Source<H: Host> {
    /// With named partitions.
    Partitioned(Arc<dyn PartitionedSource<H>>),
    /// With a part for each worker.
    Dynamic(Arc<dyn DynamicSource<H>>),
}

/// The two shapes of a sink.
pub enum Sink<H: Host> {
    /// With named partitions.
    Partitioned(Arc<dyn PartitionedSink<H>>),
    /// With a part for each worker.
    Dynamic(Arc<dyn DynamicSink<H>>),
}

impl<H: Host> Clone for Source<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Partitioned(source) => Self::Partitioned(Arc::clone(source)),
            Self::Dynamic(source) => Self::Dynamic(Arc::clone(source)),
        }
    }
}

impl<H: Host> Clone for Sink<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Partitioned(sink) => Self::Partitioned(Arc::clone(sink)),
            Self::Dynamic(sink) => Self::Dynamic(Arc::clone(sink)),
        }
    }
}

impl<H: Host> Clone for Core<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Input(source) => Self::Input(source.clone()),
            Self::Output(sink) => Self::Output(sink.clone()),
            Self::FlatMapBatch(mapper) => Self::FlatMapBatch(Arc::clone(mapper)),
            Self::Branch(predicate) => Self::Branch(Arc::clone(predicate)),
            Self::Merge => Self::Merge,
            Self::Redistribute => Self::Redistribute,
            Self::InspectDebug(inspector) => Self::InspectDebug(Arc::clone(inspector)),
            Self::StatefulBatch(builder) => Self::StatefulBatch(Arc::clone(builder)),
            Self::TimedBatch(builder) => Self::TimedBatch(Arc::clone(builder)),
        }
    }
}

impl<H: Host> Core<H> {
    /// The name of the operator.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Output(_) => "output",
            Self::FlatMapBatch(_) => "flat_map_batch",
            Self::Branch(_) => "branch",
            Self::Merge => "merge",
            Self::Redistribute => "redistribute",
            Self::InspectDebug(_) => "inspect_debug",
            Self::StatefulBatch(_) => "stateful_batch",
            Self::TimedBatch(_) => "timed_batch",
        }
    }

    /// How many streams it takes (`None`: one or more) and makes.
    fn arity(&self) -> (Option<usize>, usize) {
        match self {
            Self::Input(_) => (Some(0), 1),
            Self::Output(_) => (Some(1), 0),
            Self::Branch(_) => (Some(1), 2),
            Self::Merge => (None, 1),
            Self::FlatMapBatch(_)
            | Self::Redistribute
            | Self::InspectDebug(_)
            | Self::StatefulBatch(_)
            | Self::TimedBatch(_) => (Some(1), 1),
        }
    }
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No source.
    #[error(
        "dataflow `{flow_id}` has no input step, so it would have nothing to do; add one with `millstream.operators.input`"
    )]
    NoInput {
        /// The flow.
        flow_id: String,
    },
    /// Nobody would see any result.
    #[error(
        "dataflow `{flow_id}` has no output or inspect step, so nobody would see its results; add one with `millstream.operators.output`"
    )]
    NoOutput {
        /// The flow.
        flow_id: String,
    },
    /// Two steps with one id.
    #[error("step `{step}` exists twice; give each step an id of its own")]
    DuplicateStep {
        /// The id.
        step: StepId,
    },
    /// A stream from nowhere.
    #[error("step `{step}` takes stream `{stream}`, which no earlier step of this dataflow makes")]
    UnknownStream {
        /// The step that takes it.
        step: StepId,
        /// The stream.
        stream: StreamId,
    },
    /// Two makers of one stream.
    #[error("step `{step}` makes stream `{stream}`, which an earlier step makes already")]
    DuplicateStream {
        /// The second step that makes it.
        step: StepId,
        /// The stream.
        stream: StreamId,
    },
    /// A core operator with too few or too many streams.
    #[error("step `{step}` (`{operator}`) can't take {ups} streams and make {downs}")]
    Arity {
        /// The step.
        step: StepId,
        /// Its operator.
        operator: &'static str,
        /// How many streams it takes.
        ups: usize,
        /// How many streams it makes.
        downs: usize,
    },
}

impl<H: Host> Plan<H> {
    /// Checks that this dataflow can run.
    pub fn validate(&self) -> Result<(), PlanError> {
        let mut seen = Seen::default();
        for step in &self.steps {
            seen.visit(step)?;
        }
        let flow_id = || self.flow_id.clone();
        if !seen.has_input {
            return Err(PlanError::NoInput { flow_id: flow_id() });
        }
        if !seen.has_output {
            return Err(PlanError::NoOutput { flow_id: flow_id() });
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    steps: HashSet<StepId>,
    streams: HashSet<StreamId>,
    has_input: bool,
    has_output: bool,
}

impl Seen {
    fn visit<H: Host>(&mut self, step: &Step<H>) -> Result<(), PlanError> {
        if !self.steps.insert(step.id.clone()) {
            return Err(PlanError::DuplicateStep {
                step: step.id.clone(),
            });
        }
        if let Some(stream) = step.ups.iter().find(|up| !self.streams.contains(up)) {
            return Err(PlanError::UnknownStream {
                step: step.id.clone(),
                stream: stream.clone(),
            });
        }
        match &step.operator {
            Operator::Composed(steps) => steps.iter().try_for_each(|step| self.visit(step)),
            Operator::Core(core) => self.visit_core(step, core),
        }
    }

    fn visit_core<H: Host>(&mut self, step: &Step<H>, core: &Core<H>) -> Result<(), PlanError> {
        let (ups, downs) = core.arity();
        let fits = ups.map_or(!step.ups.is_empty(), |ups| step.ups.len() == ups);
        if !fits || step.downs.len() != downs {
            return Err(PlanError::Arity {
                step: step.id.clone(),
                operator: core.name(),
                ups: step.ups.len(),
                downs: step.downs.len(),
            });
        }
        for stream in &step.downs {
            if !self.streams.insert(stream.clone()) {
                return Err(PlanError::DuplicateStream {
                    step: step.id.clone(),
                    stream: stream.clone(),
                });
            }
        }
        self.has_input |= matches!(core, Core::Input(_));
        self.has_output |= matches!(core, Core::Output(_) | Core::InspectDebug(_));
        Ok(())
    }
}
