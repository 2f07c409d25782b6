//! However fast the source and however long the epoch, what is in flight is bounded.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use millstream_engine::room::LEAST_WEIGHT;

use crate::integers::{Builder, settings};

static IN_FLIGHT: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

#[test]
fn fast_source_waits_for_a_slow_sink() {
    // Items weigh little, so the least weight counts.
    const ROOM: i64 = 1_000;
    const BATCH: i64 = 100;
    let mut flow = Builder::default();
    let numbers = flow.counter("in", 20_000, BATCH);
    let counted = flow.map("count", numbers, |items| {
        let many = i64::try_from(items.len()).unwrap();
        let now = IN_FLIGHT.fetch_add(many, Ordering::Relaxed) + many;
        MOST.fetch_max(now, Ordering::Relaxed);
        Ok(items)
    });
    let spread = flow.redistribute("spread", counted);
    let out = flow.collect_with(
        "out",
        spread,
        Some(|items| {
            std::thread::sleep(Duration::from_micros(200));
            IN_FLIGHT.fetch_sub(i64::try_from(items.len()).unwrap(), Ordering::Relaxed);
        }),
    );
    let mut settings = settings(2);
    settings.room = usize::try_from(ROOM).unwrap() * LEAST_WEIGHT;
    settings.epoch_interval = Duration::from_secs(60);
    flow.run_with(settings).unwrap();

    assert_eq!(out.items().len(), 40_000);
    let most = MOST.load(Ordering::Relaxed);
    // Each worker may have its room taken once more in the pipeline behind the queue.
    assert!(most <= 4 * ROOM, "{most} items were in flight");
}
