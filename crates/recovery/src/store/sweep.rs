//! Sweeping: removing all that no resume needs, by going through everything once.
//!
//! While a run goes on, [`collect`](super::Store::collect) knows the keys that were written and
//! looks at nothing else. What it still had to do when a run crashed is found here, and with it
//! the rows that the crash left beyond the last commit.

use std::ops::AddAssign;

use super::changes::Doomed;
use super::error::{Attempt, Result};
use super::partition::Partition;
use super::path::CommittedPath;
use super::seal::number;
use crate::id::{Epoch, ExecutionId, Generation};

/// How many rows go in one transaction: enough to be quick, little enough for the log.
const CHUNK: usize = 10_000;

/// A step, by its number, and a key.
type Place = (i64, String);

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that never became history.
    pub orphans: usize,
    /// Rows that a newer one has superseded, and tombstones.
    pub superseded: usize,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.orphans += other.orphans;
        self.superseded += other.superseded;
    }
}

impl Partition {
    pub(super) fn sweep(&mut self, ours: Generation, path: &CommittedPath) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut from = (0, String::new());
        loop {
            let (doomed, next) = self.find_doomed(path, &from, &mut swept)?;
            if !doomed.is_empty() {
                self.write(ours, "remove what is no longer needed", |changes| {
                    for row in &doomed {
                        changes.remove(row)?;
                    }
                    fail_point!("sweep-chunk");
                    Ok(())
                })?;
            }
            match next {
                Some(next) => from = next,
                None => return Ok(swept),
            }
        }
    }

    /// The next rows to remove, from a key on, and the key to go on from. A key is dealt with
    /// in one go.
    fn find_doomed(
        &self,
        path: &CommittedPath,
        from: &Place,
        swept: &mut Swept,
    ) -> Result<(Vec<Doomed>, Option<Place>)> {
        let attempt = Attempt::new(&self.path, "look for what is no longer needed");
        let mut statement = self
            .connection
            .prepare(
                "SELECT step, key, execution, epoch, frame IS NULL FROM snapshots \
                 WHERE (step, key) >= (?, ?) ORDER BY step, key, execution DESC, epoch DESC",
            )
            .map_err(attempt.sqlite())?;
        let mut rows = statement
            .query((from.0, &from.1))
            .map_err(attempt.sqlite())?;
        let mut doomed = Vec::new();
        let mut key: Option<Place> = None;
        let mut is_settled = false;
        while let Some(row) = rows.next().map_err(attempt.sqlite())? {
            let read = || -> rusqlite::Result<_> {
                let row_of = Doomed {
                    step: row.get(0)?,
                    key: row.get(1)?,
                    execution: ExecutionId(number(row, 2)?),
                    epoch: Epoch(number(row, 3)?),
                };
                Ok((row_of, row.get::<_, bool>(4)?))
            };
            let (row, is_tombstone) = read().map_err(attempt.sqlite())?;
            let is_same = key
                .as_ref()
                .is_some_and(|(step, key)| *step == row.step && *key == row.key);
            if !is_same {
                if doomed.len() >= CHUNK {
                    return Ok((doomed, Some((row.step, row.key))));
                }
                key = Some((row.step, row.key.clone()));
                is_settled = false;
            }
            if !path.contains(row.execution, row.epoch) {
                swept.orphans += 1;
            } else if is_settled || is_tombstone {
                is_settled = true;
                swept.superseded += 1;
            } else {
                is_settled = true;
                continue;
            }
            doomed.push(row);
        }
        Ok((doomed, None))
    }
}
