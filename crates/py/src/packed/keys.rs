//! The keys of a batch: a number for each pair, and behind a number that is new, the text.
//!
//! ```text
//! number (4), and if it is as large as there were keys so far: tag, length (4), UTF-8
//! ```

use hashbrown::HashTable;
use millstream_engine::host::Key;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::plain::{self, Reader};
use crate::key::PyKey;

/// The keys that a batch has named so far.
#[derive(Default)]
pub(super) struct KeysWritten<'a> {
    keys: Vec<&'a PyKey>,
    index: HashTable<u32>,
}

impl<'a> KeysWritten<'a> {
    /// Writes a key, if it has a plain form.
    pub(super) fn write(
        &mut self,
        py: Python<'_>,
        key: &'a PyKey,
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        let hash = key.stable_hash();
        let keys = &self.keys;
        let known = self
            .index
            .find(hash, |&number| keys[number as usize].is_same(key));
        if let Some(number) = known {
            bytes.extend_from_slice(&number.to_le_bytes());
            return Some(());
        }
        let number = u32::try_from(self.keys.len()).ok()?;
        self.keys.push(key);
        let keys = &self.keys;
        self.index
            .insert_unique(hash, number, |&number| keys[number as usize].stable_hash());
        bytes.extend_from_slice(&number.to_le_bytes());
        plain::write_text(key.bind(py), bytes)
    }
}

/// Reads a key, given those that the batch has named so far.
pub(super) fn read_key(
    py: Python<'_>,
    keys: &mut Vec<PyKey>,
    reader: &mut Reader<'_>,
) -> PyResult<PyKey> {
    let number = reader.read_length()?;
    if let Some(key) = keys.get(number) {
        return Ok(key.clone_ref(py));
    }
    if number > keys.len() {
        return Err(PyValueError::new_err("what came names a key that it lacks"));
    }
    let key = PyKey::of_text(reader.read(py)?)?;
    keys.push(key.clone_ref(py));
    Ok(key)
}
