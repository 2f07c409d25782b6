//! Crashes at any point, again and again, with other workers and other epochs each time.

use std::path::Path;

use proptest::prelude::*;

use crate::counting::{Attempt, attempt, check};
use crate::sink::Outbox;
use crate::support::{COUNT, Run, SOURCE, eventually, new_store, opening, resumed, row_count};

fn one() -> impl Strategy<Value = Attempt> {
    (
        1_u32..4,
        prop::collection::vec(1_usize..8, 1..6),
        prop::collection::vec(0_usize..3, 1..20),
        0_usize..40,
        any::<bool>(),
    )
        .prop_map(|(workers, sizes, turns, crash, lingers)| Attempt {
            workers,
            sizes,
            turns,
            crash,
            lingers,
        })
}

#[derive(Debug, Clone)]
struct Case {
    partitions: u32,
    items: Vec<u8>,
    attempts: Vec<Attempt>,
    last: Attempt,
}

fn case() -> impl Strategy<Value = Case> {
    (
        1_u32..4,
        prop::collection::vec(0_u8..6, 0..60),
        prop::collection::vec(one(), 1..6),
        one(),
    )
        .prop_map(|(partitions, items, attempts, last)| Case {
            partitions,
            items,
            attempts,
            last,
        })
}

fn check_case(case: &Case) {
    let directory = new_store(case.partitions);
    let outbox = Outbox::default();
    for how in &case.attempts {
        attempt(directory.path(), &case.items, &outbox, how);
    }
    finish(directory.path(), &case.items, &outbox, &case.last);
}

/// The last run, undisturbed.
fn finish(directory: &Path, items: &[u8], outbox: &Outbox, how: &Attempt) {
    let how = Attempt {
        crash: usize::MAX,
        ..how.clone()
    };
    assert!(attempt(directory, items, outbox, &how));
    let (_, states) = resumed(opening(directory));
    assert_eq!(check(&states, items), items.len());
    assert_eq!(outbox.published(), (0..items.len()).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_output_are_exact_whatever_happened_before(case in case()) {
        check_case(&case);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "thousands of crashes take minutes; for the nightly run"]
    fn counts_and_output_are_exact_in_thousands_of_histories(case in case()) {
        check_case(&case);
    }
}

/// A crash between the snapshot and the commit, a replay whose epochs fall differently, and a
/// second stop before the key is touched again.
#[test]
fn two_failures_in_a_row_count_nothing_twice() {
    let directory = new_store(2);
    let run = Run::begin(opening(directory.path()));
    // Five items of `k` in epoch 1 are written, and the epoch is never over.
    run.record(&[(COUNT, "k", 5), (SOURCE, "p", 5)]);
    eventually("the records were not written", || {
        row_count(directory.path()) == 2
    });
    run.session.abandon();

    // Now the input is slower: epoch 1 is over before `k` comes.
    let mut run = Run::begin(opening(directory.path()));
    assert_eq!(run.epoch, 1);
    assert_eq!(row_count(directory.path()), 0);
    run.commit(&[(SOURCE, "p", 0)]);
    run.session.abandon();

    let (epoch, states) = resumed(opening(directory.path()));
    assert_eq!(epoch, 2);
    assert_eq!(states, crate::support::states(&[(SOURCE, "p", 0)]));
}

/// Each run gets a little further, with another number of workers, and is then gone.
#[test]
fn any_number_of_workers_goes_on() {
    let directory = new_store(3);
    let items: Vec<u8> = (0..10).cycle().take(90).collect();
    let outbox = Outbox::default();
    let with = |workers: u32| Attempt {
        workers,
        sizes: vec![5],
        turns: (0..workers as usize).collect(),
        crash: 3 * workers as usize,
        lingers: true,
    };
    for workers in [1, 3, 2, 1, 2, 3] {
        attempt(directory.path(), &items, &outbox, &with(workers));
    }
    finish(directory.path(), &items, &outbox, &with(2));
}
