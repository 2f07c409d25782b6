//! The driver against hand-made cases and against the reference.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::clock::Micros;
use crate::window::reference::{Cut, Events, Out, Reference};
use crate::window::testing::{Collect, Driver};
use crate::window::{
    Clock, END_OF_TIME, Event, KeyWindows, Metadata, START_OF_TIME, SessionIds, WindowStep,
    Windowing,
};

const TUMBLING: Cut = Cut::Sliding {
    length: 10,
    offset: 10,
    align_to: 0,
};

fn added(id: i64, value: u32) -> Event<u32, Out> {
    Event::Emit(id, Out::Added(value))
}

fn closed(id: i64, values: &[u32]) -> Event<u32, Out> {
    Event::Emit(id, Out::Closed(values.to_vec()))
}

fn meta(id: i64, open: i64, close: i64, merged: &[i64]) -> Event<u32, Out> {
    let merged = merged.to_vec();
    Event::Meta(
        id,
        Metadata {
            open,
            close,
            merged,
        },
    )
}

#[test]
fn key_at_rest_is_small() {
    assert_eq!(size_of::<KeyWindows<u32, Collect>>(), 32);
}

#[test]
fn value_is_late_although_its_window_is_open() {
    let mut driver = Driver::new(Clock::Event { wait: 0 }, TUMBLING, true, 0);
    let events = driver.on_batch(0, &[(5, 0), (3, 1)]);
    assert_eq!(events, [Event::Late(0, 1), added(0, 0)]);
}

#[test]
fn closed_window_stays_closed_when_the_key_was_at_rest() {
    let mut driver = Driver::new(Clock::Event { wait: 0 }, TUMBLING, true, 0);
    driver.on_batch(0, &[(5, 0)]);
    assert_eq!(driver.notify_at(), Some(5));
    assert_eq!(driver.on_notify(5), [closed(0, &[0]), meta(0, 0, 10, &[])]);
    assert!(driver.key.is_idle());
    assert_eq!(driver.notify_at(), None);
    assert_eq!(driver.on_batch(5, &[(9, 1)]), [Event::Late(0, 1)]);
    assert!(driver.key.is_idle());
}

#[test]
fn value_waits_for_the_watermark() {
    let mut driver = Driver::new(Clock::Event { wait: 4 }, TUMBLING, true, 100);
    assert_eq!(driver.on_batch(100, &[(7, 0), (5, 1), (7, 2)]), []);
    assert_eq!(driver.key.due_at(&driver.step), Some(5));
    assert_eq!(driver.notify_at(), Some(102));
    assert_eq!(driver.on_notify(102), [added(0, 1)]);
    assert_eq!(driver.notify_at(), Some(104));
    let events = driver.on_batch(103, &[(11, 3), (6, 4)]);
    assert_eq!(events, [Event::Late(0, 4), added(0, 0), added(0, 2)]);
    assert_eq!(
        driver.on_eof(),
        [
            added(1, 3),
            closed(0, &[1, 0, 2]),
            meta(0, 0, 10, &[]),
            closed(1, &[3]),
            meta(1, 10, 20, &[]),
        ]
    );
    assert!(driver.key.is_idle());
}

#[test]
fn late_value_missed_all_its_sliding_windows() {
    let cut = Cut::Sliding {
        length: 10,
        offset: 5,
        align_to: 0,
    };
    let mut driver = Driver::new(Clock::Event { wait: 0 }, cut, false, 0);
    let events = driver.on_batch(0, &[(12, 0), (6, 1)]);
    let expected = [
        Event::Late(0, 1),
        Event::Late(1, 1),
        added(1, 0),
        added(2, 0),
    ];
    assert_eq!(events, expected);
}

#[test]
fn sessions_merge_through_others() {
    let clock = Clock::Event { wait: 1_000 };
    let mut driver = Driver::new(clock, Cut::Session { gap: 10 }, false, 0);
    let events = driver.on_batch(0, &[(100, 0), (120, 1), (140, 2), (130, 3), (110, 4)]);
    let merged =
        |id, own: &[u32], later: &[u32]| Event::Emit(id, Out::Merged(own.to_vec(), later.to_vec()));
    assert_eq!(
        events,
        [
            added(0, 0),
            added(1, 1),
            added(2, 2),
            added(1, 3),
            merged(1, &[1, 3], &[2]),
            added(0, 4),
            merged(0, &[0, 4], &[1, 3, 2]),
        ]
    );
    assert_eq!(
        driver.on_eof(),
        [closed(0, &[0, 4, 1, 3, 2]), meta(0, 100, 140, &[1, 2])]
    );
}

