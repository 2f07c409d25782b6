//! The form of one record in the store.
//!
//! ```text
//! magic  version  codec  zero  length (u32)  payload …  checksum (u64)
//! ```
//!
//! Numbers are little-endian. The checksum is XXH3-64 over all that comes before it, seeded
//! with the [`Identity`] of the record, which isn't part of the frame: the same bytes under
//! another key, step, epoch or execution don't check, so rows can't be swapped unnoticed.
//!
//! A frame comes from a disk, so reading one trusts nothing: any bytes give either the payload
//! that was written or a [`FrameError`], and nothing is allocated by what a length claims.

use thiserror::Error;
use twox_hash::XxHash3_64;

use crate::id::{Epoch, ExecutionId};

/// The most that a payload may be, in bytes.
pub const MAX_PAYLOAD: usize = 512 * 1024 * 1024;

const MAGIC: u8 = 0xB7;
const VERSION: u8 = 1;
const HEADER: usize = 8;
const CHECKSUM: usize = 8;

/// How the payload is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Written by the engine itself. Reading it runs no code of anybody.
    Native,
    /// A pickle of Python. Reading it can run any code.
    Pickle,
}

impl Codec {
    fn byte(self) -> u8 {
        match self {
            Self::Native => 1,
            Self::Pickle => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Native),
            2 => Some(Self::Pickle),
            _ => None,
        }
    }

    /// The name people see and type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Pickle => "pickle",
        }
    }
}

/// What a record is of; bound into its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    /// The step.
    pub step: &'a str,
    /// The key within the step.
    pub key: &'a str,
    /// The execution that wrote it.
    pub execution: ExecutionId,
    /// The epoch at whose end it was taken.
    pub epoch: Epoch,
}

impl Identity<'_> {
    /// The checksum of a record that says that the key was forgotten. There is no frame.
    pub fn tombstone(&self) -> u64 {
        XxHash3_64::oneshot_with_seed(self.seed(), &[MAGIC])
    }

    fn seed(&self) -> u64 {
        Digest::new()
            .text(self.step)
            .text(self.key)
            .number(self.execution.0)
            .number(self.epoch.0)
            .finish()
    }
}

/// A frame that checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How to read the payload.
    pub codec: Codec,
    /// The state.
    pub payload: &'a [u8],
    /// The checksum at its end.
    pub checksum: u64,
}

/// Why bytes are not the frame of this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// More than [`MAX_PAYLOAD`].
    #[error("it is {0} bytes, and the most is {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// The bytes end too early, or go on after the end.
    #[error("it is {actual} bytes long where {expected} were written")]
    Length {
        /// What the header says.
        expected: usize,
        /// What is there.
        actual: usize,
    },
    /// The bytes don't begin as frames do.
    #[error("it does not begin as a record does")]
    NotAFrame,
    /// A later millstream wrote it.
    #[error("it is in version {0} of the record format, and this millstream reads {VERSION}")]
    Version(u8),
    /// The codec isn't known.
    #[error("its codec {0} is not known")]
    Codec(u8),
    /// The bytes, or the step, key, execution or epoch, are not those that were written.
    #[error("its checksum does not match")]
    Checksum,
}

/// Frames a payload.
pub fn encode(
    identity: &Identity<'_>,
    codec: Codec,
    payload: &[u8],
) -> Result<Vec<u8>, FrameError> {
    let length = check_size(payload.len())?;
    let mut frame = Vec::with_capacity(HEADER + payload.len() + CHECKSUM);
    frame.extend_from_slice(&[MAGIC, VERSION, codec.byte(), 0]);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(payload);
    let checksum = XxHash3_64::oneshot_with_seed(identity.seed(), &frame);
    frame.extend_from_slice(&checksum.to_le_bytes());
    Ok(frame)
}

/// Reads a frame back, if it is the one that was written for this record.
pub fn decode<'a>(identity: &Identity<'_>, bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
    let Some((body, tail)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(FrameError::NotAFrame);
    };
    let Some((header, payload)) = body.split_first_chunk::<HEADER>() else {
        return Err(FrameError::NotAFrame);
    };
    let [magic, version, codec, _, length @ ..] = *header;
    if magic != MAGIC {
        return Err(FrameError::NotAFrame);
    }
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let codec = Codec::from_byte(codec).ok_or(FrameError::Codec(codec))?;
    let length = u32::from_le_bytes(length) as usize;
    if length != payload.len() {
        return Err(FrameError::Length {
            expected: length.saturating_add(HEADER + CHECKSUM),
            actual: bytes.len(),
        });
    }
    let checksum = u64::from_le_bytes(*tail);
    if checksum != XxHash3_64::oneshot_with_seed(identity.seed(), body) {
        return Err(FrameError::Checksum);
    }
    Ok(Frame {
        codec,
        payload,
        checksum,
    })
}

