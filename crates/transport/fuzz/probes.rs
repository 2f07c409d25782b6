//! What must hold for any bytes that come over a connection. For the fuzz targets, and for the
//! property tests of the crate, which use the same.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each fuzz target uses one of them, and what fails is found"
)]

use millstream_transport::wire::frame::{Decoder, Defect, Frame, Header};
use millstream_transport::wire::hello::{HELLO_BYTES, Hello, REPLY_BYTES, Reply};
use millstream_transport::wire::scanner::{HEADER_BYTES, Scanner, Shape};
use timely_communication::networking::MessageHeader;

const LIMIT: usize = 4096;

/// The first byte says how the rest arrives in pieces.
fn pieces(bytes: &[u8]) -> (usize, &[u8]) {
    match bytes.split_first() {
        Some((size, rest)) => (1 + usize::from(*size), rest),
        None => (1, &[]),
    }
}

/// A greeting is read as exactly what was written, or not at all.
pub fn greeting(bytes: &[u8]) {
    let mut hello = [0; HELLO_BYTES];
    let count = bytes.len().min(HELLO_BYTES);
    hello[..count].copy_from_slice(&bytes[..count]);
    if let Ok(read) = Hello::decode(&hello) {
        assert_eq!(read.encode(), hello);
        assert!(
            read.version
                .to_string()
                .chars()
                .all(|letter| letter.is_ascii_graphic())
        );
        // Whoever goes with it is not it.
        assert!(read.check(&read).is_err());
    }
    let mut reply = [0; REPLY_BYTES];
    let count = bytes.len().min(REPLY_BYTES);
    reply[..count].copy_from_slice(&bytes[..count]);
    if let Ok(read) = Reply::decode(&reply) {
        assert_eq!(read.encode(), reply);
    }
}

fn decode(bytes: &[u8], size: usize) -> (Vec<Frame>, Option<Defect>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut frames = Vec::new();
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(defect) => return (frames, Some(defect)),
            }
        }
        assert!(piece.is_empty());
    }
    (frames, None)
}

/// Frames are what was written, however it arrives.
pub fn frames(bytes: &[u8]) {
    let (size, bytes) = pieces(bytes);
    let decoded = decode(bytes, size);
    assert_eq!(decoded, decode(bytes, bytes.len().max(1)));
    let (frames, defect) = decoded;
    let mut again = Vec::new();
    for frame in &frames {
        match frame {
            Frame::Heartbeat => again.extend(Header::Heartbeat.encode()),
            Frame::Ready => again.extend(Header::Ready.encode()),
            Frame::GoodBye(farewell) => again.extend(Header::GoodBye(*farewell).encode()),
            Frame::Message(body) => {
                assert!(body.len() <= LIMIT);
                again.extend(Header::Message(body.len()).encode());
                again.extend(body);
            }
        }
    }
    assert!(bytes.starts_with(&again));
    if defect.is_none() {
        // What is left is less than a frame.
        assert!(bytes.len() - again.len() < LIMIT + 8);
    }
}

fn pass(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Defect>) {
    let mut scanner = Scanner::new(Shape {
        workers: 2..5,
        limit: LIMIT,
    });
    let mut passed = Vec::new();
    let mut defect = None;
    let mut place = vec![0; size];
    for piece in bytes.chunks(size) {
        scanner.space()[..piece.len()].copy_from_slice(piece);
        defect = scanner.arrived(piece.len()).err();
        let count = scanner.take(&mut place);
        passed.extend(&place[..count]);
        if defect.is_some() || scanner.is_over() {
            break;
        }
    }
    scanner.cut();
    loop {
        match scanner.take(&mut place) {
            0 => return (passed, defect),
            count => passed.extend(&place[..count]),
        }
    }
}

/// Timely gets whole frames for its own workers, and then a trailer, however it all arrives.
pub fn stream(bytes: &[u8]) {
    let (size, bytes) = pieces(bytes);
    let passed = pass(bytes, size);
    assert_eq!(passed, pass(bytes, bytes.len().max(1)));
    let (passed, _) = passed;
    let frames = &passed[..passed.len() - HEADER_BYTES];
    assert_eq!(passed[frames.len()..], [0; HEADER_BYTES]);
    assert!(bytes.starts_with(frames));
    let mut rest = frames;
    while !rest.is_empty() {
        let header = MessageHeader::try_read(rest).unwrap();
        assert!(header.length > 0 && header.length <= LIMIT);
        assert!(header.target_lower >= 2 && header.target_upper <= 5);
        assert!(header.target_lower < header.target_upper);
        rest = &rest[header.required_bytes()..];
    }
}
