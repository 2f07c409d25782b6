//! A host of integers, and a kit to build plans of it in a few lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_engine::batch::Batch;
use millstream_engine::clock::{Micros, SystemClock};
use millstream_engine::epoch::Epoch;
use millstream_engine::error::Error;
use millstream_engine::host::{Failure, Host, Key, Rows, stable_hash};
use millstream_engine::logic::{
    DynamicSink, DynamicSource, Emit, Fate, FlatMapBatch, Inspector, KeyedLogic, KeyedStep,
    PartitionedSink, PartitionedSource, Polled, Predicate, SinkPartition, SourcePartition,
    StatefulBatch, TimedBatch,
};
use millstream_engine::plan::{Core, Native, Operator, Plan, Sink, Source, Step, StepId, StreamId};
use millstream_engine::recovery::{Codec, Saved};
use millstream_engine::run::{Caller, Ending, Settings, run};

/// An integer, or a pair of a word and an integer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Int(i64),
    Pair(String, i64),
}

pub(crate) fn pair(key: &str, value: i64) -> Value {
    Value::Pair(key.to_owned(), value)
}

impl Value {
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(value) | Self::Pair(_, value) => *value,
        }
    }
}

pub(crate) struct Integers;

/// A stateless step that can be fused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Add(i64),
    Over(i64),
}

/// A value that can't go to another process.
pub(crate) const POISON: i64 = i64::MIN;

/// An error that is a wish to stop.
pub(crate) const STOP: &str = "stop";

/// A caller that only says whether to stop.
struct Asker<F>(F);

impl<F: Fn() -> Result<(), String> + Send + Sync> Caller<Integers> for Asker<F> {
    fn interrupted(&self) -> Result<(), String> {
        (self.0)()
    }

    fn worker_begins(&self) {}

    fn worker_tidies_up(&self) {}

    fn worker_ends(&self) {}

    fn interrupt_workers(&self, _also_tidying: bool) {}
}

