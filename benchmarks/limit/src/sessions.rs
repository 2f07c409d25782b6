//! W6: how many events are in each session of a key.

use hashbrown::HashMap;

use crate::input::Event;
use crate::sink::Sink;
use crate::windows::WAIT;

const GAP: i64 = 30_000_000;

struct Session {
    first: i64,
    last: i64,
    count: u64,
}

struct Key {
    watermark: i64,
    sessions: Vec<Session>,
}

/// Counts events that are never further apart than the gap.
pub fn run(events: &[Event], sink: &mut Sink) {
    let mut keys: HashMap<String, Key> = HashMap::new();
    for event in events {
        let key = keys.entry_ref(event.key.as_str()).or_insert_with(|| Key {
            watermark: i64::MIN,
            sessions: Vec::new(),
        });
        if event.time < key.watermark {
            continue;
        }
        key.watermark = key.watermark.max(event.time - WAIT);
        close(&event.key, key, sink);
        add(&mut key.sessions, event.time);
    }
    for (name, mut key) in keys {
        key.watermark = i64::MAX;
        close(&name, &mut key, sink);
    }
}

/// Adds an event: to a session, to two that it makes one, or to one of its own.
fn add(sessions: &mut Vec<Session>, time: i64) {
    let near = |session: &Session| session.first - GAP <= time && time <= session.last + GAP;
    let Some(found) = sessions.iter().position(near) else {
        sessions.push(Session {
            first: time,
            last: time,
            count: 1,
        });
        return;
    };
    let next = sessions.iter().skip(found + 1).position(near);
    let other = next.map(|further| sessions.swap_remove(found + 1 + further));
    let session = &mut sessions[found];
    session.first = session.first.min(time);
    session.last = session.last.max(time);
    session.count += 1;
    if let Some(other) = other {
        session.first = session.first.min(other.first);
        session.last = session.last.max(other.last);
        session.count += other.count;
    }
}

fn close(name: &str, key: &mut Key, sink: &mut Sink) {
    let due = key.watermark.saturating_sub(GAP);
    key.sessions.retain(|session| {
        let open = session.last >= due;
        if !open {
            let count = session.count;
            sink.take(format_args!("{name}\t0\t{count}"));
        }
        open
    });
}
