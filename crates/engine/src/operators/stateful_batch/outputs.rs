//! The outputs of a step with state. What comes by them is one lane: the step mixes what
//! came by several.

use std::sync::Arc;

use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::lane::{Lane, Laned};
use crate::metrics::Figures;
use crate::operators::stateful_batch::emitting::Emitted;
use crate::spans::Origin;
use crate::timely_ext::{BatchStream, Time};

pub(crate) struct Outputs<H: Host> {
    ports: Vec<Output<Time, Laned<H>>>,
    lane: Lane,
    figures: Arc<Figures>,
}

impl<H: Host> Outputs<H> {
    /// Adds outputs to an operator.
    pub(crate) fn add<'scope>(
        context: &Context<H>,
        figures: &Arc<Figures>,
        builder: &mut OperatorBuilder<'scope, Time>,
        count: usize,
    ) -> (Self, Vec<BatchStream<'scope, H>>) {
        let lane = context.new_lane();
        let added = (0..count).map(|_| builder.new_output());
        let (ports, streams): (Vec<_>, Vec<_>) = added.unzip();
        let stream = |batches| BatchStream {
            batches,
            lanes: vec![lane],
        };
        let streams = streams.into_iter().map(stream).collect();
        let figures = Arc::clone(figures);
        let outputs = Self {
            ports,
            lane,
            figures,
        };
        (outputs, streams)
    }

    /// Sends on what keys emitted for what had arrived.
    pub(crate) fn give(
        &mut self,
        capability: &InputCapability<Time>,
        origin: Option<Origin>,
        made: Emitted<H>,
    ) {
        for (output, made) in self.ports.iter_mut().zip(made) {
            self.figures.items_out.add(made.len());
            let mut made = Laned::new(self.lane, origin, Batch::Keyed(made));
            output.activate().give(capability, &mut made);
        }
    }

    /// Says that nothing comes any more.
    pub(crate) fn end(&mut self, held: &[Capability<Time>]) {
        for (output, held) in self.ports.iter_mut().zip(held) {
            output.activate().give(held, &mut Laned::last(self.lane));
        }
    }

    /// Sends on what keys emitted by themselves; there is a capability for each output.
    pub(crate) fn give_held(
        &mut self,
        held: &[Capability<Time>],
        origin: Option<Origin>,
        made: Emitted<H>,
    ) {
        for ((output, made), held) in self.ports.iter_mut().zip(made).zip(held) {
            self.figures.items_out.add(made.len());
            let mut made = Laned::new(self.lane, origin, Batch::Keyed(made));
            output.activate().give(held, &mut made);
        }
    }
}
