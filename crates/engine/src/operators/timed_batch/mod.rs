//! `timed_batch`: logic and state for each key of a stream that has one watermark.
//!
//! Two operators. Before values go to the workers that own their keys, [`stamp`] notes
//! their timestamps, and tells *all* workers how far each lane has come: a worker must
//! know of values that it doesn't get. Behind the exchange, [`turns`] makes one
//! watermark of what it is told, and calls the keys that have values or are due by it.

mod stamp;
mod turns;

pub(crate) use turns::watermark_step;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::Accountable;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::batch::Batch;
use crate::context::Context;
use crate::encoding;
use crate::host::{Failure, Host};
use crate::lane::Lane;
use crate::logic::TimedBatch;
use crate::metrics::Role;
use crate::operators::stateful_batch::outputs::Outputs;
use crate::operators::timed_batch::stamp::stamp;
use crate::operators::timed_batch::turns::Turns;
use crate::physical::PhysicalOperator;
use crate::timely_ext::exchange::{Pack, Parcel, by_address};
use crate::timely_ext::in_epochs::{InEpochs, Next};
use crate::timely_ext::receive::receive;
use crate::timely_ext::timer::Timer;
use crate::timely_ext::{BatchStream, Time};

/// What a worker tells the others about what comes by its lanes.
enum News<H: Host> {
    /// These are all of its lanes, with the names of those that have one.
    Begins(Vec<(Lane, Option<String>)>),
    /// A lane brought values.
    Values {
        lane: Lane,
        /// The latest timestamp that it ever brought.
        furthest: i64,
        /// Those of the values whose keys the receiver owns.
        pairs: StampedPairs<H>,
    },
    /// Nothing comes by a lane any more.
    Ends(Lane),
}

/// A value, and when it was.
struct Stamped<H: Host> {
    timestamp: i64,
    /// The latest timestamp that its lane had brought, this one included.
    furthest: i64,
    value: H::Item,
}

/// Keys, and their values.
type StampedPairs<H> = Vec<(<H as Host>::Key, Stamped<H>)>;

impl<H: Host> Default for News<H> {
    fn default() -> Self {
        Self::Begins(Vec::new())
    }
}

impl<H: Host> Accountable for News<H> {
    /// Each counts, or timely could take its epoch to be over.
    fn record_count(&self) -> i64 {
        match self {
            Self::Values { pairs, .. } => i64::try_from(pairs.len()).unwrap_or(i64::MAX).max(1),
            Self::Begins(_) | Self::Ends(_) => 1,
        }
    }
}

/// The part of some news that is the engine's own.
#[derive(Serialize, Deserialize)]
enum Notice {
    Begins(Vec<(u32, Option<String>)>),
    Values {
        lane: u32,
        furthest: i64,
        /// Of each value, its timestamp and the latest of its lane.
        timestamps: Vec<(i64, i64)>,
    },
    Ends(u32),
}

impl<H: Host> Pack<H> for News<H> {
    fn pack(self, scope: H::Scope<'_>) -> Result<Vec<u8>, Failure<H>> {
        let mut keyed = Vec::new();
        let notice = match self {
            Self::Begins(lanes) => Notice::Begins(
                lanes
                    .into_iter()
                    .map(|(lane, name)| (lane.0, name))
                    .collect(),
            ),
            Self::Ends(lane) => Notice::Ends(lane.0),
            Self::Values {
                lane,
                furthest,
                pairs,
            } => {
                let mut timestamps = Vec::with_capacity(pairs.len());
                keyed.reserve(pairs.len());
                for (key, stamped) in pairs {
                    timestamps.push((stamped.timestamp, stamped.furthest));
                    keyed.push((key, stamped.value));
                }
                Notice::Values {
                    lane: lane.0,
                    furthest,
                    timestamps,
                }
            }
        };
        let pairs = H::pack(scope, Batch::Keyed(keyed))?;
        Ok(encoding::join(&notice, &pairs))
    }