pub(crate) fn caller(
    interrupted: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Arc<dyn Caller<Integers>> {
    Arc::new(Asker(interrupted))
}

pub(crate) type IntFailure = Failure<Integers>;

#[derive(Clone)]
pub(crate) struct Word(String);

impl Key for Word {
    fn as_str(&self) -> &str {
        &self.0
    }

    fn stable_hash(&self) -> u64 {
        stable_hash(&self.0)
    }
}

/// A number as bytes.
pub(crate) fn number(number: i64) -> Saved {
    Saved {
        codec: Codec::Native,
        payload: number.to_le_bytes().to_vec(),
    }
}

/// The number of such bytes.
pub(crate) fn read_number(saved: &Saved) -> i64 {
    i64::from_le_bytes(saved.payload.as_slice().try_into().unwrap())
}

impl Host for Integers {
    type Item = Value;
    type Rows = Values;
    type Key = Word;
    type Error = String;
    type Scope<'a> = ();
    /// Adds a number to each item, or keeps only those over it.
    type Stage = Stage;

    fn attach<R>(work: impl for<'a> FnOnce(()) -> R) -> R {
        work(())
    }

    fn clone_item((): (), item: &Value) -> Value {
        item.clone()
    }

    fn clone_key((): (), key: &Word) -> Word {
        key.clone()
    }

    fn key((): (), text: &str) -> Result<Word, IntFailure> {
        Ok(Word(text.to_owned()))
    }

    fn weigh((): (), _item: &Value) -> usize {
        1
    }

    fn is_wish_to_stop((): (), error: &String) -> bool {
        error == STOP
    }

    fn split((): (), _step: &StepId, item: Value) -> Result<(Word, Value), IntFailure> {
        match item {
            Value::Pair(key, value) => Ok((Word(key), Value::Int(value))),
            Value::Int(_) => Err(Failure::new("splitting", "not a pair".to_owned())),
        }
    }

    fn pause((): (), wait: impl FnOnce() + Send) -> Result<(), String> {
        wait();
        Ok(())
    }

    fn join((): (), key: Word, value: Value) -> Value {
        Value::Pair(key.0, value.int())
    }

    /// A word and a number in each line; without a word, if it is a row of integers.
    fn pack((): (), batch: Batch<Self>) -> Result<Vec<u8>, IntFailure> {
        let is_keyed = matches!(batch, Batch::Keyed(_));
        let mut text = if is_keyed { "keyed" } else { "rows" }.to_owned();
        for item in batch.into_items(()) {
            let line = match item {
                Value::Int(POISON) => {
                    return Err(Failure::new("packing", "poison".to_owned()));
                }
                Value::Int(value) => value.to_string(),
                Value::Pair(word, value) => format!("{value} {word}"),
            };
            text.push('\n');
            text.push_str(&line);
        }
        Ok(text.into_bytes())
    }

    fn unpack((): (), bytes: &[u8]) -> Result<Batch<Self>, IntFailure> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let mut lines = text.lines();
        let is_keyed = lines.next() == Some("keyed");
        let items: Vec<Value> = lines
            .map(|line| match line.split_once(' ') {
                None => Value::Int(line.parse().unwrap()),
                Some((value, word)) => pair(word, value.parse().unwrap()),
            })
            .collect();
        let rows = Batch::of_items((), items);
        if is_keyed {
            return Ok(Batch::Keyed(rows.into_keyed((), &StepId("".into()))?));
        }
        Ok(rows)
    }

    fn no_crossing((): (), why: String) -> IntFailure {
        Failure::new("crossing", why)
    }

    fn explain((): (), error: &Error<Self>) -> Option<(String, u8)> {
        let text = match error {
            Error::Step { step, failure, .. } => format!("{step}: {}", failure.cause),
            Error::Internal(message) => message.clone(),
            Error::Recovery(error) => error.to_string(),
            other => format!("{other:?}"),
        };
        Some((text, 70))
    }

    fn fuse(
        (): (),
        stages: &[&Stage],
        _keyed_for: Option<&StepId>,
    ) -> Result<Arc<dyn FlatMapBatch<Self>>, IntFailure> {
        let stages: Vec<Stage> = stages.iter().map(|stage| **stage).collect();
        Ok(Arc::new(Map(Box::new(move |items| {
            Ok(items
                .into_iter()
                .filter_map(|item| {
                    stages
                        .iter()
                        .try_fold(item.int(), |value, stage| match stage {
                            Stage::Add(number) => Some(value + number),
                            Stage::Over(number) => (value > *number).then_some(value),
                        })
                })
                .map(Value::Int)
                .collect())
        }))))
    }

    fn report((): (), _step: &StepId, _worker: usize, _failure: IntFailure) {}
}

/// Values that travel together.
#[derive(Default)]
pub(crate) struct Values(pub(crate) Vec<Value>);

impl Rows<Integers> for Values {
    fn from_items((): (), items: Vec<Value>) -> Self {
        Self(items)
    }

