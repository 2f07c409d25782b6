//! The form of one record in the store.
