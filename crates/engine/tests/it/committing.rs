//! A two-phase sink: files of lines that appear when their epoch is kept.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use millstream_engine::epoch::Epoch;
use millstream_engine::logic::{PartitionedSink, SinkPartition};
use millstream_engine::plan::StepId;
use millstream_engine::recovery::{Codec, Saved};

use crate::integers::{IntFailure, Integers, Values, Word};

/// The parts that there are.
pub(crate) const PARTS: [&str; 2] = ["x", "y"];

/// Writes to a directory.
pub(crate) struct CommittingFiles(pub(crate) PathBuf);

/// One part. A pending file is called after its part, the process, a number, and then its epoch;
/// a finished one after its part and epoch.
struct Part {
    directory: PathBuf,
    name: String,
    file: Option<(PathBuf, File)>,
    /// How many files this process has begun.
    opened: u32,
    /// The files that are prepared and not published, by epoch.
    prepared: Vec<(Epoch, PathBuf)>,
}

impl PartitionedSink<Integers> for CommittingFiles {
    fn list_parts(&self, (): ()) -> Result<Vec<String>, IntFailure> {
        Ok(PARTS.map(str::to_owned).to_vec())
    }

    fn route(&self, (): (), key: &Word, parts: usize) -> Result<usize, IntFailure> {
        use millstream_engine::host::Key;
        Ok(key.as_str().len() % parts)
    }

    fn is_two_phase(&self) -> bool {
        true
    }

    fn claim_part(&self, (): (), _step: &StepId, part: &str) -> Result<Option<Saved>, IntFailure> {
        let finished = format!("{part}-");
        assert!(
            names(&self.0)
                .iter()
                .all(|name| !name.starts_with(&finished)),
            "a part with finished files is claimed"
        );
        Ok(Some(saved(&[])))
    }

    fn build_part(
        &self,
        (): (),
        _step: &StepId,
        part: &str,
        _execution: u64,
        resume: Option<&Saved>,
    ) -> Result<Box<dyn SinkPartition<Integers>>, IntFailure> {
        let built = Part {
            directory: self.0.clone(),
            name: part.to_owned(),
            file: None,
            opened: 0,
            prepared: Vec::new(),
        };
        for path in resume.map(read).unwrap_or_default() {
            built.publish_file(&path);
        }
        let pending = format!(".{part}-");
        for name in names(&self.0) {
            if name.starts_with(&pending) {
                fs::remove_file(self.0.join(name)).unwrap();
            }
        }
        Ok(Box::new(built))
    }
}

impl Part {
    /// A file that isn't there is published already.
    fn publish_file(&self, pending: &Path) {
        if pending.exists() {
            let epoch = pending.extension().unwrap().to_str().unwrap();
            let finished = self.directory.join(format!("{}-{epoch}", self.name));
            assert!(!finished.exists(), "an epoch is published twice");
            fs::rename(pending, finished).unwrap();
        }
    }
}

impl SinkPartition<Integers> for Part {
    fn write_batch(&mut self, (): (), Values(items): Values) -> Result<(), IntFailure> {
        let (_, file) = self.file.get_or_insert_with(|| {
            self.opened += 1;
            let name = format!(".{}-{}-{}", self.name, process::id(), self.opened);
            let path = self.directory.join(name);
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).open(&path).unwrap();
            (path, file)
        });
        let lines = items.iter().map(|item| format!("{}\n", item.int()));
        file.write_all(lines.collect::<String>().as_bytes())
            .unwrap();
        Ok(())
    }

    fn snapshot(&mut self, (): ()) -> Result<Option<Saved>, IntFailure> {
        Ok(Some(saved(&self.prepared)))
    }

    fn prepare(&mut self, (): (), epoch: Epoch) -> Result<(), IntFailure> {
        if let Some((path, _)) = self.file.take() {
            let ready = path.with_extension(epoch.0.to_string());
            fs::rename(&path, &ready).unwrap();
            self.prepared.push((epoch, ready));
        }
        Ok(())
    }

    fn publish(&mut self, (): (), through: Epoch) -> Result<bool, IntFailure> {
        let before = self.prepared.len();
        for (epoch, pending) in std::mem::take(&mut self.prepared) {
            if epoch <= through {
                self.publish_file(&pending);
            } else {
                self.prepared.push((epoch, pending));
            }
        }
        Ok(self.prepared.len() < before)
    }

    fn close(&mut self, (): ()) -> Result<(), IntFailure> {
        Ok(())
    }
}

/// The lines that can be seen.
pub(crate) fn seen(directory: &Path) -> Vec<i64> {
    let finished = names(directory);
    let finished = finished.iter().filter(|name| !name.starts_with('.'));
    let text: String = finished
        .map(|name| fs::read_to_string(directory.join(name)).unwrap())
        .collect();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The names of all files.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn saved(prepared: &[(Epoch, PathBuf)]) -> Saved {
    let paths = prepared.iter().map(|(_, path)| path.to_str().unwrap());
    Saved {
        codec: Codec::Native,
        payload: paths.collect::<Vec<_>>().join("\n").into_bytes(),
    }
}

fn read(saved: &Saved) -> Vec<PathBuf> {
    let text = std::str::from_utf8(&saved.payload).unwrap();
    text.lines().map(PathBuf::from).collect()
}
