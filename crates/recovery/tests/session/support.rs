//! Dataflows and stores to test with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_recovery::frame::Codec;
use millstream_recovery::id::{Epoch, FlowId, StateKey, StepId, WorkerIndex};
use millstream_recovery::protocol::manifest::{SchemaVersion, StepKind};
use millstream_recovery::protocol::resume::{Changes, Flow, FlowStep};
use millstream_recovery::protocol::retry::RetryPolicy;
use millstream_recovery::session::{
    DEFAULT_SILENCE, Event, Opened, Opening, Session, SessionError, open,
};
use millstream_recovery::store::{Record, State, init};
use tempfile::TempDir;

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SOURCE: &str = "flow.source";
pub(crate) const COUNT: &str = "flow.count";

/// A directory with a new store.
pub(crate) fn new_store(partitions: u32) -> TempDir {
    let directory = TempDir::new().unwrap();
    init(directory.path(), partitions).unwrap();
    directory
}

/// The steps by their names; a source is one that is called so.
pub(crate) fn flow(steps: &[&str]) -> Flow {
    let steps = steps.iter().map(|name| {
        let kind = if name.ends_with("source") {
            StepKind::Source
        } else {
            StepKind::Stateful
        };
        let step = FlowStep {
            kind,
            form: "a count".to_owned(),
            schema: SchemaVersion(1),
            oldest_readable: SchemaVersion(1),
        };
        (StepId((*name).to_owned()), step)
    });
    Flow {
        id: FlowId("flow".to_owned()),
        steps: steps.collect(),
    }
}

pub(crate) fn opening(directory: &Path) -> Opening {
    Opening {
        directory: directory.to_owned(),
        flow: flow(&[SOURCE, COUNT]),
        changes: Changes::default(),
        workers: 1,
        sinks: 0,
        started: 0,
        retry: impatient(),
        room: 64 * 1024,
        silence: DEFAULT_SILENCE,
    }
}

/// Tries again soon, and often enough for any test.
pub(crate) fn impatient() -> RetryPolicy {
    RetryPolicy {
        delays: vec![Duration::from_millis(1)],
        ..RetryPolicy::default()
    }
}

pub(crate) fn alias(old: &str, new: &str) -> Changes {
    Changes {
        aliases: BTreeMap::from([(StepId(old.to_owned()), StepId(new.to_owned()))]),
        ..Changes::default()
    }
}

pub(crate) fn dropping(step: &str) -> Changes {
    Changes {
        drop: [StepId(step.to_owned())].into(),
        ..Changes::default()
    }
}

pub(crate) fn kept(step: &str, key: &str, epoch: u64, state: u64) -> Record {
    Record {
        step: StepId(step.to_owned()),
        key: StateKey(key.to_owned()),
        epoch: Epoch(epoch),
        state: Some(State {
            codec: Codec::Native,
            payload: state.to_le_bytes().to_vec(),
        }),
    }
}

/// A number by step and key.
pub(crate) type States = BTreeMap<(String, String), u64>;

pub(crate) fn states(of: &[(&str, &str, u64)]) -> States {
    let states = of
        .iter()
        .map(|(step, key, state)| (((*step).to_owned(), (*key).to_owned()), *state));
    states.collect()
}

pub(crate) fn try_load(opened: &Opened) -> Result<States, SessionError> {
    let mut states = States::new();
    let load = opened.load(&mut |loaded| {
        let key = (loaded.step.0.clone(), loaded.key.to_owned());
        let state = u64::from_le_bytes(loaded.payload.try_into().unwrap());
        assert_eq!(states.insert(key, state), None, "a key was loaded twice");
    })?;
    assert_eq!(load.live, states.len() as u64);
    Ok(states)
}

pub(crate) fn load(opened: &Opened) -> States {
    try_load(opened).unwrap()
}

/// What a run would resume with, without running.
pub(crate) fn resumed(opening: Opening) -> (u64, States) {
    let opened = open(opening).unwrap();
    (opened.start().epoch.0, load(&opened))
}

/// A session with one worker, and what it tells.
pub(crate) struct Run {
    pub(crate) session: Session,
    pub(crate) events: Receiver<Event>,
    pub(crate) epoch: u64,
}

impl Run {
    pub(crate) fn begin(opening: Opening) -> Self {
        Self::of(open(opening).unwrap())
    }

    pub(crate) fn of(opened: Opened) -> Self {
        let epoch = opened.start().epoch.0;
        let (sender, events) = channel();
        let session = opened
            .run(move |event| {
                let _ = sender.send(event);
            })
            .unwrap();
        Self {
            session,
            events,
            epoch,
        }
    }

    /// Writes states in the current epoch, and waits until it is history.
    pub(crate) fn commit(&mut self, of: &[(&str, &str, u64)]) {
        self.record(of);
        self.pass();
        self.wait_for_commit(self.epoch - 1);
    }

    pub(crate) fn record(&self, of: &[(&str, &str, u64)]) {
        let records = of
            .iter()
            .map(|(step, key, state)| kept(step, key, self.epoch, *state));
        self.session.record(records.collect()).unwrap();
    }

    pub(crate) fn pass(&mut self) {
        self.epoch += 1;
        self.session.passed(WorkerIndex(0), Epoch(self.epoch));
    }

    pub(crate) fn wait_for_commit(&self, epoch: u64) {
        loop {
            match self.event() {
                Event::Committed(through) if through.0 >= epoch => return,
                Event::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
    }

    pub(crate) fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn failure(&self) -> Arc<SessionError> {
        loop {
            if let Event::Failed(error) = self.event() {
                return error;
            }
        }
    }

    /// Ends in order, with nothing more to write.
    pub(crate) fn finish(self) -> Option<u64> {
        let last = self.epoch - 1;
        self.session.finished(WorkerIndex(0), Epoch(last));
        let committed = self.session.finish(PATIENCE).unwrap();
        committed.map(|epoch| epoch.0)
    }
}

/// Events that are kept as they come.
pub(crate) fn log() -> (
    Arc<Mutex<Vec<Event>>>,
    impl Fn(Event) + Send + Sync + 'static,
) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    (events, move |event| log.lock().unwrap().push(event))
}

pub(crate) fn part(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("part-{number}.sqlite3"))
}

/// The rows in all files, those too that don't count.
pub(crate) fn row_count(directory: &Path) -> i64 {
    let numbers = 0..;
    let files = numbers
        .map(|number| part(directory, number))
        .take_while(|file| file.exists());
    files
        .map(|file| {
            rusqlite::Connection::open(file)
                .unwrap()
                .query_row("SELECT count(*) FROM snapshots", (), |row| {
                    row.get::<_, i64>(0)
                })
                .unwrap()
        })
        .sum()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}