#[test]
fn session_ids_go_on_after_the_key_was_at_rest() {
    let clock = Clock::Event { wait: 0 };
    let mut driver = Driver::new(clock, Cut::Session { gap: 10 }, true, 0);
    driver.on_batch(0, &[(100, 0)]);
    assert_eq!(driver.notify_at(), Some(11));
    driver.on_notify(11);
    assert!(driver.key.is_idle());
    let events = driver.on_batch(11, &[(110, 1), (111, 2)]);
    assert_eq!(events, [Event::Late(-1, 1), added(1, 2)]);
}

#[test]
fn windows_close_after_all_values_were_taken() {
    let clock = Clock::Event { wait: i64::MAX };
    let mut driver = Driver::new(clock, Cut::Session { gap: 10 }, true, 0);
    assert_eq!(driver.on_batch(0, &[(111, 0), (100, 1)]), []);
    assert_eq!(
        driver.on_eof(),
        [
            added(0, 1),
            added(1, 0),
            closed(0, &[1]),
            meta(0, 100, 100, &[]),
            closed(1, &[0]),
            meta(1, 111, 111, &[]),
        ]
    );
}

#[test]
fn value_at_the_end_of_time_waits_for_the_end_of_input() {
    let mut driver = Driver::new(Clock::Event { wait: 0 }, TUMBLING, true, 0);
    assert_eq!(driver.on_batch(0, &[(END_OF_TIME, 0), (i64::MAX, 1)]), []);
    assert_eq!(driver.notify_at(), None);
    assert_eq!(driver.on_notify(i64::MAX), []);
    let id = END_OF_TIME / 10;
    assert_eq!(
        driver.on_eof(),
        [
            added(id, 0),
            added(id, 1),
            closed(id, &[0, 1]),
            meta(id, END_OF_TIME - 9, END_OF_TIME, &[]),
        ]
    );
}

#[test]
fn system_clock_takes_values_at_once() {
    let mut driver = Driver::new(Clock::System, TUMBLING, true, 12);
    assert_eq!(driver.on_batch(12, &[(999, 0)]), [added(1, 0)]);
    assert_eq!(driver.on_batch(3, &[(0, 1)]), [added(1, 1)]);
    assert_eq!(driver.notify_at(), Some(20));
    assert_eq!(
        driver.on_notify(20),
        [closed(1, &[0, 1]), meta(1, 10, 20, &[])]
    );
}

#[test]
fn late_value_closes_its_window_again() {
    let clock = Clock::Event { wait: 0 };
    for ordered in [true, false] {
        let mut driver = Driver::with_lateness(clock, TUMBLING, 5, ordered, 0);
        let events = driver.on_batch(0, &[(7, 0), (12, 1)]);
        assert_eq!(
            events,
            [
                added(0, 0),
                added(1, 1),
                closed(0, &[0]),
                meta(0, 0, 10, &[])
            ]
        );
        // Twice in one turn, but it closes once; then nothing changes.
        let events = driver.on_batch(0, &[(9, 2), (8, 3)]);
        let (first, second) = if ordered { (3, 2) } else { (2, 3) };
        assert_eq!(
            events,
            [
                added(0, first),
                added(0, second),
                closed(0, &[0, first, second]),
                meta(0, 0, 10, &[]),
            ]
        );
        assert_eq!(
            driver.on_batch(0, &[(12, 4), (6, 5)]),
            [Event::Late(0, 5), added(1, 4)]
        );
        assert_eq!(driver.notify_at(), Some(3));
        assert_eq!(driver.on_notify(3), []);
        assert_eq!(driver.on_batch(3, &[(9, 6)]), [Event::Late(0, 6)]);
        assert_eq!(driver.notify_at(), Some(8));
        assert_eq!(
            driver.on_notify(8),
            [closed(1, &[1, 4]), meta(1, 10, 20, &[])]
        );
        assert_eq!(driver.notify_at(), Some(13));
        assert_eq!(driver.on_notify(13), []);
        assert!(driver.key.is_idle());
    }
}

#[test]
fn closed_sessions_are_extended_and_merged() {
    let clock = Clock::Event { wait: 0 };
    let mut driver = Driver::with_lateness(clock, Cut::Session { gap: 5 }, 20, true, 0);
    let events = driver.on_batch(0, &[(0, 0), (8, 1), (15, 2)]);
    assert_eq!(
        events,
        [
            added(0, 0),
            added(1, 1),
            added(2, 2),
            closed(0, &[0]),
            meta(0, 0, 0, &[]),
            closed(1, &[1]),
            meta(1, 8, 8, &[]),
        ]
    );
    // Two sessions that have closed become one, which closes again at once.
    let merged =
        |id, own: &[u32], later: &[u32]| Event::Emit(id, Out::Merged(own.to_vec(), later.to_vec()));
    assert_eq!(
        driver.on_batch(0, &[(4, 3)]),
        [
            added(0, 3),
            merged(0, &[0, 3], &[1]),
            closed(0, &[0, 3, 1]),
            meta(0, 0, 8, &[1]),
        ]
    );
    // It grows beyond the watermark, so it is open once more.
    assert_eq!(
        driver.on_batch(0, &[(12, 4)]),
        [added(0, 4), merged(0, &[0, 3, 1, 4], &[2])]
    );
    assert_eq!(driver.notify_at(), Some(6));
    assert_eq!(
        driver.on_notify(6),
        [closed(0, &[0, 3, 1, 4, 2]), meta(0, 0, 15, &[1, 2])]
    );
}

