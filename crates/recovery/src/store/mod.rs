//! Where snapshots are kept.
