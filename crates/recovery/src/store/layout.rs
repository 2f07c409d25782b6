//! How a store is laid out: its file names, its tables, and which file a key is in.

use twox_hash::XxHash3_64;

use crate::id::StorePartition;

/// What is written into the header of each file, so that it is known for one of ours.
pub(super) const APPLICATION: i64 = 0x6d73_7274;

/// The version of all that is described here and in [`crate::frame`].
pub(super) const FORMAT: i64 = 1;

/// The most files that a store can have; each is a few open files of the process.
pub(super) const MOST_PARTITIONS: u32 = 1024;

/// The partition that keeps what there is once per store.
pub(super) const HOME: StorePartition = StorePartition(0);

/// The tables, the same in every file; those after `snapshots` are empty but in home.
///
/// `snapshots` is its own index, with the newest row of a key first: loading goes through it
/// once, from page to page, and knows the live row when it meets the key.
pub(super) const TABLES: [(&str, &str); 8] = [
    (
        "identity",
        "CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 0), store TEXT NOT NULL, \
         number INTEGER NOT NULL, count INTEGER NOT NULL) STRICT",
    ),
    (
        "seal",
        "CREATE TABLE seal (only INTEGER PRIMARY KEY CHECK (only = 0), generation INTEGER NOT NULL, \
         sequence INTEGER NOT NULL, records INTEGER NOT NULL, total INTEGER NOT NULL, \
         execution INTEGER, epoch INTEGER, closed INTEGER NOT NULL, digest INTEGER NOT NULL) STRICT",
    ),
    (
        "steps",
        "CREATE TABLE steps (step INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    ),
    (
        "snapshots",
        "CREATE TABLE snapshots (step INTEGER NOT NULL, key TEXT NOT NULL, \
         execution INTEGER NOT NULL, epoch INTEGER NOT NULL, frame BLOB, \
         PRIMARY KEY (step, key, execution DESC, epoch DESC)) STRICT, WITHOUT ROWID",
    ),
    (
        "manifest",
        "CREATE TABLE manifest (only INTEGER PRIMARY KEY CHECK (only = 0), document TEXT NOT NULL, \
         digest INTEGER NOT NULL) STRICT",
    ),
    (
        "executions",
        "CREATE TABLE executions (execution INTEGER PRIMARY KEY, resume INTEGER NOT NULL, \
         generation INTEGER NOT NULL, workers INTEGER NOT NULL, started INTEGER NOT NULL, \
         digest INTEGER NOT NULL) STRICT",
    ),
    (
        "commits",
        "CREATE TABLE commits (execution INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, \
         digest INTEGER NOT NULL) STRICT",
    ),
    (
        "witness",
        "CREATE TABLE witness (number INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, \
         digest INTEGER NOT NULL) STRICT",
    ),
];

/// The name of a file.
pub(super) fn file_name(partition: StorePartition) -> String {
    format!("part-{partition}.sqlite3")
}

/// Which of `count` partitions a key of a step is in. The same for ever: files depend on it.
pub fn partition_of(step: &str, key: &str, count: u32) -> StorePartition {
    let seed = XxHash3_64::oneshot(step.as_bytes());
    let hash = XxHash3_64::oneshot_with_seed(seed, key.as_bytes());
    let partition = hash % u64::from(count.max(1));
    // Less than a `u32`, as `count` is.
    StorePartition(u32::try_from(partition).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_where_they_are() {
        let found: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .map(|key| partition_of("flow.count", key, 3).0)
            .to_vec();
        assert_eq!(found, [0, 2, 1, 1, 0, 0]);
    }
}