    fn into_items(self, (): ()) -> Vec<Value> {
        self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn weigh_first(&self, (): ()) -> Option<usize> {
        self.0.first().map(|_| 1)
    }

    fn share(&self, (): ()) -> Self {
        Self(self.0.clone())
    }
}

type Mapper = dyn Fn(Vec<Value>) -> Result<Vec<Value>, String> + Send + Sync;

struct Map(Box<Mapper>);

impl FlatMapBatch<Integers> for Map {
    fn flat_map(&self, (): (), items: Values) -> Result<Batch<Integers>, IntFailure> {
        let made = (self.0)(items.0).map_err(|cause| Failure::new("mapping", cause))?;
        Ok(Batch::Rows(Values(made)))
    }
}

struct Test(fn(&Value) -> bool);

impl Predicate<Integers> for Test {
    fn test(&self, (): (), item: &Value) -> Result<bool, IntFailure> {
        Ok((self.0)(item))
    }
}

type Seen = Arc<Mutex<Vec<(Value, Epoch, usize)>>>;

struct Look(Seen);

impl Inspector<Integers> for Look {
    fn inspect(
        &self,
        (): (),
        _step: &StepId,
        item: &Value,
        epoch: Epoch,
        worker: usize,
    ) -> Result<(), IntFailure> {
        self.0.lock().unwrap().push((item.clone(), epoch, worker));
        Ok(())
    }
}

/// What a scripted source does next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Batch(Vec<Value>),
    /// Not to be asked again for so long.
    Sleep(Duration),
    Abort,
    Fail(&'static str),
    Panic,
}

pub(crate) fn ints(values: impl IntoIterator<Item = i64>) -> Vec<Act> {
    values
        .into_iter()
        .map(|value| Act::Batch(vec![Value::Int(value)]))
        .collect()
}

/// Which partitions were opened, and which of them closed again.
#[derive(Clone, Default)]
pub(crate) struct Doors(Arc<Mutex<(Vec<String>, Vec<String>)>>);

impl Doors {
    /// The partitions that were opened, all of which must have been closed.
    pub(crate) fn opened_and_closed(&self) -> Vec<String> {
        let (mut opened, mut closed) = self.0.lock().unwrap().clone();
        opened.sort();
        closed.sort();
        assert_eq!(opened, closed);
        closed
    }
}

pub(crate) struct Script {
    pub(crate) parts: Vec<(String, Vec<Act>)>,
    pub(crate) doors: Doors,
}

struct ScriptPart {
    name: String,
    acts: std::vec::IntoIter<Act>,
    /// How many acts are over.
    done: i64,
    awake: Option<Micros>,
    doors: Doors,
}

impl PartitionedSource<Integers> for Script {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(self.parts.iter().map(|(name, _)| name.clone()).collect())
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        part: &str,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SourcePartition<Integers>>, IntFailure> {
        let done = resume.map_or(0, read_number);
        let acts = self.parts.iter().find(|(name, _)| name == part);
        self.doors.0.lock().unwrap().0.push(part.to_owned());
        Ok(Box::new(ScriptPart {
            name: part.to_owned(),
            acts: acts
                .unwrap()
                .1
                .iter()
                .skip(usize::try_from(done).unwrap())
                .cloned()
                .collect::<Vec<_>>()
                .into_iter(),
            done,
            awake: None,
            doors: self.doors.clone(),
        }))
    }
}

impl SourcePartition<Integers> for ScriptPart {
    fn next_batch(&mut self, (): ()) -> Result<Polled<Integers>, IntFailure> {
        use millstream_engine::clock::Clock;
        self.awake = None;
        let act = self.acts.next();
        self.done += i64::from(act.is_some());
        Ok(match act {
            None => Polled::End,
            Some(Act::Batch(items)) => Polled::Batch(Values(items)),
            Some(Act::Sleep(span)) => {
                self.awake = Some(SystemClock::new().wall().after(span));
                Polled::Batch(Values::default())
            }
            Some(Act::Abort) => Polled::Abort,
            Some(Act::Fail(why)) => return Err(Failure::new("reading", why.to_owned())),
            Some(Act::Panic) => panic!("a defect"),
        })
    }

    fn next_awake(&mut self, (): ()) -> Result<Option<Micros>, IntFailure> {
        Ok(self.awake)
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        Ok(Some(number(self.done)))
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        self.doors.0.lock().unwrap().1.push(self.name.clone());
        Ok(())
    }
}

/// A source that counts to `until` on each worker, in batches.
pub(crate) struct Counter {
    pub(crate) until: i64,
    pub(crate) batch: i64,
}

struct CounterPart {
    next: i64,
    until: i64,
    batch: i64,
}

impl DynamicSource<Integers> for Counter {
    fn build(
        &self,
        (): (),
        _step: &StepId,
        _worker: usize,
        _workers: usize,
    ) -> Result<Box<dyn SourcePartition<Integers>>, IntFailure> {
        Ok(Box::new(CounterPart {
            next: 0,
            until: self.until,
            batch: self.batch,
        }))
    }
}

impl SourcePartition<Integers> for CounterPart {
    fn next_batch(&mut self, (): ()) -> Result<Polled<Integers>, IntFailure> {
        if self.next >= self.until {
            return Ok(Polled::End);
        }
        let end = (self.next + self.batch).min(self.until);
        let items = (self.next..end).map(Value::Int).collect();
        self.next = end;
        Ok(Polled::Batch(Values(items)))
    }

