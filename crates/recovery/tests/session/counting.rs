//! A small dataflow that counts the items of a source by key and passes them on to a two-phase
//! sink. What it resumes with is always the count of exactly the items before the position of the
//! source, and those are what the sink has published.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use millstream_recovery::id::{Epoch, WorkerIndex};
use millstream_recovery::protocol::resume::Start;
use millstream_recovery::session::{Opening, Session, open};
use millstream_recovery::store::Record;

use crate::sink::{Outbox, Sink};
use crate::support::{COUNT, PATIENCE, SOURCE, States, kept, load, opening};

/// How one run goes.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) workers: u32,
    /// How many items the epochs have, over and over.
    pub(crate) sizes: Vec<usize>,
    /// Which worker hands over next, over and over; one of the number of workers.
    pub(crate) turns: Vec<usize>,
    /// After how many turns it ends as by a crash; not at all if the items end before.
    pub(crate) crash: usize,
    /// Whether it waits before the crash, so that more is written.
    pub(crate) lingers: bool,
}

/// What the counts should be after some items.
pub(crate) fn expected(items: &[u8]) -> States {
    let mut states = States::new();
    for item in items {
        *states
            .entry((COUNT.to_owned(), item.to_string()))
            .or_insert(0) += 1;
    }
    states
}

/// What a store resumes with, as a position and counts. Panics if they aren't of each other.
pub(crate) fn check(states: &States, items: &[u8]) -> usize {
    let mut counts = states.clone();
    let position = counts
        .remove(&(SOURCE.to_owned(), "p".to_owned()))
        .unwrap_or(0);
    let position = usize::try_from(position).unwrap();
    assert_eq!(counts, expected(&items[..position]));
    position
}

/// What one worker has of each epoch, in order.
type Due = VecDeque<(u64, Vec<Record>)>;

/// What there is to do in a run.
struct Work {
    /// By worker.
    due: Vec<Due>,
    /// The items of each epoch.
    items: BTreeMap<u64, Range<usize>>,
    last: u64,
}

/// Runs once. Gives whether it came to the end of the items.
pub(crate) fn attempt(directory: &Path, items: &[u8], outbox: &Outbox, how: &Attempt) -> bool {
    let opened = open(Opening {
        workers: how.workers,
        sinks: 1,
        ..opening(directory)
    })
    .unwrap();
    outbox.open(opened.path());
    let states = load(&opened);
    let position = check(&states, items);
    assert_eq!(outbox.published(), (0..position).collect::<Vec<_>>());
    let Start {
        epoch, execution, ..
    } = *opened.start();
    let mut work = Work::new(items, position, states, epoch.0, how);
    let (sink, session) = Sink::start(outbox, execution, |on_event| opened.run(on_event).unwrap());
    let is_done = (0..how.crash).any(|turn| {
        let is_done = work.due.iter().all(VecDeque::is_empty);
        if !is_done {
            let worker = how.turns[turn % how.turns.len()];
            work.hand_over(&session, &sink, worker);
        }
        is_done
    });
    if is_done {
        let last = Epoch(work.last);
        for worker in 0..how.workers {
            session.finished(WorkerIndex(worker), last);
        }
        Sink::finish(&session, last);
        let committed = session.finish(PATIENCE).unwrap();
        assert_eq!(committed, (last >= Epoch::FIRST).then_some(last));
    } else {
        if how.lingers {
            std::thread::sleep(Duration::from_millis(5));
        }
        session.abandon();
    }
    sink.stop();
    is_done
}

impl Work {
    fn new(
        items: &[u8],
        mut position: usize,
        mut states: States,
        first: u64,
        how: &Attempt,
    ) -> Self {
        let workers = how.workers as usize;
        let mut work = Self {
            due: vec![Due::new(); workers],
            items: BTreeMap::new(),
            last: first - 1,
        };
        for size in how.sizes.iter().cycle() {
            if position == items.len() {
                break;
            }
            work.last += 1;
            let epoch = work.last;
            let end = items.len().min(position + size);
            let mut records: Vec<Vec<Record>> = vec![Vec::new(); workers];
            for item in &items[position..end] {
                let key = item.to_string();
                let count = states.entry((COUNT.to_owned(), key.clone())).or_insert(0);
                *count += 1;
                records[usize::from(*item) % workers].push(kept(COUNT, &key, epoch, *count));
            }
            records[0].push(kept(SOURCE, "p", epoch, end as u64));
            for (due, records) in work.due.iter_mut().zip(records) {
                due.push_back((epoch, records));
            }
            work.items.insert(epoch, position..end);
            position = end;
        }
        work
    }

    /// A worker hands over an epoch: the one that is named, or the next that has one.
    fn hand_over(&mut self, session: &Session, sink: &Sink, worker: usize) {
        let count = self.due.len();
        let mut workers = (worker..worker + count).map(|it| it % count);
        let Some((worker, (epoch, records))) =
            workers.find_map(|worker| Some((worker, self.due[worker].pop_front()?)))
        else {
            return;
        };
        session.record(records).unwrap();
        if worker == 0 {
            sink.prepare(session, Epoch(epoch), self.items[&epoch].clone());
        }
        let worker = WorkerIndex(u32::try_from(worker).unwrap());
        session.passed(worker, Epoch(epoch + 1));
    }
}
