//! Any bytes at all, as they may come over a connection.
#![allow(
    clippy::unwrap_used,
    reason = "a probe that fails is a test that fails"
)]

#[path = "../fuzz/probes.rs"]
mod probes;

use millstream_transport::wire::frame::{Farewell, Header};
use millstream_transport::wire::hello::{MAGIC, PROTOCOL};
use proptest::collection::vec;
use proptest::prelude::*;

/// As many as the environment says, and not few.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(1000),
        ..default
    }
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..120)
}

/// What is almost a greeting.
fn greeting() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<u8>(),
        0..12_u8,
        0..4_u8,
        "[ -~]{0,22}",
        vec(any::<u8>(), 100),
    )
        .prop_map(|(verdict, purpose, protocol, version, rest)| {
            let version_bytes = version.len().min(20);
            let mut place = [0; 20];
            place[..version_bytes].copy_from_slice(&version.as_bytes()[..version_bytes]);
            let mut bytes = MAGIC.to_vec();
            if verdict < 128 {
                // An answer has a verdict, and a greeting within.
                bytes[7] = verdict % 12;
                bytes.extend(MAGIC);
            }
            bytes.extend((PROTOCOL + u16::from(protocol / 3)).to_be_bytes());
            bytes.extend([purpose % 4, u8::try_from(version.len()).unwrap()]);
            bytes.extend(place);
            bytes.extend(rest);
            bytes
        })
}

/// What is almost frames.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        4 => (0..200_usize).prop_map(|length| {
            [Header::Message(length).encode().as_slice(), &vec![7; length]].concat()
        }),
        1 => Just(Header::Heartbeat.encode().to_vec()),
        1 => Just(Header::Ready.encode().to_vec()),
        1 => Just(Header::GoodBye(Farewell::Silent).encode().to_vec()),
        1 => (4000..5000_usize).prop_map(|length| Header::Message(length).encode().to_vec()),
        1 => garbage(),
    ];
    pieces(vec(frame, 0..8))
}

/// What is almost a stream of timely.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![10 => 1..300_u64, 1 => 4000..4200_u64, 1 => any::<u64>()];
    let target = prop_oneof![20 => Just((2, 5)), 20 => Just((3, 4)), 1 => (0..7_u64, 0..7_u64)];
    let frame = (any::<[u64; 2]>(), target, length, any::<u64>()).prop_map(
        |([channel, source], (first, end), length, sequence)| {
            let header = [channel, source, first, end, length, sequence];
            let mut bytes: Vec<u8> = header.into_iter().flat_map(u64::to_be_bytes).collect();
            let body = usize::try_from(length.min(5000)).unwrap();
            bytes.resize(bytes.len() + body, 0xee);
            bytes
        },
    );
    let piece = prop_oneof![12 => frame, 1 => Just(vec![0; 48]), 1 => garbage()];
    pieces(vec(piece, 0..8))
}

/// Put together, cut off somewhere, and preceded by the size in which it arrives.
fn pieces(parts: impl Strategy<Value = Vec<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), parts, 0..60_usize).prop_map(|(size, parts, cut)| {
        let all = parts.concat();
        let kept = all.len().saturating_sub(cut);
        [&[size], &all[..kept]].concat()
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn greetings_are_exact(bytes in prop_oneof![1 => garbage(), 4 => greeting()]) {
        probes::greeting(&bytes);
    }

    #[test]
    fn frames_are_exact(bytes in prop_oneof![1 => garbage(), 4 => frames()]) {
        probes::frames(&bytes);
    }

    #[test]
    fn timely_gets_what_it_can_take(bytes in prop_oneof![1 => garbage(), 4 => stream()]) {
        probes::stream(&bytes);
    }
}
