//! What a coordinator answers, fact by fact.

use super::*;
use crate::id::Generation;

const SEQUENCE: WriteSequence = WriteSequence(1);

/// Two workers, two partitions, and this many partitions of two-phase sinks.
fn coordinator(sinks: u32) -> Coordinator {
    let participants = Participants {
        workers: 2,
        partitions: 2,
        sinks,
    };
    Coordinator::new(participants, Epoch::FIRST)
}

fn passed(worker: u32, frontier: Frontier) -> Fact {
    Fact::Passed {
        worker: WorkerIndex(worker),
        frontier,
    }
}

fn at(worker: u32, epoch: u64) -> Fact {
    passed(worker, Frontier::At(Epoch(epoch)))
}

fn finished(worker: u32, last: u64) -> Fact {
    passed(worker, Frontier::Finished { last: Epoch(last) })
}

fn durable(partition: u32, frontier: Frontier) -> Fact {
    Fact::Durable {
        partition: StorePartition(partition),
        frontier,
        sequence: SEQUENCE,
    }
}

/// Durable are all epochs before this one.
fn durable_at(partition: u32, epoch: u64) -> Fact {
    durable(partition, Frontier::At(Epoch(epoch)))
}

fn durable_to_the_end(partition: u32, last: u64) -> Fact {
    durable(partition, Frontier::Finished { last: Epoch(last) })
}

fn committed(epoch: u64) -> Fact {
    Fact::Committed {
        epoch: Epoch(epoch),
    }
}

fn commit(epoch: u64) -> Action {
    Action::WriteCommit {
        epoch: Epoch(epoch),
        sequences: vec![(StorePartition(0), SEQUENCE), (StorePartition(1), SEQUENCE)],
    }
}

fn collect(through: u64) -> Action {
    Action::Collect {
        through: Epoch(through),
    }
}

/// What is answered to all of these, in order.
fn on_all(coordinator: &mut Coordinator, facts: impl IntoIterator<Item = Fact>) -> Vec<Action> {
    facts
        .into_iter()
        .flat_map(|fact| coordinator.on(fact))
        .collect()
}

#[test]
fn commit_waits_for_every_worker_and_every_partition() {
    let facts = [at(0, 2), at(1, 2), durable_at(0, 2), durable_at(1, 2)];
    for last in 0..facts.len() {
        let mut coordinator = coordinator(0);
        let mut facts = facts.to_vec();
        let missing = facts.remove(last);
        assert_eq!(on_all(&mut coordinator, facts), []);
        assert_eq!(coordinator.on(missing), [commit(1)]);
    }
}

#[test]
fn greatest_possible_epoch_is_committed_and_one_at_a_time() {
    let mut coordinator = coordinator(0);
    let facts = [at(0, 6), at(1, 4), durable_at(0, 6), durable_at(1, 4)];
    assert_eq!(on_all(&mut coordinator, facts), [commit(3)]);
    let more = [at(1, 6), durable_at(1, 5)];
    assert_eq!(on_all(&mut coordinator, more), []);
    assert_eq!(coordinator.on(committed(3)), [collect(3), commit(4)]);
    assert_eq!(coordinator.resume_epoch(), Epoch(4));
}

#[test]
fn facts_may_come_twice_or_late() {
    let mut coordinator = coordinator(0);
    let facts = [
        at(0, 4),
        at(1, 4),
        at(1, 2),
        durable_at(0, 4),
        durable_at(1, 4),
    ];
    assert_eq!(on_all(&mut coordinator, facts), [commit(3)]);
    let late = [durable_at(1, 2), at(0, 2), committed(2)];
    assert_eq!(on_all(&mut coordinator, late), []);
    assert_eq!(coordinator.on(committed(3)), [collect(3)]);
    assert_eq!(coordinator.on(committed(3)), []);
}

#[test]
fn strangers_are_ignored() {
    let mut coordinator = coordinator(0);
    assert_eq!(on_all(&mut coordinator, [at(2, 9), durable_at(2, 9)]), []);
    assert_eq!(coordinator, self::coordinator(0));
}

