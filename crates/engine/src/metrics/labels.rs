//! For which steps operators count.
//!
//! Users know the steps that they have written. Several operators may run for one of these,
//! and one operator for several. What enters a step is counted by the first operator that sees
//! nothing but items of it, and what leaves it by the last; so the figures are the same
//! whatever was fused or replaced, but for steps in the midst of a fused run, which nobody sees
//! the ends of.

use std::collections::HashMap;

use crate::host::Host;
use crate::physical::{Kind, Physical, PhysicalOperator};
use crate::plan::{Core, StepId, StreamId};

/// For which steps an operator counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// The step whose items enter here, if they do.
    pub(crate) enters: Option<StepId>,
    /// The step whose items leave here, if they do.
    pub(crate) leaves: Option<StepId>,
    /// The step that everything else is of.
    pub(crate) step: Option<StepId>,
}

/// For which steps all operators count, by their ids.
pub(crate) fn labels<H: Host>(physical: &Physical<H>) -> HashMap<StepId, Labels> {
    let ends: Vec<(StepId, StepId)> = physical.operators.iter().map(ends_of).collect();
    let mut makers: HashMap<&StreamId, usize> = HashMap::new();
    let mut takers: HashMap<&StreamId, Vec<usize>> = HashMap::new();
    // Whether what an operator makes was counted as it entered the operator's last step.
    let mut has_entered: Vec<bool> = Vec::new();
    let mut enters = Vec::new();
    for (number, operator) in physical.operators.iter().enumerate() {
        let (first, last) = &ends[number];
        let is_inside = !operator.ups.is_empty()
            && operator.ups.iter().all(|up| {
                let maker = makers.get(up);
                maker.is_some_and(|&maker| has_entered[maker] && ends[maker].1 == *first)
            });
        let counts = !is_inside && !operator.ups.is_empty() && sees_items(operator);
        enters.push(counts);
        has_entered.push(first == last && (is_inside || counts));
        makers.extend(operator.downs.iter().map(|down| (down, number)));
        for up in &operator.ups {
            takers.entry(up).or_default().push(number);
        }
    }
    let leaves = |number: usize, operator: &PhysicalOperator<H>| {
        let mut downs = operator.downs.iter();
        sees_items(operator)
            && downs.any(|down| match takers.get(down) {
                None => true,
                Some(takers) => takers.iter().any(|&taker| ends[taker].0 != ends[number].1),
            })
    };
    let operators = physical.operators.iter().enumerate();
    operators
        .map(|(number, operator)| {
            let (first, last) = ends[number].clone();
            let labels = Labels {
                enters: enters[number].then_some(first),
                leaves: leaves(number, operator).then(|| last.clone()),
                step: Some(last),
            };
            (operator.id.clone(), labels)
        })
        .collect()
}

/// The first and the last step that an operator stands for.
fn ends_of<H: Host>(operator: &PhysicalOperator<H>) -> (StepId, StepId) {
    match &operator.kind {
        Kind::Fused(stages) => stages.first().zip(stages.last()),
        Kind::Core(_) => None,
    }
    .map_or_else(
        || (operator.written_as.clone(), operator.written_as.clone()),
        |(first, last)| (first.step.clone(), last.step.clone()),
    )
}

/// Whether items go through its hands; others only lead streams elsewhere.
fn sees_items<H: Host>(operator: &PhysicalOperator<H>) -> bool {
    !matches!(&operator.kind, Kind::Core(Core::Merge | Core::Redistribute))
}
