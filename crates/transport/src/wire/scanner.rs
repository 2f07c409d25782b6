//! Which bytes of a data stream are whole frames of timely.
//!
//! Timely's reader panics when its stream ends within a frame or without a trailer, and when a
//! frame is for a worker that isn't there. So it gets whole frames only, that are for workers of
//! this process, and always a trailer in the end: that of the peer, or one of our own.

use std::ops::Range;

use crate::wire::frame::Defect;

/// How many bytes a header of timely has: six numbers of eight bytes.
pub const HEADER_BYTES: usize = 48;

const CHUNK: usize = 64 << 10;
const KEPT: usize = 1 << 20;

/// What a frame may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The workers that it may be for.
    pub workers: Range<u64>,
    /// How many bytes it may have behind the header.
    pub limit: usize,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// So many bytes follow it.
    Body(usize),
    /// Nothing more comes.
    Trailer,
}

/// Reads a header.
pub fn scan(header: &[u8; HEADER_BYTES], shape: &Shape) -> Result<Scanned, Defect> {
    let mut numbers = [0; 6];
    for (number, bytes) in numbers.iter_mut().zip(header.as_chunks::<8>().0) {
        *number = u64::from_be_bytes(*bytes);
    }
    let [_channel, _source, first, end, length, _sequence] = numbers;
    if numbers == [0; 6] {
        return Ok(Scanned::Trailer);
    }
    let is_for_us = first < end && first >= shape.workers.start && end <= shape.workers.end;
    if length == 0 || !is_for_us {
        return Err(Defect::Garbled);
    }
    match usize::try_from(length) {
        Ok(length) if length <= shape.limit => Ok(Scanned::Body(length)),
        _ => Err(Defect::TooLarge {
            bytes: length,
            limit: shape.limit as u64,
        }),
    }
}

/// What has arrived, and how much of it timely may have.
///
/// The buffer holds, in this order: what timely may have, what is not yet whole, and space.
#[derive(Debug)]
pub struct Scanner {
    shape: Shape,
    buffer: Vec<u8>,
    start: usize,
    whole: usize,
    end: usize,
    is_over: bool,
}