    fn next_awake(&mut self, (): ()) -> Result<Option<Micros>, IntFailure> {
        Ok(None)
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        Ok(None)
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        Ok(())
    }
}

/// A sink that remembers what it took, and from whom.
#[derive(Clone, Default)]
pub(crate) struct Collected(pub(crate) Arc<Mutex<Vec<(String, Value)>>>);

impl Collected {
    /// The items, in the order in which they came.
    pub(crate) fn items(&self) -> Vec<Value> {
        let taken = self.0.lock().unwrap();
        taken.iter().map(|(_, item)| item.clone()).collect()
    }

    /// Keeps only so many items of a part, as a file is cut.
    fn truncate(&self, part: &str, length: i64) {
        let mut left = length;
        self.0.lock().unwrap().retain(|(name, _)| {
            left -= i64::from(name == part);
            name != part || left >= 0
        });
    }

    pub(crate) fn sorted(&self) -> Vec<Value> {
        let mut items = self.items();
        items.sort();
        items
    }
}

struct CollectPart {
    name: String,
    taken: Collected,
    write: Option<fn(&[Value])>,
}

impl SinkPartition<Integers> for CollectPart {
    fn write_batch(&mut self, (): (), Values(items): Values) -> Result<(), IntFailure> {
        if let Some(write) = self.write {
            write(&items);
        }
        let mut taken = self.taken.0.lock().unwrap();
        taken.extend(items.into_iter().map(|item| (self.name.clone(), item)));
        Ok(())
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        let taken = self.taken.0.lock().unwrap();
        let own = taken.iter().filter(|(name, _)| *name == self.name);
        Ok(Some(number(i64::try_from(own.count()).unwrap())))
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        Ok(())
    }
}

pub(crate) struct CollectDynamic {
    pub(crate) taken: Collected,
    /// Called with each batch before it is taken.
    pub(crate) write: Option<fn(&[Value])>,
}

impl DynamicSink<Integers> for CollectDynamic {
    fn build(
        &self,
        (): (),
        _step: &StepId,
        worker: usize,
        _workers: usize,
    ) -> Result<Box<dyn SinkPartition<Integers>>, IntFailure> {
        Ok(Box::new(CollectPart {
            name: worker.to_string(),
            taken: self.taken.clone(),
            write: self.write,
        }))
    }
}

pub(crate) struct CollectPartitioned {
    pub(crate) parts: Vec<&'static str>,
    pub(crate) taken: Collected,
}

impl PartitionedSink<Integers> for CollectPartitioned {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(self.parts.iter().map(ToString::to_string).collect())
    }

    /// By the length of the key.
    fn route(&self, (): (), key: &Word, parts: usize) -> Result<usize, IntFailure> {
        Ok(key.as_str().len() % parts)
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        part: &str,
        _execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<Integers>>, IntFailure> {
        // Whatever else is there is of a run that died before it was kept.
        self.taken.truncate(part, resume.map_or(0, read_number));
        Ok(Box::new(CollectPart {
            name: part.to_owned(),
            taken: self.taken.clone(),
            write: None,
        }))
    }
}

/// Emits a running sum per key; at the end, the final sum, negated.
pub(crate) struct RunningSum;

impl StatefulBatch<Integers> for RunningSum {
    fn form(&self) -> String {
        "RunningSum".to_owned()
    }

    fn start(&self, _wanted: &[bool]) -> KeyedStep<Integers> {
        KeyedStep::new(Self)
    }
}

impl KeyedLogic<Integers> for RunningSum {
    type State = i64;

