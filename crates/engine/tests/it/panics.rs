//! A thread of a process panics, whichever it is: all processes of the cluster end soon, and say
//! why.
//!
//! The processes are this test binary, run again to do one [`process`]. Each test has one thread
//! panic, in the leader and in the follower if both have it, in the midst of a flow that would
//! not end by itself.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millstream_engine::clock::{Clock, Micros, SystemClock};
use millstream_engine::cluster::{self, Address, CauseKind, ClusterId, Fingerprint, ProcessIndex};
use millstream_engine::error::Error;
use millstream_engine::logic::{PartitionedSource, Polled, SourcePartition};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::{Changes, Recovery, RetryPolicy, Saved};
use millstream_engine::run::Settings;
use millstream_recovery::store::init;
use tempfile::TempDir;

use crate::integers::{
    Builder, Collected, IntFailure, Integers, RunningSum, Values, number, pair, read_number,
};

/// How long all may take to end, after the panic.
const SOON: Duration = Duration::from_secs(5);

/// How long a process is waited for before it is taken for hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process ends with in which something is wrong with the engine itself.
const DEFECT: i32 = 70;

/// What a process ends with that has lost another.
const LOST: i32 = 75;

/// Where a process finds out what it is to do.
const DIRECTORY: &str = "MILLSTREAM_PANICS_DIRECTORY";
const PROCESS: &str = "MILLSTREAM_PANICS_PROCESS";
const PROCESSES: &str = "MILLSTREAM_PANICS_PROCESSES";

/// Numbers without an end.
#[derive(Clone)]
struct Endless {
    next: i64,
    awake: Option<Micros>,
}

impl PartitionedSource<Integers> for Endless {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(["a", "b", "c", "d"].map(str::to_owned).to_vec())
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        _part: &str,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SourcePartition<Integers>>, IntFailure> {
        Ok(Box::new(Self {
            next: resume.map_or(0, read_number),
            awake: None,
        }))
    }
}

impl SourcePartition<Integers> for Endless {
    fn next_batch(&mut self, (): ()) -> Result<Polled<Integers>, IntFailure> {
        let items = self.next..self.next + 10;
        self.next = items.end;
        self.awake = Some(SystemClock::new().wall().after(Duration::from_millis(2)));
        let pairs = items.map(|item| pair(&(item % 100).to_string(), 1));
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

/// One process of the cluster. Not a test: done in a process of its own.
#[test]
#[ignore = "is what the processes do that the other tests start"]
#[expect(clippy::exit, reason = "the code is looked at")]
fn process() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let [process, processes]: [u32; 2] =
        [PROCESS, PROCESSES].map(|name| std::env::var(name).unwrap().parse().unwrap());
    note_panics(directory);
    let addresses =
        (0..processes).map(|process| Address::Unix(directory.join(format!("{process}.sock"))));
    let mut cluster = cluster::Settings::new(
        ProcessIndex(process),
        addresses.collect(),
        2,
        ClusterId("test".to_owned()),
        Fingerprint(7),
    );
    cluster.limits.deadline = Duration::from_secs(3);
    let mut flow = Builder::default();
    let numbers = flow.source(
        "in",
        Endless {
            next: 0,
            awake: None,
        },
    );
    let sums = flow.stateful("sum", numbers, RunningSum);
    flow.collect_parts_to("out", sums, vec!["x", "y"], &Collected::default());
    let outcome = flow.run_with(Settings {
        workers: 2,
        epoch_interval: Duration::from_millis(10),
        room: Settings::ROOM_PER_WORKER * 2,
        optimize: true,
        clock: Arc::new(SystemClock::new()),
        recovery: (process == 0).then(|| Recovery {
            directory: directory.join("store"),
            changes: Changes::default(),
            retry: RetryPolicy::default(),
        }),
        cluster: Some(cluster),
    });
    let (text, code) = match outcome {
        Ok(ending) => (format!("{ending:?}"), 0),
        Err(error) => explain(&error),
    };
    fs::write(directory.join(format!("{process}.text")), text).unwrap();
    std::process::exit(code);
}

/// Notes when the first panic was.
fn note_panics(directory: &Path) {
    let noted = directory.join("panicked");
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = File::create_new(&noted);
        tell(panic);
    }));
}

/// What a host says of an error, and the exit code that goes with it.
fn explain(error: &Error<Integers>) -> (String, i32) {
    match error {
        Error::Internal(message) => (message.clone(), DEFECT),
        Error::Recovery(error) => (error.to_string(), error.exit_code().into()),
        Error::Join(error) => (error.to_string(), error.exit_code().into()),
        Error::PeerLost { process, why } => (format!("process {process} is lost: {why}"), LOST),
        Error::Peer(cause) => match &cause.kind {
            CauseKind::Failed { text, exit_code } => (text.clone(), (*exit_code).into()),
            other => (format!("{other:?}"), 1),
        },
        other => (format!("{other:?}"), 1),
    }
}

/// How a process ended.
#[derive(Debug)]
#[expect(dead_code, reason = "all of it is shown if something is wrong")]
struct End {
    status: Option<i32>,
    text: String,
    /// What it wrote to standard error.
    said: String,
}