#[test]
fn nobody_listening_costs_no_events() {
    let windowing = Windowing {
        clock: Clock::Event { wait: 0 },
        windower: TUMBLING.into(),
        lateness: 0,
        ordered: true,
        wants_late: false,
        wants_meta: false,
        session_ids: SessionIds::Counts,
    };
    let mut step = WindowStep::new(windowing, Collect);
    let mut key = KeyWindows::new(Micros(0));
    let mut events = Vec::new();
    let values = [(5, 0), (3, 1), (10, 2)].map(Ok);
    key.on_batch(&mut step, (), Micros(0), values, &mut events)
        .unwrap();
    assert_eq!(events, [added(0, 0), added(1, 2), closed(0, &[0])]);
}

#[test]
fn any_timestamp_can_be_taken() {
    let ends = [i64::MIN, START_OF_TIME, 0, END_OF_TIME, i64::MAX];
    let huge = Cut::Sliding {
        length: i64::MAX,
        offset: i64::MAX,
        align_to: 0,
    };
    for cut in [TUMBLING, huge, Cut::Session { gap: i64::MAX }] {
        for (wait, lateness) in [(0, 0), (i64::MAX, 0), (0, i64::MAX)] {
            for ordered in [true, false] {
                let clock = Clock::Event { wait };
                let mut driver = Driver::with_lateness(clock, cut, lateness, ordered, i64::MIN);
                let mut events = Events::new();
                for (value, timestamp) in (0..).zip(ends) {
                    events.extend(driver.on_batch(i64::MIN, &[(timestamp, value)]));
                    driver.notify_at();
                }
                events.extend(driver.on_notify(i64::MAX));
                assert_eq!(driver.notify_at(), None);
                events.extend(driver.on_eof());
                let seen =
                    |event: &&_| matches!(event, Event::Late(..) | Event::Emit(_, Out::Added(_)));
                assert_eq!(events.iter().filter(seen).count(), ends.len());
                assert!(driver.key.is_idle());
            }
        }
    }
}

/// What happens to a key.
#[derive(Clone, Debug)]
enum Action {
    Batch(i64, Vec<i64>),
    Notify(i64),
    /// Whatever `notify_at` says.
    Wake,
}

fn timestamps() -> impl Strategy<Value = i64> {
    const DAY: i64 = 86_400_000_000;
    prop_oneof![
        20 => 0..150_i64,
        2 => -1_000_000..1_000_000_i64,
        // A date in a zone of its own may lie a day beyond the ends.
        1 => START_OF_TIME - DAY..START_OF_TIME + DAY,
        1 => END_OF_TIME - DAY..=END_OF_TIME + DAY,
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (-3..20_i64, proptest::collection::vec(timestamps(), 0..8))
            .prop_map(|(passed, values)| Action::Batch(passed, values)),
        1 => (-3..60_i64).prop_map(Action::Notify),
        2 => Just(Action::Wake),
    ];
    proptest::collection::vec(action, 0..20)
}

fn clocks() -> impl Strategy<Value = Clock> {
    prop_oneof![
        1 => Just(Clock::System),
        4 => (0..60_i64).prop_map(|wait| Clock::Event { wait }),
        1 => Just(Clock::Event { wait: i64::MAX }),
    ]
}

fn latenesses() -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => Just(0),
        3 => 0..60_i64,
        1 => Just(i64::MAX),
    ]
}