    fn build(&mut self, (): (), _key: &Word) -> Result<i64, IntFailure> {
        Ok(0)
    }

    fn resume(&mut self, (): (), _key: &Word, saved: &Saved) -> Result<i64, IntFailure> {
        Ok(read_number(saved))
    }

    fn snapshot(&mut self, (): (), sum: &mut i64) -> Result<Saved, IntFailure> {
        Ok(number(*sum))
    }

    fn on_batch(
        &mut self,
        (): (),
        sum: &mut i64,
        values: &mut Vec<Value>,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        for value in values.drain(..) {
            *sum += value.int();
            emit.push(Value::Int(*sum));
        }
        // A sum of zero is forgotten.
        Ok(if *sum == 0 {
            Fate::Discard
        } else {
            Fate::Retain
        })
    }

    fn on_eof(
        &mut self,
        (): (),
        sum: &mut i64,
        emit: &mut Emit<Integers>,
    ) -> Result<Fate, IntFailure> {
        emit.push(Value::Int(-*sum));
        Ok(Fate::Retain)
    }
}

/// Builds a plan step by step; streams are named by their number.
#[derive(Default)]
pub(crate) struct Builder {
    steps: Vec<Step<Integers>>,
    streams: usize,
}

pub(crate) type Id = usize;

fn stream(id: Id) -> StreamId {
    StreamId(id.to_string().into())
}

impl Builder {
    pub(crate) fn step(
        &mut self,
        name: &str,
        ups: &[Id],
        downs: usize,
        core: Core<Integers>,
    ) -> Vec<Id> {
        let made: Vec<Id> = (self.streams..self.streams + downs).collect();
        self.streams += downs;
        let id = StepId(format!("flow.{name}").into());
        self.steps.push(Step {
            written_as: id.clone(),
            id,
            ups: ups.iter().copied().map(stream).collect(),
            downs: made.iter().copied().map(stream).collect(),
            operator: Operator::Core(core),
            native: Vec::new(),
        });
        made
    }

    pub(crate) fn script(&mut self, name: &str, parts: Vec<(&str, Vec<Act>)>) -> (Id, Doors) {
        let doors = Doors::default();
        let parts = parts
            .into_iter()
            .map(|(name, acts)| (name.to_owned(), acts))
            .collect();
        let source = Script {
            parts,
            doors: doors.clone(),
        };
        let core = Core::Input(Source::Partitioned(Arc::new(source)));
        (self.step(name, &[], 1, core)[0], doors)
    }

    pub(crate) fn source(
        &mut self,
        name: &str,
        source: impl PartitionedSource<Integers> + 'static,
    ) -> Id {
        let core = Core::Input(Source::Partitioned(Arc::new(source)));
        self.step(name, &[], 1, core)[0]
    }

    pub(crate) fn sink(
        &mut self,
        name: &str,
        up: Id,
        sink: impl PartitionedSink<Integers> + 'static,
    ) {
        let core = Core::Output(Sink::Partitioned(Arc::new(sink)));
        self.step(name, &[up], 0, core);
    }

    pub(crate) fn acts(&mut self, name: &str, acts: Vec<Act>) -> Id {
        self.script(name, vec![("only", acts)]).0
    }

    pub(crate) fn counter(&mut self, name: &str, until: i64, batch: i64) -> Id {
        let core = Core::Input(Source::Dynamic(Arc::new(Counter { until, batch })));
        self.step(name, &[], 1, core)[0]
    }

    pub(crate) fn map(
        &mut self,
        name: &str,
        up: Id,
        mapper: impl Fn(Vec<Value>) -> Result<Vec<Value>, String> + Send + Sync + 'static,
    ) -> Id {
        let core = Core::FlatMapBatch(Arc::new(Map(Box::new(mapper))));
        self.step(name, &[up], 1, core)[0]
    }

