//! Loading: one pass over a file, in the order it is kept in.
//!
//! The newest row of a key comes first, so the live one is known when it is met, and nothing is
//! remembered but the key. All rows are read and checked, those that don't count too, as the
//! seal is of all. It can only be compared at the end: **what was delivered counts only once the
//! pass has ended well.**

use std::cmp::Ordering;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::changes::Steps;
use super::error::{Attempt, Result, StoreError};
use super::partition::Partition;
use super::path::CommittedPath;
use super::seal::{Seal, number};
use crate::frame::{Codec, Identity, decode};
use crate::id::{Epoch, ExecutionId, StateKey, StepId, WorkerIndex};

/// The state of a key on the committed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded<'a> {
    /// The worker it belongs to.
    pub worker: WorkerIndex,
    /// The step.
    pub step: &'a str,
    /// The key within the step.
    pub key: &'a str,
    /// The execution that wrote it.
    pub execution: ExecutionId,
    /// The epoch at whose end it was taken.
    pub epoch: Epoch,
    /// How to read the state.
    pub codec: Codec,
    /// The state.
    pub payload: &'a [u8],
}

/// What a pass went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// All rows, of which each was visited once.
    pub rows: u64,
    /// Those that were delivered.
    pub live: u64,
}

/// One row, checked.
pub(super) struct Checked<'a> {
    pub(super) step: i64,
    pub(super) identity: Identity<'a>,
    /// Whether it is the newest row of its key.
    pub(super) is_first: bool,
    /// `None` for a tombstone.
    pub(super) state: Option<(Codec, &'a [u8])>,
    /// As it is in the file.
    pub(super) frame: Option<&'a [u8]>,
    /// What the seal has for it.
    pub(super) checksum: u64,
}

impl Partition {
    /// Delivers the live row of each key.
    pub(super) fn load<E: From<StoreError>>(
        &self,
        path: &CommittedPath,
        route: &dyn Fn(&str, &str) -> WorkerIndex,
        deliver: &mut dyn FnMut(Loaded<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Load, E> {
        let mut load = Load::default();
        // Whether the live row of the key has been met.
        let mut is_settled = false;
        self.visit(&mut |row: Checked<'_>| {
            load.rows += 1;
            let Identity {
                step,
                key,
                execution,
                epoch,
            } = row.identity;
            is_settled &= !row.is_first;
            if is_settled || !path.contains(execution, epoch) {
                return Ok(());
            }
            is_settled = true;
            let Some((codec, payload)) = row.state else {
                return Ok(());
            };
            load.live += 1;
            deliver(Loaded {
                worker: route(step, key),
                step,
                key,
                execution,
                epoch,
                codec,
                payload,
            })
        })?;
        Ok(load)
    }

    /// Reads and checks all rows and compares them with the seal, in one state of the file.
    pub(super) fn visit<E: From<StoreError>>(
        &self,
        visitor: &mut dyn FnMut(Checked<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let attempt = Attempt::new(&self.path, "load snapshots");
        let _snapshot = self.snapshot()?;
        let sealed = self.seal()?;
        let steps = Steps::read(&self.connection, attempt)?;
        let history = self.history()?;
        let mut counted = Seal::new();
        for checksum in steps.checksums().chain(history.checksums()) {
            counted.add(checksum);
        }
        let mut statement = self
            .connection
            .prepare(
                "SELECT step, key, execution, epoch, frame FROM snapshots \
                 ORDER BY step, key, execution DESC, epoch DESC",
            )
            .map_err(attempt.sqlite())?;
        let mut rows = statement.query(()).map_err(attempt.sqlite())?;
        let mut before: Option<Place> = None;
        while let Some(row) = rows.next().map_err(attempt.sqlite())? {
            let mut checked = self.check(row, &steps)?;
            // That the newest row comes first stands on the order, and a damaged tree can give
            // the same rows in another one.
            checked.is_first = match &before {
                None => true,
                Some(before) => before
                    .precedes(&checked)
                    .ok_or_else(|| StoreError::corrupt(&self.path, "its rows are out of order"))?,
            };
            Place::set(&mut before, &checked);
            counted.add(checked.checksum);
            fail_point!("load-row");
            visitor(checked)?;
        }
        if (counted.records, counted.total) != (sealed.records, sealed.total) {
            return Err(StoreError::corrupt(
                &self.path,
                format!(
                    "its seal counts {} rows where {} were found, or other ones",
                    sealed.records, counted.records
                ),
            )
            .into());
        }
        Ok(())
    }

    fn check<'a>(&self, row: &'a Row<'_>, steps: &'a Steps) -> Result<Checked<'a>> {
        let attempt = Attempt::new(&self.path, "load snapshots");
        let damaged = |what: &str| StoreError::corrupt(&self.path, what);
        let read = || -> rusqlite::Result<_> {
            let key = row.get_ref(1)?.as_str()?;
            Ok((
                row.get(0)?,
                key,
                ExecutionId(number(row, 2)?),
                Epoch(number(row, 3)?),
                row.get_ref(4)?,
            ))
        };
        let (step, key, execution, epoch, frame) = read().map_err(attempt.sqlite())?;
        let identity = Identity {
            step: steps
                .name(step)
                .ok_or_else(|| damaged("it has rows of no step"))?,
            key,
            execution,
            epoch,
        };
        let frame = match frame {
            ValueRef::Null => None,
            ValueRef::Blob(frame) => Some(frame),
            _ => return Err(damaged("it has a snapshot that is no bytes")),
        };
        let (state, checksum) = match frame {
            None => (None, identity.tombstone()),
            Some(bytes) => {
                let frame = decode(&identity, bytes).map_err(|source| StoreError::Record {
                    path: self.path.clone(),
                    step: StepId(identity.step.to_owned()),
                    key: StateKey(key.to_owned()),
                    execution,
                    epoch,
                    source,
                })?;
                (Some((frame.codec, frame.payload)), frame.checksum)
            }
        };
        Ok(Checked {
            step,
            identity,
            is_first: true,
            state,
            frame,
            checksum,
        })
    }
}

/// Where a row is in the order of the rows.
struct Place {
    step: i64,
    key: String,
    execution: ExecutionId,
    epoch: Epoch,
}

impl Place {
    fn set(place: &mut Option<Self>, row: &Checked<'_>) {
        let mut key = place.take().map_or_else(String::new, |place| place.key);
        key.clear();
        key.push_str(row.identity.key);
        *place = Some(Self {
            step: row.step,
            key,
            execution: row.identity.execution,
            epoch: row.identity.epoch,
        });
    }

    /// Whether the row that follows is of another key; `None` if it may not follow.
    fn precedes(&self, row: &Checked<'_>) -> Option<bool> {
        let Identity {
            key,
            execution,
            epoch,
            ..
        } = row.identity;
        match (self.step, self.key.as_str()).cmp(&(row.step, key)) {
            Ordering::Less => Some(true),
            Ordering::Equal if (execution, epoch) < (self.execution, self.epoch) => Some(false),
            _ => None,
        }
    }
}