    fn unpack(scope: H::Scope<'_>, bytes: &[u8]) -> Result<Self, Failure<H>> {
        let (notice, pairs) =
            encoding::split(bytes).map_err(|error| H::no_crossing(scope, error))?;
        Ok(match notice {
            Notice::Begins(lanes) => {
                let named = |(lane, name)| (Lane(lane), name);
                Self::Begins(lanes.into_iter().map(named).collect())
            }
            Notice::Ends(lane) => Self::Ends(Lane(lane)),
            Notice::Values {
                lane,
                furthest,
                timestamps,
            } => {
                let Batch::Keyed(keyed) = H::unpack(scope, pairs)? else {
                    return Err(H::no_crossing(scope, "values without keys".to_owned()));
                };
                let stamped = |((key, value), (timestamp, furthest))| {
                    let stamped = Stamped {
                        timestamp,
                        furthest,
                        value,
                    };
                    (key, stamped)
                };
                Self::Values {
                    lane: Lane(lane),
                    furthest,
                    pairs: keyed.into_iter().zip(timestamps).map(stamped).collect(),
                }
            }
        })
    }
}

pub(crate) fn timed_batch<'scope, H: Host>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    builder: &Arc<dyn TimedBatch<H>>,
    wanted: &[bool],
    up: BatchStream<'scope, H>,
) -> Vec<BatchStream<'scope, H>> {
    let news = stamp(context, operator, builder, up);
    if context.workers == 1 {
        listen(context, operator, builder, wanted, news, Pipeline)
    } else {
        listen(context, operator, builder, wanted, news, by_address())
    }
}

/// Calls keys as the news come in, and as time passes.
fn listen<'scope, H, P>(
    context: &Context<H>,
    operator: &PhysicalOperator<H>,
    builder: &Arc<dyn TimedBatch<H>>,
    wanted: &[bool],
    news: Stream<'scope, Time, Parcel<News<H>>>,
    pact: P,
) -> Vec<BatchStream<'scope, H>>
where
    H: Host,
    P: ParallelizationContract<Time, Parcel<News<H>>>,
{
    let scope = news.scope();
    let mut operator_builder = OperatorBuilder::new(operator.id.to_string(), scope);
    let mut timer = Timer::new(scope.activator_for(operator_builder.operator_info().address));
    let mut input = operator_builder.new_input(news, pact);
    operator_builder.set_notify_for(0, FrontierInterest::Always);
    let figures = context.figures(&operator.id, Role::Stateful);
    let count = wanted.len();
    let (mut outputs, downs) = Outputs::add(context, &figures, &mut operator_builder, count);

    let mut turns = Turns::new(context, operator, figures, builder, wanted);
    turns.attempt(Turns::restore);
    // When to look whether a key is due.
    let mut look_at: Option<Duration> = None;
    let context = context.clone();
    operator_builder.build(move |capabilities| {
        // Held at the epoch at hand, one for each output, to emit what time and the end bring.
        let mut held = capabilities;
        let mut epochs = InEpochs::new(context.shared.first_epoch, context.recorder.is_some());
        move |frontiers| {
            let mut arrivals = receive(&mut input);
            if !turns.have_all_begun() && !arrivals.is_empty() {
                turns.attempt(|turns, scope| turns.hear_of_lanes(scope, &mut arrivals));
            }
            epochs.add(arrivals);
            let frontier = frontiers[0].frontier().first().copied();
            let has_ended = frontier.is_none() && !held.is_empty();
            if context.is_halted() {
                held.clear();
                epochs.clear();
                return;
            }
            let now = context.shared.clock.monotonic();
            let is_due = look_at.is_some_and(|at| at <= now);
            let mut todo = Vec::new();
            if turns.have_all_begun() {
                todo.extend(std::iter::from_fn(|| epochs.next(frontier)));
            }
            if !todo.is_empty() || is_due || has_ended {
                turns.attempt(|turns, scope| {
                    for next in todo {
                        match next {
                            Next::Take(arrival) => turns.take(scope, arrival, &mut outputs)?,
                            Next::Close(epoch) => turns.close(scope, epoch)?,
                        }
                    }
                    if is_due || has_ended {
                        let open = epochs.open();
                        for held in &mut held {
                            held.downgrade(&open.0);
                        }
                        let (origin, made) = turns.pass(scope, open, has_ended)?;
                        outputs.give_held(&held, origin, made);
                    }
                    let wait = turns.next_look(scope)?;
                    look_at = wait.map(|wait| now.saturating_add(wait));
                    Ok(())
                });
            }
            for held in &mut held {
                held.downgrade(&epochs.open().0);
            }
            if has_ended {
                if context.shared.needs_lanes {
                    outputs.end(&held);
                }
                held.clear();
            } else if let Some(at) = look_at {
                timer.wake_after(at.saturating_sub(now), now);
            }
        }
    });
    downs
}