/// Whether a payload of this many bytes may be framed, and its length as written.
pub fn check_size(size: usize) -> Result<u32, FrameError> {
    match u32::try_from(size) {
        Ok(length) if size <= MAX_PAYLOAD => Ok(length),
        _ => Err(FrameError::TooLarge(size)),
    }
}

/// The checksum of some fields, told apart so that no two lists of fields read alike.
#[derive(Debug, Default)]
pub(crate) struct Digest(Vec<u8>);

impl Digest {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let mut digest = self.number(text.len() as u64);
        digest.0.extend_from_slice(text.as_bytes());
        digest
    }

    pub(crate) fn finish(&self) -> u64 {
        XxHash3_64::oneshot(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOMETHING: Identity<'static> = Identity {
        step: "flow.count",
        key: "a",
        execution: ExecutionId(3),
        epoch: Epoch(7),
    };

    fn codec() -> impl Strategy<Value = Codec> {
        prop_oneof![Just(Codec::Native), Just(Codec::Pickle)]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload: Vec<u8>, codec in codec()) {
            let frame = encode(&SOMETHING, codec, &payload)?;
            let read = decode(&SOMETHING, &frame)?;
            prop_assert_eq!((read.codec, read.payload), (codec, &payload[..]));
        }

        #[test]
        fn any_flipped_bit_is_refused(payload: Vec<u8>, bit: prop::sample::Index) {
            let mut frame = encode(&SOMETHING, Codec::Native, &payload)?;
            let bit = bit.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&SOMETHING, &frame).is_err());
        }

        #[test]
        fn any_truncation_is_refused(payload: Vec<u8>, length: prop::sample::Index) {
            let frame = encode(&SOMETHING, Codec::Pickle, &payload)?;
            prop_assert!(decode(&SOMETHING, &frame[..length.index(frame.len())]).is_err());
        }

        #[test]
        fn anything_appended_is_refused(payload: Vec<u8>, more in prop::collection::vec(any::<u8>(), 1..40)) {
            let mut frame = encode(&SOMETHING, Codec::Pickle, &payload)?;
            frame.extend(more);
            prop_assert!(decode(&SOMETHING, &frame).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(decode(&SOMETHING, &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_after_a_good_start_are_refused(bytes: Vec<u8>) {
            let mut frame = vec![MAGIC, VERSION, 1, 0];
            frame.extend(bytes);
            prop_assert!(decode(&SOMETHING, &frame).is_err());
        }
    }

    #[test]
    fn a_frame_is_of_one_record_only() {
        let frame = encode(&SOMETHING, Codec::Native, b"state").unwrap();
        let others = [
            Identity {
                step: "flow.sum",
                ..SOMETHING
            },
            Identity {
                key: "b",
                ..SOMETHING
            },
            Identity {
                execution: ExecutionId(4),
                ..SOMETHING
            },
            Identity {
                epoch: Epoch(8),
                ..SOMETHING
            },
            Identity {
                step: "flow.counta",
                key: "",
                ..SOMETHING
            },
        ];
        for other in others {
            assert_eq!(decode(&other, &frame), Err(FrameError::Checksum));
            assert_ne!(other.tombstone(), SOMETHING.tombstone());
        }
    }

    #[test]
    fn a_length_is_never_believed() {
        let mut frame = encode(&SOMETHING, Codec::Native, b"state").unwrap();
        frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            decode(&SOMETHING, &frame),
            Err(FrameError::Length { .. })
        ));
    }

    #[test]
    fn the_most_is_declared() {
        assert!(check_size(MAX_PAYLOAD).is_ok());
        assert_eq!(
            check_size(MAX_PAYLOAD + 1).unwrap_err().to_string(),
            "it is 536870913 bytes, and the most is 536870912"
        );
    }

    #[test]
    fn a_later_version_is_named() {
        let mut frame = encode(&SOMETHING, Codec::Native, b"state").unwrap();
        frame[1] = 2;
        assert_eq!(decode(&SOMETHING, &frame), Err(FrameError::Version(2)));
    }
}