    /// A mapper that does nothing, with a native form that does something: so a test
    /// sees which of them ran.
    pub(crate) fn stage(&mut self, name: &str, up: Id, stage: Stage) -> Id {
        let down = self.map(name, up, Ok);
        if let Some(step) = self.steps.last_mut() {
            step.native = vec![Native::Stage(Arc::new(stage))];
        }
        down
    }

    pub(crate) fn branch(&mut self, name: &str, up: Id, predicate: fn(&Value) -> bool) -> (Id, Id) {
        let core = Core::Branch(Arc::new(Test(predicate)));
        let made = self.step(name, &[up], 2, core);
        (made[0], made[1])
    }

    pub(crate) fn merge(&mut self, name: &str, ups: &[Id]) -> Id {
        self.step(name, ups, 1, Core::Merge)[0]
    }

    pub(crate) fn redistribute(&mut self, name: &str, up: Id) -> Id {
        self.step(name, &[up], 1, Core::Redistribute)[0]
    }

    pub(crate) fn inspect(&mut self, name: &str, up: Id) -> (Id, Seen) {
        let seen = Seen::default();
        let core = Core::InspectDebug(Arc::new(Look(Arc::clone(&seen))));
        (self.step(name, &[up], 1, core)[0], seen)
    }

    pub(crate) fn stateful(
        &mut self,
        name: &str,
        up: Id,
        builder: impl StatefulBatch<Integers> + 'static,
    ) -> Id {
        self.step(name, &[up], 1, Core::StatefulBatch(Arc::new(builder)))[0]
    }

    pub(crate) fn timed(
        &mut self,
        name: &str,
        up: Id,
        builder: impl TimedBatch<Integers> + 'static,
    ) -> Id {
        self.step(name, &[up], 1, Core::TimedBatch(Arc::new(builder)))[0]
    }

    pub(crate) fn collect(&mut self, name: &str, up: Id) -> Collected {
        self.collect_with(name, up, None)
    }

    pub(crate) fn collect_with(
        &mut self,
        name: &str,
        up: Id,
        write: Option<fn(&[Value])>,
    ) -> Collected {
        let taken = Collected::default();
        let sink = CollectDynamic {
            taken: taken.clone(),
            write,
        };
        let core = Core::Output(Sink::Dynamic(Arc::new(sink)));
        self.step(name, &[up], 0, core);
        taken
    }

    pub(crate) fn collect_parts_to(
        &mut self,
        name: &str,
        up: Id,
        parts: Vec<&'static str>,
        taken: &Collected,
    ) {
        let sink = CollectPartitioned {
            parts,
            taken: taken.clone(),
        };
        let core = Core::Output(Sink::Partitioned(Arc::new(sink)));
        self.step(name, &[up], 0, core);
    }

    pub(crate) fn collect_parts(
        &mut self,
        name: &str,
        up: Id,
        parts: Vec<&'static str>,
    ) -> Collected {
        let taken = Collected::default();
        self.collect_parts_to(name, up, parts, &taken);
        taken
    }

    pub(crate) fn plan(self) -> Plan<Integers> {
        Plan {
            flow_id: "flow".to_owned(),
            steps: self.steps,
        }
    }

    pub(crate) fn run(self, workers: usize) -> Result<Ending, Error<Integers>> {
        self.run_with(settings(workers))
    }

    pub(crate) fn run_with(self, settings: Settings) -> Result<Ending, Error<Integers>> {
        run(&self.plan(), &settings, &caller(|| Ok(())))
    }
}

pub(crate) fn settings(workers: usize) -> Settings {
    Settings {
        workers,
        epoch_interval: Settings::EPOCH_INTERVAL,
        room: Settings::ROOM_PER_WORKER * workers,
        optimize: true,
        clock: Arc::new(SystemClock::new()),
        recovery: None,
        cluster: None,
    }
}

/// An epoch per batch.
pub(crate) fn epoch_per_batch(workers: usize) -> Settings {
    Settings {
        epoch_interval: Duration::ZERO,
        ..settings(workers)
    }
}
