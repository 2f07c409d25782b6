//! What survives a crash: the files of the store, and the system that the sink writes to.

use std::collections::BTreeMap;

use millstream_recovery::id::{Epoch, ExecutionId, Generation, StorePartition, WriteSequence};
use millstream_recovery::protocol::lease::Holding;
use millstream_recovery::protocol::manifest::History;
use millstream_recovery::protocol::partitions::PartitionFound;
use millstream_recovery::protocol::path::{CommittedPath, Standing, Version};

use super::{Key, Sabotage, Shape};

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// The number of items of a key is odd.
    Odd(Key),
    /// How many items a worker has read.
    Position(usize),
}

impl Subject {
    /// The partition of the store it belongs to: other ones for the state and the position
    /// of the same item.
    pub(crate) fn partition(self, shape: &Shape) -> usize {
        match self {
            Self::Odd(key) => usize::from(key) % shape.partitions,
            Self::Position(worker) => (worker + 1) % shape.partitions,
        }
    }
}

/// A record in a store. Without a value, it says that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) execution: ExecutionId,
    pub(crate) epoch: Epoch,
    pub(crate) value: Option<usize>,
}

impl Record {
    fn version(&self) -> Version {
        Version {
            execution: self.execution,
            epoch: self.epoch,
            is_tombstone: self.value.is_none(),
        }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    pub(crate) generation: Generation,
    pub(crate) sequence: WriteSequence,
    collected: Option<Epoch>,
    records: BTreeMap<Subject, Vec<Record>>,
}

impl Partition {
    pub(crate) fn write(&mut self, subject: Subject, record: Record) {
        self.records.entry(subject).or_default().push(record);
    }

    /// Deletes what is garbage by this path.
    pub(crate) fn collect(&mut self, path: &CommittedPath, through: Epoch) {
        for records in self.records.values_mut() {
            let all = records.clone();
            records.retain(|record| !is_garbage(path, record, &all));
        }
        self.records.retain(|_, records| !records.is_empty());
        self.collected = self.collected.max(Some(through));
    }
}

fn is_garbage(path: &CommittedPath, record: &Record, all: &[Record]) -> bool {
    let versions: Vec<_> = all.iter().map(Record::version).collect();
    path.standing(record.version(), &versions).is_garbage()
}

/// All files. The home partition also has the generation and the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) generation: Generation,
    pub(crate) history: History,
    partitions: Vec<Partition>,
}

/// What an execution begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Loaded {
    /// How many items each worker had read.
    pub(crate) positions: Vec<usize>,
    /// The keys with an odd number of items, in order.
    pub(crate) odd: Vec<Key>,
    /// Who wrote what was loaded, and as of which epoch.
    pub(crate) sources: Vec<(ExecutionId, Epoch)>,
}

impl Store {
    pub(super) fn new(partitions: usize) -> Self {
        let partition = Partition {
            generation: Generation(0),
            sequence: WriteSequence(0),
            collected: None,
            records: BTreeMap::new(),
        };
        Self {
            generation: Generation(0),
            history: History::default(),
            partitions: vec![partition; partitions],
        }
    }

    pub(crate) fn partition(&mut self, partition: StorePartition) -> &mut Partition {
        &mut self.partitions[partition.0 as usize]
    }

    pub(super) fn sequence(&self, partition: usize) -> WriteSequence {
        self.partitions[partition].sequence
    }

    pub(super) fn has_garbage(&self, partition: usize, path: &CommittedPath) -> bool {
        let mut records = self.partitions[partition].records.values();
        records.any(|all| all.iter().any(|record| is_garbage(path, record, all)))
    }

    pub(super) fn holding(&self) -> Holding {
        Holding {
            generation: self.generation,
            is_released: false,
        }
    }

    pub(super) fn found(&self) -> Vec<PartitionFound> {
        let count = u32::try_from(self.partitions.len()).unwrap();
        let files = (0..count).zip(&self.partitions);
        let found = files.map(|(index, file)| PartitionFound {
            partition: StorePartition(index),
            count,
            sequence: file.sequence,
            generation: file.generation,
            collected: file.collected,
        });
        found.collect()
    }

    pub(super) fn load(&self, shape: &Shape, path: &CommittedPath) -> Loaded {
        let mut loaded = Loaded {
            positions: vec![0; shape.inputs.len()],
            ..Loaded::default()
        };
        let records = self.partitions.iter().flat_map(|file| &file.records);
        for (subject, records) in records {
            let Some(record) = choose(shape, path, *subject, records) else {
                continue;
            };
            loaded.sources.push((record.execution, record.epoch));
            match *subject {
                Subject::Odd(key) => loaded.odd.push(key),
                Subject::Position(worker) => loaded.positions[worker] = record.value.unwrap(),
            }
        }
        loaded.odd.sort_unstable();
        loaded
    }