/// Runs so many processes, one of which panics at a point; gives how they ended. That they do so
/// in time is asserted.
fn run(processes: usize, panicking: usize, point: &str) -> Vec<End> {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    fs::create_dir(&store).unwrap();
    init(&store, 2).unwrap();
    let start = |process: usize| {
        let said = File::create(directory.path().join(format!("{process}.said"))).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "panics::process", "--ignored", "--quiet"])
            .arg("--nocapture")
            .env(DIRECTORY, directory.path())
            .env(PROCESS, process.to_string())
            .env(PROCESSES, processes.to_string())
            // With one, the panics that follow come later than they would.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null())
            .stderr(said);
        if process == panicking {
            command.env("MILLSTREAM_PANIC", point);
        }
        command.spawn().unwrap()
    };
    let statuses = wait((0..processes).map(start).collect());
    let noted = fs::metadata(directory.path().join("panicked")).and_then(|noted| noted.modified());
    let taken = noted.map(|noted| noted.elapsed().unwrap());
    let read = |name: String| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    let end = |(process, status): (usize, &Option<ExitStatus>)| End {
        status: status.and_then(|status| status.code()),
        text: read(format!("{process}.text")),
        said: read(format!("{process}.said")),
    };
    let ends: Vec<End> = statuses.iter().enumerate().map(end).collect();
    assert!(
        statuses.iter().all(Option::is_some),
        "{point} in process {panicking} hangs: {ends:#?}"
    );
    let taken = taken.unwrap_or_else(|_| panic!("nothing panicked at {point}: {ends:#?}"));
    assert!(taken < SOON, "{point}: {taken:?}, {ends:#?}");
    ends
}

/// Waits for all; one that doesn't end in time is killed.
fn wait(mut children: Vec<Child>) -> Vec<Option<ExitStatus>> {
    let clock = SystemClock::new();
    let until = clock.monotonic() + PATIENCE;
    let mut statuses = vec![None; children.len()];
    while statuses.iter().any(Option::is_none) && clock.monotonic() < until {
        for (child, status) in children.iter_mut().zip(&mut statuses) {
            *status = child.try_wait().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    for (child, status) in children.iter_mut().zip(&statuses) {
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    statuses
}

/// How another process learns of a panic.
#[derive(Clone, Copy)]
enum Other {
    /// It is told the cause.
    IsTold,
    /// The one that the thread serves is told that this one is gone, and tells the others so, which
    /// may hear the cause before.
    SeesIt,
}

/// A thread of a process panics; that process says which, and why, and the others say so, too.
fn assert_told((processes, process): (usize, usize), point: &str, other: Other) {
    let ends = run(processes, process, point);
    let thread = point.split('@').next().unwrap();
    let is_told = |end: &End| {
        let named = end
            .text
            .contains(&format!("the thread `{thread}` panicked"));
        // What timely's own code says is known to nobody but the hook.
        let is_whole = point.contains("@timely") || end.text.contains("a test wants it");
        end.status == Some(DEFECT) && named && is_whole && !end.text.contains('\n')
    };
    let sees_it = |end: &End| {
        let text = format!("process {process} is lost: a thread of it panicked");
        end.status == Some(LOST) && end.text == text
    };
    for (number, end) in ends.iter().enumerate() {
        let is_right = match other {
            _ if number == process => is_told(end),
            Other::IsTold => is_told(end),
            Other::SeesIt => sees_it(end) || (processes > 2 && is_told(end)),
        };
        assert!(
            is_right,
            "{point} in process {process}, seen by {number}: {ends:#?}"
        );
    }
}

/// A thread panics that all processes have: in the leader, and in another. The number of the process that it serves takes the place of `#`.
fn assert_told_of_each(point: &str, other: Other) {
    for (processes, process) in [(2, 0), (2, 1), (3, 0)] {
        let served = (process + 1) % processes;
        let point = point.replace('#', &served.to_string());
        assert_told((processes, process), &point, other);
    }
}

#[test]
fn worker() {
    assert_told_of_each("timely:work-0@work:200", Other::IsTold);
    assert_told((2, 0), "timely:work-1@work:1", Other::IsTold);
}

#[test]
fn sender() {
    assert_told_of_each("timely:send-#@stream:100", Other::IsTold);
}

#[test]
fn receiver() {
    assert_told_of_each("timely:recv-#@stream:100", Other::IsTold);
    assert_told((2, 0), "timely:recv-1@stream:1", Other::IsTold);
}

#[test]
fn sender_in_code_of_timely() {
    assert_told_of_each("timely:send-#@timely:100", Other::IsTold);
}

#[test]
fn receiver_in_code_of_timely() {
    assert_told_of_each("timely:recv-#@timely:100", Other::IsTold);
}

#[test]
fn control_reader() {
    assert_told_of_each("control-read-#@control:50", Other::IsTold);
    assert_told((2, 1), "control-read-0@control:1", Other::IsTold);
}

#[test]
fn control_writer() {
    assert_told_of_each("control-write-#@control:100", Other::SeesIt);
    assert_told((2, 0), "control-write-1@control:1", Other::SeesIt);
}

#[test]
fn clerk() {
    assert_told_of_each("millstream-clerk@clerk:50", Other::IsTold);
}

#[test]
fn store_clerk() {
    assert_told((2, 0), "millstream-store-clerk@clerk:50", Other::IsTold);
}

#[test]
fn store_writer() {
    assert_told((2, 0), "millstream-store@write:20", Other::IsTold);
}

#[test]
fn lease() {
    assert_told((2, 0), "millstream-lease@beat:3", Other::IsTold);
}

#[test]
fn lease_before_the_start() {
    assert_told((2, 0), "millstream-lease@beat:1", Other::IsTold);
}

#[test]
fn waiting_for_the_store() {
    assert_told((2, 0), "millstream-wait@wait:1", Other::IsTold);
}

/// While processes gather, a panic is as if somebody didn't come.
#[test]
fn joining() {
    const NEVER_CAME: i32 = 75;
    for (process, point) in [
        (0, "accept@join:1"),
        (1, "dial-0@join:1"),
        (0, "await-1@join:1"),
    ] {
        let ends = run(2, process, point);
        let are_right = ends.iter().all(|end| end.status == Some(NEVER_CAME));
        assert!(are_right, "{point}: {ends:#?}");
    }
}