impl Scanner {
    /// At the beginning of a stream.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            buffer: Vec::new(),
            start: 0,
            whole: 0,
            end: 0,
            is_over: false,
        }
    }

    /// Whether nothing more will come than what is here.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Where the next bytes go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.clear();
        }
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.copy_within(self.start..self.end, 0);
            self.whole -= self.start;
            self.end -= self.start;
            self.start = 0;
            // Twice what has arrived, whatever its header says.
            let length = (self.end * 2).max(self.end + CHUNK).max(4 * CHUNK);
            if self.buffer.len() < length {
                self.buffer.resize(length, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put there.
    pub fn arrived(&mut self, count: usize) -> Result<(), Defect> {
        self.end = (self.end + count).min(self.buffer.len());
        while !self.is_over
            && let Some(header) = self.buffer[self.whole..self.end].first_chunk()
        {
            match scan(header, &self.shape)? {
                Scanned::Trailer => {
                    self.whole += HEADER_BYTES;
                    self.is_over = true;
                }
                Scanned::Body(length) => {
                    let frame = HEADER_BYTES + length;
                    if self.end - self.whole < frame {
                        break;
                    }
                    self.whole += frame;
                }
            }
        }
        Ok(())
    }

    /// Gives what timely may have, as much as fits.
    pub fn take(&mut self, place: &mut [u8]) -> usize {
        let count = place.len().min(self.whole - self.start);
        place[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        count
    }

    /// Ends the stream after the last whole frame.
    pub fn cut(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.buffer.truncate(self.whole);
            self.buffer.resize(self.whole + HEADER_BYTES, 0);
            self.whole = self.buffer.len();
            self.end = self.whole;
        }
    }

    fn clear(&mut self) {
        self.start = 0;
        self.whole = 0;
        self.end = 0;
        // A large frame is no reason to keep a large buffer.
        self.buffer.truncate(KEPT);
        self.buffer.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timely_communication::networking::MessageHeader;

    const LIMIT: usize = 400_000;

    fn shape() -> Shape {
        Shape {
            workers: 4..8,
            limit: LIMIT,
        }
    }

    fn frame(target: Range<usize>, length: usize) -> Vec<u8> {
        let header = MessageHeader {
            channel: 3,
            source: 1,
            target_lower: target.start,
            target_upper: target.end,
            length,
            seqno: 7,
        };
        let mut bytes = Vec::new();
        header.write_to(&mut bytes).unwrap();
        bytes.resize(HEADER_BYTES + length, 0xee);
        bytes
    }

    /// What timely gets of a stream that arrives and is read in such pieces, and is cut then.
    fn passed(bytes: &[u8], piece: usize, read: usize) -> Result<Vec<u8>, Defect> {
        let mut scanner = Scanner::new(shape());
        let mut passed = Vec::new();
        let mut place = vec![0; read];
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let space = scanner.space();
                let count = space.len().min(piece.len());
                space[..count].copy_from_slice(&piece[..count]);
                piece = &piece[count..];
                scanner.arrived(count)?;
                let count = scanner.take(&mut place);
                passed.extend(&place[..count]);
            }
        }
        scanner.cut();
        assert!(scanner.is_over());
        loop {
            match scanner.take(&mut place) {
                0 => return Ok(passed),
                count => passed.extend(&place[..count]),
            }
        }
    }

    proptest! {
        #[test]
        fn timely_gets_whole_frames_and_a_trailer(
            lengths in prop::collection::vec(prop_oneof![1..200_usize, 1..LIMIT], 0..6),
            cut in any::<prop::sample::Index>(),
            piece in 1..100_000_usize,
            read in 1..100_000_usize,
        ) {
            let frames: Vec<_> = lengths.iter().map(|length| frame(4..5, *length)).collect();
            let all = frames.concat();
            let arriving = &all[..cut.index(all.len() + 1)];
            let mut expected = Vec::new();
            for frame in frames {
                if expected.len() + frame.len() > arriving.len() {
                    break;
                }
                expected.extend(frame);
            }
            expected.extend([0; HEADER_BYTES]);
            prop_assert_eq!(passed(arriving, piece.max(500), read.max(500)), Ok(expected));
        }

        #[test]
        fn timely_can_read_whatever_passes(header in any::<[u8; HEADER_BYTES]>(), small in any::<[u8; 6]>(), is_small in any::<bool>()) {
            let mut bytes = header;
            if is_small {
                for (number, small) in bytes.chunks_mut(8).zip(small) {
                    number.copy_from_slice(&u64::from(small % 10).to_be_bytes());
                }
            }
            if let Ok(Scanned::Body(length)) = scan(&bytes, &shape()) {
                let mut whole = bytes.to_vec();
                whole.resize(HEADER_BYTES + length, 0);
                let header = MessageHeader::try_read(&whole).unwrap();
                prop_assert_eq!(header.required_bytes(), whole.len());
                prop_assert!((4..header.target_upper).contains(&header.target_lower));
                prop_assert!(header.target_upper <= 8);
            }
        }
    }

    #[test]
    fn trailer_of_the_peer_ends_the_stream_and_nothing_passes_behind_it() {
        let bytes = [frame(4..8, 10), vec![0; HEADER_BYTES], frame(4..5, 10)].concat();
        let expected = &bytes[..2 * HEADER_BYTES + 10];
        assert_eq!(passed(&bytes, bytes.len(), 1000).unwrap(), expected);
    }

    #[test]
    fn frame_for_a_worker_of_another_process_is_garbled() {
        for (first, end) in [(3, 5), (4, 9), (6, 6), (7, 6), (0, 1)] {
            let frame = frame(first..end, 10);
            assert_eq!(passed(&frame, 100, 100), Err(Defect::Garbled));
        }
    }

    #[test]
    fn frame_over_the_limit_is_refused_by_its_header() {
        let limit = LIMIT as u64;
        let bytes = limit + 1;
        let frame = frame(4..5, LIMIT + 1);
        let defect = Defect::TooLarge { bytes, limit };
        assert_eq!(passed(&frame[..HEADER_BYTES], 100, 100), Err(defect));
    }

    #[test]
    fn buffer_grows_with_what_arrives_and_shrinks_again() {
        let mut scanner = Scanner::new(Shape {
            workers: 0..1,
            limit: 64 << 20,
        });
        let frame = frame(0..1, 8 << 20);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let space = scanner.space();
            let count = space.len().min(rest.len()).min(CHUNK);
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            scanner.arrived(count).unwrap();
            let arrived = frame.len() - rest.len();
            assert!(scanner.buffer.len() <= 2 * arrived + 4 * CHUNK);
        }
        let mut place = vec![0; frame.len()];
        assert_eq!(scanner.take(&mut place), frame.len());
        assert_eq!(place, frame);
        scanner.space();
        assert!(scanner.buffer.capacity() <= KEPT);
    }
}
