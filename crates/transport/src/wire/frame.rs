//! The frames of the control connection.
//!
//! A frame is a header of eight bytes, and a body if it is a message. Any byte that arrives is a
//! sign of life; a heartbeat is for when there is nothing else to say.

use thiserror::Error;

/// How many bytes a header has.
pub const HEADER_BYTES: usize = 8;

/// Why a process says goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Farewell {
    /// It has done its work.
    Done = 0,
    /// It ends before its work is done.
    Abandoned = 1,
    /// It heard nothing for too long.
    Silent = 2,
    /// What it was sent made no sense.
    Garbled = 3,
    /// What it was sent was too large.
    TooLarge = 4,
    /// The data stream broke.
    DataLost = 5,
    /// A thread has panicked that says all else.
    Panicked = 6,
}

/// What the next bytes of a control connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Header {
    /// Nothing but a sign of life.
    Heartbeat,
    /// All connections of the sender stand.
    Ready,
    /// The last frame.
    GoodBye(Farewell),
    /// A message with as many bytes.
    Message(usize),
}

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Defect {
    /// There is no such frame.
    #[error("it sent something that is no frame")]
    Garbled,
    /// The frame is larger than any may be.
    #[error("it sent a frame of {bytes} bytes, and {limit} are the most that one may have")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large one may be.
        limit: u64,
    },
}

impl Header {
    /// As bytes. A message that is too long for any frame is as long as the longest.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let (kind, detail, length) = match self {
            Self::Heartbeat => (1, 0, 0),
            Self::Message(length) => (2, 0, u32::try_from(length).unwrap_or(u32::MAX)),
            Self::GoodBye(farewell) => (3, farewell as u8, 0),
            Self::Ready => (4, 0, 0),
        };
        let [a, b, c, d] = length.to_be_bytes();
        [kind, detail, 0, 0, a, b, c, d]
    }

    /// From bytes.
    pub fn decode(bytes: [u8; HEADER_BYTES], limit: usize) -> Result<Self, Defect> {
        let [kind, detail, 0, 0, a, b, c, d] = bytes else {
            return Err(Defect::Garbled);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        match (kind, detail, length) {
            (1, 0, 0) => Ok(Self::Heartbeat),
            (2, 0, _) => match usize::try_from(length) {
                Ok(length) if length <= limit => Ok(Self::Message(length)),
                _ => Err(Defect::TooLarge {
                    bytes: u64::from(length),
                    limit: limit as u64,
                }),
            },
            (3, detail, 0) => Ok(Self::GoodBye(match detail {
                0 => Farewell::Done,
                1 => Farewell::Abandoned,
                2 => Farewell::Silent,
                3 => Farewell::Garbled,
                4 => Farewell::TooLarge,
                5 => Farewell::DataLost,
                6 => Farewell::Panicked,
                _ => return Err(Defect::Garbled),
            })),
            (4, 0, 0) => Ok(Self::Ready),
            _ => Err(Defect::Garbled),
        }
    }
}

/// One whole frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Nothing but a sign of life.
    Heartbeat,
    /// All connections of the sender stand.
    Ready,
    /// The last frame.
    GoodBye(Farewell),
    /// A message.
    Message(Vec<u8>),
}

/// Puts frames together from bytes as they arrive.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    header: Vec<u8>,
    /// The body that is arriving, and how much of it is missing.
    body: Option<(Vec<u8>, usize)>,
}

impl Decoder {
    /// At the beginning of a connection.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            header: Vec::with_capacity(HEADER_BYTES),
            body: None,
        }
    }

    /// Takes bytes from the front of what has arrived, up to the end of a frame.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Defect> {
        while !bytes.is_empty() || self.body.is_some() {
            if let Some((mut body, missing)) = self.body.take() {
                let part = split_off(bytes, missing);
                body.extend_from_slice(part);
                let missing = missing - part.len();
                if missing == 0 {
                    return Ok(Some(Frame::Message(body)));
                }
                self.body = Some((body, missing));
                return Ok(None);
            }
            let part = split_off(bytes, HEADER_BYTES - self.header.len());
            self.header.extend_from_slice(part);
            let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.header.as_slice()) else {
                return Ok(None);
            };
            self.header.clear();
            match Header::decode(header, self.limit)? {
                Header::Heartbeat => return Ok(Some(Frame::Heartbeat)),
                Header::Ready => return Ok(Some(Frame::Ready)),
                Header::GoodBye(farewell) => return Ok(Some(Frame::GoodBye(farewell))),
                Header::Message(length) => self.body = Some((Vec::new(), length)),
            }
        }
        Ok(None)
    }
}

fn split_off<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            Just(Frame::Heartbeat),
            Just(Frame::Ready),
            Just(Frame::GoodBye(Farewell::Done)),
            Just(Frame::GoodBye(Farewell::DataLost)),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Frame::Message),
        ]
    }

    fn encode(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            let (header, body) = match frame {
                Frame::Heartbeat => (Header::Heartbeat, [].as_slice()),
                Frame::Ready => (Header::Ready, [].as_slice()),
                Frame::GoodBye(farewell) => (Header::GoodBye(*farewell), [].as_slice()),
                Frame::Message(body) => (Header::Message(body.len()), body.as_slice()),
            };
            bytes.extend(header.encode());
            bytes.extend(body);
        }
        bytes
    }

    fn decode(bytes: &[u8], chunk: usize) -> Result<Vec<Frame>, Defect> {
        let mut decoder = Decoder::new(LIMIT);
        let mut frames = Vec::new();
        for mut chunk in bytes.chunks(chunk) {
            while let Some(frame) = decoder.next(&mut chunk)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_are_written(frames in prop::collection::vec(frame(), 0..10), chunk in 1..400_usize) {
            prop_assert_eq!(decode(&encode(&frames), chunk), Ok(frames));
        }

        #[test]
        fn any_bytes_are_frames_or_a_defect(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1..50_usize) {
            if let Ok(frames) = decode(&bytes, chunk) {
                let again = encode(&frames);
                prop_assert_eq!(again.as_slice(), &bytes[..again.len()]);
            }
        }
    }

    #[test]
    fn message_may_be_as_large_as_the_limit_and_no_larger() {
        let header = |length| Header::decode(Header::Message(length).encode(), LIMIT);
        assert_eq!(header(LIMIT), Ok(Header::Message(LIMIT)));
        assert_eq!(
            header(LIMIT + 1).unwrap_err().to_string(),
            "it sent a frame of 1001 bytes, and 1000 are the most that one may have"
        );
    }

    #[test]
    fn length_alone_takes_no_memory() {
        let mut decoder = Decoder::new(usize::MAX);
        let header = Header::Message(1 << 31).encode();
        assert_eq!(decoder.next(&mut header.as_slice()), Ok(None));
        assert_eq!(decoder.body.unwrap().0.capacity(), 0);
    }
}
