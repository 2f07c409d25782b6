//! A process that is killed at a chosen system call of its store, twice, and then goes on:
//! every line that there must be is written, once.
//!
//! The process is this test binary, run again to do one [`attempt`]. Each attempt has other
//! batches, epochs and workers than the one before, so that a replay falls into other epochs.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::clock::{Micros, SystemClock};
use millstream_engine::logic::{
    Emit, Fate, KeyedLogic, KeyedStep, PartitionedSink, PartitionedSource, Polled, SinkPartition,
    SourcePartition, StatefulBatch,
};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::{Changes, Recovery, RetryPolicy, Saved};
use millstream_engine::run::Settings;
use millstream_recovery::store::init;
use tempfile::TempDir;

use crate::committing::{CommittingFiles, names, seen};
use crate::integers::{
    Builder, IntFailure, Integers, Value, Values, Word, number, pair, read_number,
};

/// How many items each of the two partitions brings.
const ITEMS: i64 = 120;

/// What tells keys apart in a line: their number times this, plus the count.
const KEY: i64 = 1_000_000;

/// The keys of the items: four that come often, and some that come once in a while.
fn key_of(item: i64) -> i64 {
    if item % 25 == 0 {
        10 + item / 50
    } else {
        item % 4
    }
}

/// Every line that there must be.
fn expected() -> Vec<i64> {
    let mut lines = Vec::new();
    for key in 0..20 {
        let count = 2 * (0..ITEMS).filter(|item| key_of(*item) == key).count();
        lines.extend((1..=i64::try_from(count).unwrap()).map(|n| key * KEY + n));
    }
    lines
}

/// Numbers, in batches.
#[derive(Clone)]
struct Numbers {
    batch: i64,
    pause: Duration,
    next: i64,
    awake: Option<Micros>,
}

impl PartitionedSource<Integers> for Numbers {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(vec!["one".to_owned(), "two".to_owned()])
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        _part: &str,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SourcePartition<Integers>>, IntFailure> {
        let next = resume.map_or(0, read_number);
        Ok(Box::new(Self {
            next,
            ..self.clone()
        }))
    }
}

impl SourcePartition<Integers> for Numbers {
    fn next_batch(&mut self, (): ()) -> Result<Polled<Integers>, IntFailure> {
        use millstream_engine::clock::Clock;
        if self.next == ITEMS {
            return Ok(Polled::End);
        }
        let items = self.next..ITEMS.min(self.next + self.batch);
        self.next = items.end;
        self.awake = Some(SystemClock::new().wall().after(self.pause));
        let pairs = items.map(|item| pair(&key_of(item).to_string(), 1));
        Ok(Polled::Batch(Values(pairs.collect())))
    }

    fn next_awake(&mut self, (): ()) -> Result<Option<Micros>, IntFailure> {
        Ok(self.awake)
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        Ok(Some(number(self.next)))
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        Ok(())
    }
}

/// Counts the items of each key. State is the last line of the key.
struct Count;

impl StatefulBatch<Integers> for Count {
    fn form(&self) -> String {
        "Count".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers> {
        KeyedStep::new(Self)
    }
}

impl KeyedLogic<Integers> for Count {
    type State = i64;

    fn build(&mut self, (): (), key: &Word) -> Result<i64, IntFailure> {
        use millstream_engine::host::Key;
        Ok(key.as_str().parse::<i64>().unwrap() * KEY)
    }

    fn resume(&mut self, (): (), _key: &Word, saved: &Saved) -> Result<i64, IntFailure> {
        Ok(read_number(saved))
    }

    fn snapshot(&mut self, (): (), line: &mut i64) -> Result<Saved, IntFailure> {
        Ok(number(*line))
    }

    fn on_batch(
        &mut self,
        (): (),
        line: &mut i64,
        values: &mut Vec<Value>,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        for _ in values.drain(..) {
            *line += 1;
            emit.push(Value::Int(*line));
        }
        Ok(Fate::Retain)
    }
}

/// Files of lines, cut to what was kept when they are opened.
struct Files(PathBuf);

struct LineFile(File);

impl PartitionedSink<Integers> for Files {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(vec!["x".to_owned(), "y".to_owned()])
    }

