//! Crashes at any point, again and again, with other workers and other epochs each time.

use proptest::prelude::*;

use crate::counting::{Attempt, attempt, check};
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_exact_whatever_happened_before(
        partitions in 1_u32..4,
        items in prop::collection::vec(0_u8..6, 0..60),
        attempts in prop::collection::vec(one(), 1..6),
        mut last in one(),
    ) {
        let directory = new_store(partitions);
        for how in &attempts {
            attempt(directory.path(), &items, how);
        }
        last.crash = usize::MAX;
        prop_assert!(attempt(directory.path(), &items, &last));
        let (_, states) = resumed(opening(directory.path()));
        prop_assert_eq!(check(&states, &items), items.len());
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
    for workers in [1, 3, 2, 1, 2, 3] {
        let how = Attempt {
            workers,
            sizes: vec![5],
            turns: (0..workers as usize).collect(),
            crash: 3 * workers as usize,
            lingers: true,
        };
        attempt(directory.path(), &items, &how);
    }
    let to_the_end = Attempt {
        workers: 2,
        sizes: vec![4],
        turns: vec![0, 1],
        crash: usize::MAX,
        lingers: false,
    };
    assert!(attempt(directory.path(), &items, &to_the_end));
    let (_, states) = resumed(opening(directory.path()));
    assert_eq!(check(&states, &items), items.len());
}
