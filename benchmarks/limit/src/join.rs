//! W7: join two streams of the same keys, each key once on each side.

use hashbrown::HashMap;

use crate::input::Row;
use crate::sink::Sink;

/// How many rows of a side come at once.
const BATCH: usize = 1_000;

/// Whichever side comes first waits for the other.
pub fn run(left: &[Row], right: &[Row], sink: &mut Sink) {
    let mut left_waiting: HashMap<String, i64> = HashMap::new();
    let mut right_waiting: HashMap<String, i64> = HashMap::new();
    for (left, right) in left.chunks(BATCH).zip(right.chunks(BATCH)) {
        for Row { key, value } in left {
            if let Some(other) = right_waiting.remove(key) {
                sink.take(format_args!("{key}\t{value}\t{other}"));
            } else {
                left_waiting.insert(key.clone(), *value);
            }
        }
        for Row { key, value } in right {
            if let Some(other) = left_waiting.remove(key) {
                sink.take(format_args!("{key}\t{other}\t{value}"));
            } else {
                right_waiting.insert(key.clone(), *value);
            }
        }
    }
}