fn cuts() -> impl Strategy<Value = Cut> {
    prop_oneof![
        (1..40_i64, -50..50_i64).prop_map(|(length, align_to)| Cut::Sliding {
            length,
            offset: length,
            align_to
        }),
        (1..15_i64, 0..40_i64, -50..50_i64).prop_map(|(offset, more, align_to)| Cut::Sliding {
            length: offset + more,
            offset,
            align_to
        }),
        (0..12_i64).prop_map(|gap| Cut::Session { gap }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The driver does exactly what the reference does, in the same order.
    #[test]
    fn agrees_with_the_reference(
        clock in clocks(),
        cut in cuts(),
        lateness in latenesses(),
        ordered in any::<bool>(),
        actions in actions(),
    ) {
        let mut now = 1_000;
        let mut numbers = 0..;
        let mut driver = Driver::with_lateness(clock, cut, lateness, ordered, now);
        let mut reference = Reference::new(clock, cut, lateness, ordered, now);
        for action in actions {
            match action {
                Action::Batch(passed, timestamps) => {
                    now += passed;
                    let values: Vec<_> = timestamps.into_iter().zip(&mut numbers).collect();
                    prop_assert_eq!(driver.on_batch(now, &values), reference.on_batch(now, &values));
                }
                Action::Notify(passed) => {
                    now += passed;
                    prop_assert_eq!(driver.on_notify(now), reference.on_notify(now));
                }
                Action::Wake => if let Some(at) = driver.notify_at() {
                    now = now.max(at);
                    prop_assert_eq!(driver.on_notify(at), reference.on_notify(at));
                    // Else the engine would notify it again and again.
                    prop_assert!(driver.notify_at().is_none_or(|next| next > at));
                },
            }
            prop_assert_eq!(driver.notify_at(), reference.notify_at());
        }
        prop_assert_eq!(driver.on_eof(), reference.on_eof());
        prop_assert!(driver.key.is_idle());
    }

    /// Where batches are cut makes no difference to what windows hold.
    #[test]
    fn batches_may_be_cut_anywhere(
        wait in 0..60_i64,
        cut in cuts(),
        lateness in latenesses(),
        ordered in any::<bool>(),
        timestamps in proptest::collection::vec(0..150_i64, 0..30),
        cuts in proptest::collection::vec(1..8_usize, 30),
    ) {
        let clock = Clock::Event { wait };
        let values: Vec<(i64, u32)> = timestamps.into_iter().zip(0..).collect();
        let mut whole = Driver::with_lateness(clock, cut, lateness, ordered, 0);
        let mut expected = whole.on_batch(0, &values);
        expected.extend(whole.on_eof());
        let mut pieces = Driver::with_lateness(clock, cut, lateness, ordered, 0);
        let mut events = Vec::new();
        let mut rest = &values[..];
        for piece in cuts {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            events.extend(pieces.on_batch(0, now));
            rest = later;
        }
        events.extend(pieces.on_eof());
        if lateness == 0 {
            prop_assert_eq!(closes(&events), closes(&expected));
        } else {
            prop_assert_eq!(last_results(&events), last_results(&expected));
        }
    }

    /// A session is a run of values with no more than the gap in between.
    #[test]
    fn sessions_are_runs_of_values(
        gap in 0..12_i64,
        ordered in any::<bool>(),
        timestamps in proptest::collection::vec(0..150_i64, 1..30),
    ) {
        let clock = Clock::Event { wait: i64::MAX };
        let values: Vec<(i64, u32)> = timestamps.iter().copied().zip(0..).collect();
        let mut driver = Driver::new(clock, Cut::Session { gap }, ordered, 0);
        let mut events = driver.on_batch(0, &values);
        events.extend(driver.on_eof());
        let mut bounds: Vec<(i64, i64)> = events.iter().filter_map(|event| match event {
            Event::Meta(_, metadata) => Some((metadata.open, metadata.close)),
            _ => None,
        }).collect();
        bounds.sort_unstable();
        let mut times = timestamps;
        times.sort_unstable();
        let runs: Vec<(i64, i64)> = times
            .chunk_by(|earlier, later| later - earlier <= gap)
            .map(|run| (run[0], run[run.len() - 1]))
            .collect();
        prop_assert_eq!(bounds, runs);
    }
}

/// What windows held when they closed, whichever closed first.
fn closes(events: &Events) -> Vec<(i64, Vec<u32>)> {
    let mut closes: Vec<(i64, Vec<u32>)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Emit(id, Out::Closed(values)) => Some((*id, values.clone())),
            _ => None,
        })
        .collect();
    closes.sort_unstable();
    closes
}

/// What the windows held in the end, but for the order of values, as they are taken
/// when they come, and for the ids of sessions, as these count the openings.
fn last_results(events: &Events) -> Vec<Vec<u32>> {
    let mut results = BTreeMap::new();
    for event in events {
        match event {
            Event::Emit(id, Out::Closed(values)) => {
                let mut values = values.clone();
                values.sort_unstable();
                results.insert(*id, values);
            }
            Event::Meta(_, metadata) => {
                for id in &metadata.merged {
                    results.remove(id);
                }
            }
            _ => {}
        }
    }
    let mut results: Vec<_> = results.into_values().collect();
    results.sort_unstable();
    results
}
