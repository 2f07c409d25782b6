//! The outputs of a step with state. What comes by them is one lane: the step mixes what
//! came by several.

use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::lane::{Lane, Laned};
use crate::operators::stateful_batch::emitting::Emitted;
use crate::timely_ext::{BatchStream, Time};

pub(crate) struct Outputs<H: Host> {
    outputs: Vec<Output<Time, Laned<H>>>,
    lane: Lane,
}

impl<H: Host> Outputs<H> {
    /// Adds outputs to an operator.
    pub(crate) fn add<'scope>(
        context: &Context<H>,
        builder: &mut OperatorBuilder<'scope, Time>,
        count: usize,
    ) -> (Self, Vec<BatchStream<'scope, H>>) {
        let lane = context.new_lane();
        let added = (0..count).map(|_| builder.new_output());
        let (outputs, streams): (Vec<_>, Vec<_>) = added.unzip();
        let stream = |batches| BatchStream {
            batches,
            lanes: vec![lane],
        };
        let streams = streams.into_iter().map(stream).collect();
        (Self { outputs, lane }, streams)
    }

    /// Sends on what keys emitted for what had arrived.
    pub(crate) fn give(&mut self, capability: &InputCapability<Time>, made: Emitted<H>) {
        for (output, made) in self.outputs.iter_mut().zip(made) {
            let mut made = Laned::new(self.lane, Batch::Keyed(made));
            output.activate().give(capability, &mut made);
        }
    }

    /// Says that nothing comes any more.
    pub(crate) fn end(&mut self, held: &[Capability<Time>]) {
        for (output, held) in self.outputs.iter_mut().zip(held) {
            output.activate().give(held, &mut Laned::last(self.lane));
        }
    }

    /// Sends on what keys emitted by themselves; there is a capability for each output.
    pub(crate) fn give_held(&mut self, held: &[Capability<Time>], made: Emitted<H>) {
        for ((output, made), held) in self.outputs.iter_mut().zip(made).zip(held) {
            let mut made = Laned::new(self.lane, Batch::Keyed(made));
            output.activate().give(held, &mut made);
        }
    }
}
