//! `redistribute`: spreads items over the workers.
//!
//! A batch is cut into as many pieces of equal length as there are workers; the
//! first piece goes to another worker each time, so that batches of one item are
//! spread as well. That is even, needs no random numbers, and moves items by the
//! batch.

use crate::batch::Batch;
use crate::context::Context;
use crate::host::Host;
use crate::physical::PhysicalOperator;
use crate::timely_ext::BatchStream;
use crate::timely_ext::exchange::{Parcel, exchange};
use crate::timely_ext::transform::address;

pub(crate) fn redistribute<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    up: BatchStream<'scope, H>,
) -> BatchStream<'scope, H> {
    let workers = context.workers;
    if workers == 1 {
        return up;
    }
    let sender = context.clone();
    let mut first = context.worker;
    let parcels = address(context, operator, up, move |scope, batch, out| {
        for piece in pieces(batch.into_items(scope), workers) {
            let piece = Batch::of_items(scope, piece);
            let piece = (piece.weight(scope), piece);
            let worker = first % workers;
            out.push(Parcel::new(&sender, scope, worker, sender.worker, piece)?);
            first += 1;
        }
        Ok(())
    });
    exchange(context, operator, parcels)
}

/// Cuts items into at most `count` pieces of about equal length.
fn pieces<T>(mut items: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::with_capacity(count);
    for left in (1..=count).rev() {
        let length = items.len().div_ceil(left);
        if length > 0 {
            pieces.push(items.split_off(items.len() - length));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pieces;

    proptest! {
        #[test]
        fn pieces_are_even_and_lose_nothing(items: Vec<u8>, count in 1_usize..6) {
            let cut = pieces(items.clone(), count);
            prop_assert!(cut.len() <= count);
            let lengths: Vec<_> = cut.iter().map(Vec::len).collect();
            if cut.len() == count {
                let (least, most) = (lengths.iter().min(), lengths.iter().max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1);
            } else {
                prop_assert!(lengths.iter().all(|&length| length == 1));
            }
            let again: Vec<u8> = cut.into_iter().rev().flatten().collect();
            prop_assert_eq!(again, items);
        }
    }
}
