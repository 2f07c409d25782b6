//! A small dataflow that counts the items of a source by key: what it resumes with is always the
//! count of exactly the items before the position of the source.

use std::path::Path;

use millstream_recovery::id::{Epoch, WorkerIndex};
use millstream_recovery::session::{Opening, Session, open};
use millstream_recovery::store::Record;

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

/// The epochs that one worker has to hand over, in order.
type Due = Vec<(u64, Vec<Record>)>;

/// Runs once. Gives whether it came to the end of the items.
pub(crate) fn attempt(directory: &Path, items: &[u8], how: &Attempt) -> bool {
    let opened = open(Opening {
        workers: how.workers,
        ..opening(directory)
    })
    .unwrap();
    let states = load(&opened);
    let position = check(&states, items);
    let first = opened.start().epoch.0;
    let session = opened.run(|_| {}).unwrap();
    let (mut due, last) = work(items, position, states, first, how);
    for turn in 0.. {
        if due.iter().all(Vec::is_empty) {
            break;
        }
        if turn >= how.crash {
            crash(session, how);
            return false;
        }
        let worker = how.turns[turn % how.turns.len()] % due.len();
        let count = due.len();
        let mut workers = (worker..worker + count).map(|it| it % count);
        let chosen = workers.find(|worker| !due[*worker].is_empty()).unwrap();
        hand_over(&session, &mut due, chosen);
    }
    for worker in 0..how.workers {
        session.finished(WorkerIndex(worker), Epoch(last));
    }
    let committed = session.finish(PATIENCE).unwrap();
    assert_eq!(committed, (last > 0).then_some(Epoch(last)));
    true
}

fn hand_over(session: &Session, due: &mut [Due], worker: usize) {
    let (epoch, records) = due[worker].remove(0);
    session.record(records).unwrap();
    let worker = WorkerIndex(u32::try_from(worker).unwrap());
    session.passed(worker, Epoch(epoch + 1));
}

fn crash(session: Session, how: &Attempt) {
    if how.lingers {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    if how.crash.is_multiple_of(2) {
        session.abandon();
    }
}

/// What each worker has to hand over for each epoch, and the last epoch.
fn work(
    items: &[u8],
    mut position: usize,
    mut states: States,
    first: u64,
    how: &Attempt,
) -> (Vec<Due>, u64) {
    let mut due: Vec<Due> = vec![Vec::new(); how.workers as usize];
    let mut epoch = first;
    for size in how.sizes.iter().cycle() {
        if position == items.len() {
            break;
        }
        let end = items.len().min(position + size);
        for due in &mut due {
            due.push((epoch, Vec::new()));
        }
        let mut add = |worker: usize, step: &str, key: &str, state: u64| {
            let (_, records) = due[worker].last_mut().unwrap();
            records.push(kept(step, key, epoch, state));
        };
        for item in &items[position..end] {
            let key = item.to_string();
            let count = states.entry((COUNT.to_owned(), key.clone())).or_insert(0);
            *count += 1;
            add(
                usize::from(*item) % how.workers as usize,
                COUNT,
                &key,
                *count,
            );
        }
        add(0, SOURCE, "p", end as u64);
        position = end;
        epoch += 1;
    }
    (due, epoch - 1)
}