#[test]
fn end_waits_for_the_last_epoch_of_any_worker() {
    let mut coordinator = coordinator(0);
    let facts = [finished(0, 3), at(1, 2), durable_at(0, 2), durable_at(1, 2)];
    assert_eq!(on_all(&mut coordinator, facts), [commit(1)]);
    let facts = [committed(1), finished(1, 2), durable_to_the_end(0, 1)];
    assert_eq!(on_all(&mut coordinator, facts), [collect(1)]);
    assert_eq!(coordinator.on(durable_to_the_end(1, 2)), [commit(3)]);
    assert_eq!(coordinator.on(committed(3)), [collect(3), Action::Finish]);
    assert_eq!(coordinator.on(durable_at(0, 4)), []);
}

#[test]
fn drain_stops_the_sources_once() {
    let mut coordinator = coordinator(0);
    assert_eq!(coordinator.on(Fact::DrainAsked), [Action::StopSources]);
    assert_eq!(coordinator.on(Fact::DrainAsked), []);
    let facts = [
        finished(0, 1),
        finished(1, 1),
        durable_to_the_end(0, 1),
        durable_to_the_end(1, 1),
    ];
    assert_eq!(on_all(&mut coordinator, facts), [commit(1)]);
    assert_eq!(coordinator.on(committed(1)), [collect(1), Action::Finish]);
}

#[test]
fn first_reason_ends_it() {
    let mut coordinator = coordinator(0);
    let fenced = Abort::Fenced {
        mine: Generation(1),
        holder: Generation(2),
    };
    let lost = Abort::PeerLost {
        peer: 1,
        cause: "connection reset".to_owned(),
    };
    let facts = [Fact::Failed(fenced.clone()), Fact::Failed(lost)];
    assert_eq!(on_all(&mut coordinator, facts), [Action::Abort(fenced)]);
    let facts = [at(0, 2), at(1, 2), durable_at(0, 2), durable_at(1, 2)];
    assert_eq!(on_all(&mut coordinator, facts), []);
}

#[cfg(not(feature = "unsound-sinks-do-not-gate"))]
mod two_phase_sinks {
    use super::*;

    fn prepared_to_the_end(last: u64) -> Fact {
        Fact::Prepared {
            sink: SinkPartition(0),
            frontier: Frontier::Finished { last: Epoch(last) },
        }
    }

    fn published(through: u64) -> Fact {
        Fact::Published {
            sink: SinkPartition(0),
            through: Epoch(through),
        }
    }

    #[test]
    fn two_phase_sink_holds_back_the_commit_and_the_end() {
        let mut coordinator = coordinator(1);
        let facts = [
            finished(0, 2),
            finished(1, 1),
            durable_to_the_end(0, 2),
            durable_to_the_end(1, 2),
        ];
        assert_eq!(on_all(&mut coordinator, facts), []);
        assert_eq!(coordinator.on(prepared_to_the_end(1)), [commit(2)]);
        let publish = Action::Publish { through: Epoch(2) };
        assert_eq!(coordinator.on(committed(2)), [publish, collect(2)]);
        // The sink has nothing of the last epoch.
        assert_eq!(coordinator.on(published(1)), [Action::Finish]);
    }

    #[test]
    fn sink_that_may_have_more_publishes_all_that_is_committed() {
        let mut coordinator = coordinator(1);
        let facts = [
            finished(0, 2),
            finished(1, 1),
            durable_to_the_end(0, 2),
            durable_to_the_end(1, 2),
            prepared_to_the_end(2),
            committed(2),
            published(1),
        ];
        let actions = on_all(&mut coordinator, facts);
        assert!(!actions.contains(&Action::Finish), "{actions:?}");
        assert_eq!(coordinator.unfinished_sinks(), [SinkPartition(0)]);
        assert_eq!(coordinator.on(published(2)), [Action::Finish]);
    }

    /// A resumed dataflow whose sources had ended commits one more epoch, and ends.
    #[test]
    fn execution_without_input_ends() {
        let participants = Participants {
            workers: 1,
            partitions: 1,
            sinks: 1,
        };
        let mut coordinator = Coordinator::new(participants, Epoch(5));
        let facts = [
            finished(0, 5),
            prepared_to_the_end(5),
            durable_to_the_end(0, 5),
        ];
        let actions = on_all(&mut coordinator, facts);
        assert!(matches!(
            actions[..],
            [Action::WriteCommit {
                epoch: Epoch(5),
                ..
            }]
        ));
        coordinator.on(committed(5));
        assert_eq!(coordinator.on(published(5)), [Action::Finish]);
    }
}