    /// Whether there is a record that never became history.
    pub(crate) fn has_orphan(&self, path: &CommittedPath) -> bool {
        let records = self
            .partitions
            .iter()
            .flat_map(|file| file.records.values());
        let mut records = records.flatten();
        records.any(|record| path.standing(record.version(), &[]) == Standing::Orphan)
    }
}

fn choose<'a>(
    shape: &Shape,
    path: &CommittedPath,
    subject: Subject,
    records: &'a [Record],
) -> Option<&'a Record> {
    let is_position = matches!(subject, Subject::Position(_));
    if is_position && shape.sabotage == Some(Sabotage::LoadNewestPosition) {
        return records
            .iter()
            .max_by_key(|record| (record.epoch, record.execution));
    }
    let versions: Vec<_> = records.iter().map(Record::version).collect();
    let live = path.live(&versions)?;
    records.iter().find(|record| record.version() == live)
}

/// Items of one epoch that a partition of the sink writes together: a stretch of the input of
/// its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Batch {
    pub(crate) epoch: Epoch,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

/// The system that the sink writes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sink {
    pub(crate) generation: Generation,
    partitions: Vec<SinkFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct SinkFile {
    /// How many items of its input the plain sink has written, at least once.
    written: usize,
    prepared: Vec<(ExecutionId, Batch)>,
    published: Vec<Batch>,
}

impl Sink {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            generation: Generation(0),
            partitions: vec![SinkFile::default(); partitions],
        }
    }

    pub(crate) fn write(&mut self, sink: usize, first: usize, end: usize) {
        let written = &mut self.partitions[sink].written;
        if first <= *written {
            *written = end.max(*written);
        }
    }

    pub(crate) fn written_through(&self) -> impl Iterator<Item = usize> {
        self.partitions.iter().map(|file| file.written)
    }

    pub(crate) fn prepare(&mut self, sink: usize, execution: ExecutionId, batch: Batch) {
        self.partitions[sink].prepared.push((execution, batch));
    }

    /// Publishes of what was prepared that which `is_due`.
    pub(crate) fn publish(
        &mut self,
        shape: &Shape,
        sink: usize,
        is_due: impl Fn(ExecutionId, Epoch) -> bool,
    ) {
        let SinkFile {
            prepared,
            published,
            ..
        } = &mut self.partitions[sink];
        let is_due = |(execution, batch): &(ExecutionId, Batch)| is_due(*execution, batch.epoch);
        let due = prepared.iter().filter(|pending| is_due(pending));
        published.extend(due.map(|(_, batch)| *batch));
        if shape.sabotage != Some(Sabotage::PublishAgain) {
            prepared.retain(|pending| !is_due(pending));
        }
    }

    /// A new execution opens the sink: what is history is published, the rest discarded.
    pub(super) fn open(&mut self, shape: &Shape, generation: Generation, path: &CommittedPath) {
        self.generation = generation;
        for sink in 0..self.partitions.len() {
            if shape.sabotage != Some(Sabotage::DiscardCommitted) {
                self.publish(shape, sink, |execution, epoch| {
                    path.contains(execution, epoch)
                });
            }
            self.partitions[sink].prepared.clear();
        }
    }

    /// The last epoch that each partition has published.
    pub(super) fn progress(&self) -> impl Iterator<Item = Epoch> {
        let files = self.partitions.iter();
        files.filter_map(|file| file.published.iter().map(|batch| batch.epoch).max())
    }

    /// What each partition has published, as it came.
    pub(crate) fn published(&self) -> impl Iterator<Item = &[Batch]> {
        self.partitions.iter().map(|file| file.published.as_slice())
    }

    /// How many items of its input each partition has published from the beginning on, each
    /// once; none if they are not such a stretch.
    pub(crate) fn published_through(&self) -> Vec<Option<usize>> {
        let files = self.partitions.iter();
        files.map(|file| stretch(file.published.clone())).collect()
    }

    /// The same, if all that is prepared and history were published as well.
    pub(crate) fn publishable_through(&self, path: &CommittedPath) -> Vec<Option<usize>> {
        let files = self.partitions.iter().map(|file| {
            let prepared = file.prepared.iter();
            let history = prepared.filter(|(by, batch)| path.contains(*by, batch.epoch));
            let history = history.map(|(_, batch)| *batch);
            stretch(file.published.iter().copied().chain(history).collect())
        });
        files.collect()
    }
}

/// Where batches end that follow on each other from the beginning.
fn stretch(mut batches: Vec<Batch>) -> Option<usize> {
    batches.sort_unstable_by_key(|batch| batch.first);
    batches.iter().try_fold(0, |through, batch| {
        (batch.first == through).then_some(batch.end)
    })
}