    fn route(&self, (): (), key: &Word, parts: usize) -> Result<usize, IntFailure> {
        use millstream_engine::host::Key;
        Ok(key.as_str().parse::<usize>().unwrap() % parts)
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        part: &str,
        _execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<Integers>>, IntFailure> {
        let mut options = OpenOptions::new();
        let path = self.0.join(part);
        let mut file = options
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
            .unwrap();
        let length = u64::try_from(resume.map_or(0, read_number)).unwrap();
        file.set_len(length).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        Ok(Box::new(LineFile(file)))
    }
}

impl SinkPartition<Integers> for LineFile {
    fn write_batch(&mut self, (): (), Values(items): Values) -> Result<(), IntFailure> {
        let lines = items.iter().map(|item| format!("{}\n", item.int()));
        self.0
            .write_all(lines.collect::<String>().as_bytes())
            .unwrap();
        Ok(())
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        let length = self.0.stream_position().unwrap();
        Ok(Some(number(i64::try_from(length).unwrap())))
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        Ok(())
    }
}

/// What is drawn from a seed.
struct Draw(u64);

impl Draw {
    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Where the process that is to be killed finds what to do.
const DIRECTORY: &str = "MILLSTREAM_CRASH_DIRECTORY";
const SEED: &str = "MILLSTREAM_CRASH_SEED";

/// One attempt to run the flow to its end. Not a test: done in a process of its own.
#[test]
#[ignore = "is what the processes do that the other tests start"]
fn attempt() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let mut draw = Draw(std::env::var(SEED).unwrap().parse().unwrap());
    let mut pick = |choices: [u64; 3]| choices[usize::try_from(draw.below(3)).unwrap()];
    let source = Numbers {
        batch: i64::try_from(pick([1, 5, 30])).unwrap(),
        pause: Duration::from_micros(pick([0, 200, 1_000])),
        next: 0,
        awake: None,
    };
    let workers = usize::try_from(pick([1, 2, 3])).unwrap();
    let mut flow = Builder::default();
    let numbers = flow.source("in", source);
    let counts = flow.stateful("count", numbers, Count);
    flow.sink("out", counts, Files(directory.join("out")));
    flow.sink("ready", counts, CommittingFiles(directory.join("ready")));
    let settings = Settings {
        workers,
        epoch_interval: Duration::from_millis(pick([0, 1, 5])),
        room: Settings::ROOM_PER_WORKER * workers,
        optimize: true,
        clock: Arc::new(SystemClock::new()),
        recovery: Some(Recovery {
            directory: directory.join("store"),
            changes: Changes::default(),
            retry: RetryPolicy::default(),
        }),
        cluster: None,
    };
    flow.run_with(settings).unwrap();
}

/// Runs an attempt, which is killed at the `number`-th call of its own if one is named.
fn start(directory: &Path, seed: u64, kill_at: Option<(&str, u64)>) -> ExitStatus {
    let own = std::env::current_exe().unwrap();
    let mut command = match kill_at {
        None => Command::new(own),
        Some((call, number)) => {
            let mut command = Command::new("strace");
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            command
                .args([
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={call}"),
                    "-e",
                ])
                .arg(inject)
                .arg(own);
            command
        }
    };
    command
        .args(["--exact", "crash::attempt", "--ignored", "--quiet"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string());
    let output = command
        .output()
        .expect("strace must be installed; `make test` does that");
    let is_well = kill_at.is_some() || output.status.success();
    assert!(is_well, "{}", String::from_utf8_lossy(&output.stdout));
    output.status
}

/// Kills at two points, then lets it end; gives how many kills there were.
fn crash_twice(call: &str, calls: u64, seed: u64) -> u64 {
    const SIGKILL: i32 = 9;
    let directory = TempDir::new().unwrap();
    for folder in ["store", "out", "ready"] {
        fs::create_dir(directory.path().join(folder)).unwrap();
    }
    init(&directory.path().join("store"), 2).unwrap();
    let mut draw = Draw(seed);
    let mut kills = 0;
    for _ in 0..2 {
        let point = (call, 1 + draw.below(calls));
        let status = start(directory.path(), draw.below(u64::MAX), Some(point));
        // strace dies as the process does that it watches.
        kills +=
            u64::from(status.signal() == Some(SIGKILL) || status.code() == Some(128 + SIGKILL));
        // What can be seen at any time is right, and there once.
        let lines = sorted(seen(&directory.path().join("ready")));
        let is_right = lines.iter().all(|line| expected().contains(line));
        assert!(
            is_right && lines.is_sorted_by(|one, other| one < other),
            "{lines:?}"
        );
    }
    start(directory.path(), draw.below(u64::MAX), None);
    let lines: Vec<i64> = ["x", "y"]
        .iter()
        .filter_map(|part| fs::read_to_string(directory.path().join("out").join(part)).ok())
        .flat_map(|text| {
            text.lines()
                .map(|line| line.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sorted(lines), expected(), "wrong after {call}, seed {seed}");
    let ready = directory.path().join("ready");
    assert_eq!(
        sorted(seen(&ready)),
        expected(),
        "wrong after {call}, seed {seed}"
    );
    let left_behind = names(&ready).iter().any(|name| name.starts_with('.'));
    assert!(!left_behind, "{call}, seed {seed}: {:?}", names(&ready));
    kills
}

fn sorted(mut lines: Vec<i64>) -> Vec<i64> {
    lines.sort_unstable();
    lines
}

/// The calls by which a store and the sinks change files, and about how many there are in an
/// attempt.
const CALLS: [(&str, u64); 5] = [
    ("pwrite64", 160),
    ("fsync", 60),
    ("ftruncate", 8),
    ("unlink", 4),
    ("rename", 30),
];

fn sample(seeds: std::ops::Range<u64>) -> u64 {
    let mut kills = 0;
    for seed in seeds {
        for (call, calls) in CALLS {
            kills += crash_twice(call, calls, seed);
        }
    }
    kills
}

#[test]
fn killed_at_any_call_of_the_store() {
    assert!(
        sample(0..6) >= 12,
        "few attempts get as far as to be killed"
    );
}

/// `CRASH_POINTS` is how many kills there are to be, at least.
#[expect(clippy::print_stdout, reason = "the number is the result")]
#[test]
#[ignore = "takes long"]
fn killed_at_very_many_calls_of_the_store() {
    let wanted: u64 = std::env::var("CRASH_POINTS").map_or(2_000, |text| text.parse().unwrap());
    let mut kills = 0;
    let mut seed = 1_000;
    while kills < wanted {
        kills += sample(seed..seed + 1);
        seed += 1;
    }
    println!("{kills} kills, nothing wrong");
}
