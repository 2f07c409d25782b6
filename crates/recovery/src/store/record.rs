//! What is written: the state of one key at the end of one epoch.

use super::error::{Result, StoreError};
use crate::frame::{Codec, FrameError, check_size};
use crate::id::{Epoch, StateKey, StepId};

/// The state of a key at the end of an epoch, or that it has none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The step.
    pub step: StepId,
    /// The key within the step.
    pub key: StateKey,
    /// The epoch that ended.
    pub epoch: Epoch,
    /// The state; `None` when the key was forgotten.
    pub state: Option<State>,
}

/// A state as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How to read them.
    pub codec: Codec,
    /// The bytes; at most [`crate::frame::MAX_PAYLOAD`].
    pub payload: Vec<u8>,
}

/// What a record takes beside its strings and bytes, roughly, in memory as in the store.
const OVERHEAD: usize = 64;

impl Record {
    /// Whether a frame can hold the state.
    pub fn check_size(&self) -> Result<()> {
        let size = self.state.as_ref().map_or(0, |state| state.payload.len());
        match check_size(size) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.too_large(source)),
        }
    }

    pub(super) fn too_large(&self, source: FrameError) -> StoreError {
        StoreError::TooLarge {
            step: self.step.clone(),
            key: self.key.clone(),
            source,
        }
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let payload = self.state.as_ref().map_or(0, |state| state.payload.len());
        OVERHEAD + self.step.0.len() + self.key.0.len() + payload
    }
}
