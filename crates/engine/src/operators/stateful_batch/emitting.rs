//! What keys emit in one activation, in the order of their text.
//!
//! Keys that were called in order have emitted in order. If they were called as they came,
//! what they emitted is put in order afterwards: often far fewer emit than are called.

use crate::batch::Pairs;
use crate::host::{Host, Key};
use crate::logic::{Emit, PORTS};
use crate::operators::stateful_batch::order::{Sorted, sort};

/// What keys have emitted, output by output.
pub(crate) type Emitted<H> = [Pairs<H>; PORTS];

/// What one key emitted to one output.
#[derive(Clone, Copy)]
struct Run {
    rank: Option<u32>,
    begin: usize,
    end: usize,
}

/// What is being emitted.
pub(super) struct Emitting<H: Host> {
    pairs: Emitted<H>,
    /// The runs of each output, unless they are in order as they come.
    runs: Option<[Vec<Run>; PORTS]>,
}

impl<H: Host> Emitting<H> {
    /// Nothing so far. `capacity` is how many items may well come on the first output.
    pub(super) fn new(is_in_order: bool, capacity: usize) -> Self {
        let mut pairs: Emitted<H> = std::array::from_fn(|_| Vec::new());
        if is_in_order {
            pairs[0].reserve(capacity);
        }
        Self {
            pairs,
            runs: (!is_in_order).then(|| std::array::from_fn(|_| Vec::new())),
        }
    }

    /// Takes what a key has emitted. Its rank is asked for only if it has emitted anything.
    #[inline]
    pub(super) fn take(
        &mut self,
        scope: H::Scope<'_>,
        key: &H::Key,
        rank: impl Fn() -> Option<u32>,
        emit: &mut Emit<H>,
    ) {
        for (port, (pairs, made)) in self.pairs.iter_mut().zip(&mut emit.ports).enumerate() {
            if made.is_empty() {
                continue;
            }
            let begin = pairs.len();
            pairs.extend(
                made.drain(..)
                    .map(|value| (H::clone_key(scope, key), value)),
            );
            if let Some(runs) = &mut self.runs {
                let (rank, end) = (rank(), pairs.len());
                runs[port].push(Run { rank, begin, end });
            }
        }
    }

    /// Takes what a key has emitted, and the key itself, which isn't needed any more.
    /// Only where all is in order as it comes: it notes no runs.
    pub(super) fn take_last(&mut self, scope: H::Scope<'_>, key: H::Key, emit: &mut Emit<H>) {
        let last = emit.ports[0].pop();
        self.take(scope, &key, || None, emit);
        self.pairs[0].extend(last.map(|value| (key, value)));
    }

    /// All of it in order, and how it was sorted: by what, and how many runs.
    pub(super) fn finish(mut self) -> (Emitted<H>, Sorted, usize) {
        let Some(runs) = &self.runs else {
            return (self.pairs, Sorted::ByRank, 0);
        };
        let mut by_text = 0;
        for (pairs, runs) in self.pairs.iter_mut().zip(runs) {
            if reorder::<H>(pairs, runs) == Sorted::ByText {
                by_text += runs.len();
            }
        }
        let sorted = if by_text > 0 {
            Sorted::ByText
        } else {
            Sorted::ByRank
        };
        (self.pairs, sorted, by_text)
    }
}

fn reorder<H: Host>(pairs: &mut Pairs<H>, runs: &[Run]) -> Sorted {
    let mut order: Vec<u32> = (0..).take(runs.len()).collect();
    let run = |number: u32| runs[number as usize];
    let sorted = sort(
        &mut order,
        |number| run(number).rank,
        |number| pairs[run(number).begin].0.as_str(),
    );
    if order.is_sorted() {
        return sorted;
    }
    let mut unordered: Vec<_> = pairs.drain(..).map(Some).collect();
    for number in order {
        let Run { begin, end, .. } = run(number);
        pairs.extend(unordered[begin..end].iter_mut().filter_map(Option::take));
    }
    sorted
}
