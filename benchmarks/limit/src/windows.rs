//! W4, W5: count and sum of each window of each key.
//!
//! Windows close by a watermark, as in a stream; values are added as they come, since
//! their order makes no difference to a sum.

use hashbrown::HashMap;

use crate::input::Event;
use crate::sink::Sink;

const SECOND: i64 = 1_000_000;
/// How long the watermark is behind the latest event of a key.
pub const WAIT: i64 = 10 * SECOND;
/// Midnight of 2024-01-01, UTC.
const START: i64 = 1_704_067_200 * SECOND;

/// How windows lie in time.
#[derive(Clone, Copy)]
pub struct Windower {
    length: i64,
    offset: i64,
}

/// W4.
pub const TUMBLING: Windower = Windower {
    length: 60 * SECOND,
    offset: 60 * SECOND,
};
/// W5.
pub const SLIDING: Windower = Windower {
    length: 60 * SECOND,
    offset: 10 * SECOND,
};

struct Window {
    id: i64,
    count: u64,
    total: f64,
}

struct Key {
    watermark: i64,
    next_close: i64,
    windows: Vec<Window>,
}

/// Folds events into windows.
pub fn run(events: &[Event], windower: Windower, sink: &mut Sink) {
    let mut keys: HashMap<String, Key> = HashMap::new();
    for event in events {
        let key = keys.entry_ref(event.key.as_str()).or_insert_with(|| Key {
            watermark: i64::MIN,
            next_close: i64::MAX,
            windows: Vec::new(),
        });
        if event.time < key.watermark {
            continue;
        }
        key.watermark = key.watermark.max(event.time - WAIT);
        if key.next_close <= key.watermark {
            close(&event.key, key, windower, sink);
        }
        add(key, event, windower);
    }
    for (name, mut key) in keys {
        key.watermark = i64::MAX;
        close(&name, &mut key, windower, sink);
    }
}

fn add(key: &mut Key, event: &Event, windower: Windower) {
    let last = (event.time - START).div_euclid(windower.offset);
    for id in last + 1 - windower.length / windower.offset..=last {
        if let Some(window) = key.windows.iter_mut().find(|window| window.id == id) {
            window.count += 1;
            window.total += event.value;
        } else {
            key.windows.push(Window {
                id,
                count: 1,
                total: event.value,
            });
            key.next_close = key.next_close.min(closes(id, windower));
        }
    }
}

fn close(name: &str, key: &mut Key, windower: Windower, sink: &mut Sink) {
    let mut next_close = i64::MAX;
    let watermark = key.watermark;
    key.windows.retain(|window| {
        let at = closes(window.id, windower);
        if at <= watermark {
            let Window { id, count, total } = window;
            sink.take(format_args!("{name}\t{id}\t{count}\t{total:?}"));
            return false;
        }
        next_close = next_close.min(at);
        true
    });
    key.next_close = next_close;
}

fn closes(id: i64, windower: Windower) -> i64 {
    START + id * windower.offset + windower.length
}
