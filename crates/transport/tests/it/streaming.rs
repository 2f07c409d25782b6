//! The data streams: what timely sees of them, whatever happens.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use millstream_transport::{Guarded, Joined, Loss, PeerEventKind, Secret, Security};
use timely_bytes::arc::Bytes;
use timely_communication::allocator::ProcessBuilder;
use timely_communication::allocator::zero_copy::allocator::TcpBuilder;
use timely_communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely_communication::allocator::zero_copy::stream::Stream;
use timely_communication::networking::MessageHeader;
use timely_communication::{Allocator, Bytesable, Hooks, Pull, Push};

use crate::joining::tls;
use crate::support::{Running, SOON, all, gather, tcp, text, unix};

const HEADER: usize = 48;

/// A frame for a worker.
fn frame(worker: usize, length: usize) -> Vec<u8> {
    let header = MessageHeader {
        channel: 1,
        source: 0,
        target_lower: worker,
        target_upper: worker + 1,
        length,
        seqno: 0,
    };
    let mut bytes = Vec::new();
    header.write_to(&mut bytes).unwrap();
    // A pattern that no power of two is a multiple of, so that nothing moves unseen.
    let pattern: Vec<u8> = (0..251).collect();
    bytes.extend(pattern.repeat(length / pattern.len() + 1));
    bytes.truncate(HEADER + length);
    bytes
}

/// Reads to the end, as timely does: nothing may come after the trailer.
fn read_all(mut stream: Guarded) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes.ends_with(&[0; HEADER]));
    bytes.truncate(bytes.len() - HEADER);
    bytes
}

fn pair() -> [Running; 2] {
    let joined = gather(all(&tcp(2)));
    joined
        .into_iter()
        .map(Running::start)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap()
}

fn each_kind_of_pair(mut test: impl FnMut([Running; 2])) {
    let directory = tempfile::tempdir().unwrap();
    let secret = Security::Secret(Secret::new(b"correct horse battery staple").unwrap());
    for (addresses, security) in [
        (tcp(2), Security::None),
        (tcp(2), secret),
        (unix(directory.path(), 2), Security::None),
    ] {
        let mut settings = all(&addresses);
        for settings in &mut settings {
            settings.security = security.clone();
        }
        let running: Vec<_> = gather(settings).into_iter().map(Running::start).collect();
        test(running.try_into().ok().unwrap());
    }
}

#[test]
fn large_frames_go_both_ways_at_once_and_are_counted() {
    each_kind_of_pair(|[mut zero, mut one]| {
        let lengths = [1, 100_000, 16 << 20, 7];
        let mut threads = Vec::new();
        for (running, peer, own_worker, peer_worker) in [(&mut zero, 1, 1, 3), (&mut one, 0, 3, 1)]
        {
            let stream = running.stream(peer);
            let traffic = stream.traffic();
            let mut writer = stream.try_clone().unwrap();
            let reader = stream.try_clone().unwrap();
            let sending = thread::spawn(move || {
                for length in lengths {
                    writer.write_all(&frame(peer_worker, length)).unwrap();
                }
                writer.write_all(&[0; HEADER]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let receiving = thread::spawn(move || read_all(reader));
            threads.push((sending, receiving, traffic, own_worker));
        }
        for (sending, receiving, traffic, own_worker) in threads {
            sending.join().unwrap();
            let frames: Vec<_> = lengths.map(|length| frame(own_worker, length)).concat();
            let received = receiving.join().unwrap();
            assert!(received == frames);
            let bytes = (frames.len() + HEADER) as u64;
            assert_eq!((traffic.received(), traffic.sent()), (bytes, bytes));
        }
        assert!(zero.is_quiet(Duration::from_millis(50)));
    });
}

#[test]
fn severing_ends_those_who_read_and_those_who_write() {
    each_kind_of_pair(|[mut zero, _one]| {
        let stream = zero.stream(1);
        let mut writer = stream.try_clone().unwrap();
        let reader = stream.try_clone().unwrap();
        let reading = thread::spawn(move || read_all(reader));
        // Nobody reads it, so that it stops sooner or later.
        let writing = thread::spawn(move || {
            let frame = frame(2, 1 << 20);
            for _ in 0..100 {
                writer.write_all(&frame).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!writing.is_finished() && !reading.is_finished());
        assert!(!zero.severer.is_severed());
        let begin = Instant::now();
        zero.severer.clone().sever();
        assert_eq!(reading.join().unwrap(), []);
        writing.join().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert!(zero.severer.is_severed());
    });
}

/// The frame that was on its way when the stream ended is not handed on, and those before are.
#[test]
fn stream_that_breaks_within_a_frame_ends_before_it() {
    each_kind_of_pair(|[mut zero, mut one]| {
        let mut writer = zero.stream(1);
        let reader = one.stream(0);
        let whole = frame(2, 5000);
        writer.write_all(&whole).unwrap();
        writer.write_all(&frame(3, 5000)[..4000]).unwrap();
        let reading = thread::spawn(move || read_all(reader));
        thread::sleep(Duration::from_millis(50));
        zero.severer.sever();
        assert!(reading.join().unwrap() == whole);
        // Who was not told why says what it saw.
        let (peer, lost) = one.event();
        assert_eq!(peer, 0);
        assert!(
            matches!(lost, PeerEventKind::Lost(Loss::Closed | Loss::Reset)),
            "{lost:?}"
        );
    });
}

#[test]
fn frame_that_is_too_large_or_for_nobody_ends_the_stream_on_both_sides() {
    for (bytes, own, others) in [
        (
            frame(2, (64 << 20) + 1)[..HEADER].to_vec(),
            "it sent a frame of 67108865 bytes, and 67108864 are the most that one may have",
            "it got a frame from this process that is larger than it takes",
        ),
        (
            frame(1, 10),
            "it sent something that is no frame",
            "it got something from this process that is no frame",
        ),
    ] {
        let [mut zero, mut one] = pair();
        let mut writer = zero.stream(1);
        let own_reader = writer.try_clone().unwrap();
        let reader = one.stream(0);
        writer.write_all(&bytes).unwrap();
        assert_eq!(read_all(reader), []);
        assert_eq!(read_all(own_reader), []);
        writer.write_all(&bytes).unwrap();
        for (running, peer, sentence) in [(&one, 0, own), (&zero, 1, others)] {
            let (from, kind) = running.event();
            assert_eq!(from, peer);
            let PeerEventKind::Lost(loss) = kind else {
                panic!("{kind:?}");
            };
            assert_eq!(loss.to_string(), sentence);
            assert!(running.is_quiet(Duration::from_millis(50)));
        }
    }
}

/// Who severs because of a failure of its own can still say so.
#[test]
fn reason_for_severing_comes_before_the_loss() {
    let [mut zero, mut one] = pair();
    let (_own, reader) = (zero.stream(1), one.stream(0));
    let reading = thread::spawn(move || read_all(reader));
    zero.severer.sever();
    assert_eq!(reading.join().unwrap(), []);
    thread::sleep(Duration::from_millis(50));
    zero.control.send_all(b"step failed").unwrap();
    let (_, message) = one.event();
    assert_eq!(text(message), "step failed");
    zero.control.abandon();
    assert_eq!(one.event(), (0, PeerEventKind::Lost(Loss::Abandoned)));
}

/// What timely runs over the streams of a process.
fn networking(joined: &mut Joined, process: usize) -> (Vec<TcpBuilder>, impl Drop + use<>) {
    let hooks = Hooks::default();
    let inner = ProcessBuilder::new_typed_vector(2, hooks.refill.clone(), hooks.spill.clone());
    let data = std::mem::take(&mut joined.data);
    initialize_networking_from_sockets(inner, data, process, 2, hooks).unwrap()
}

/// What the workers send each other.
struct Number(u64);

impl Bytesable for Number {
    fn from_bytes(bytes: Bytes) -> Self {
        Self(u64::from_le_bytes(bytes[..8].try_into().unwrap()))
    }

    fn length_in_bytes(&self) -> usize {
        8
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        writer.write_all(&self.0.to_le_bytes()).unwrap();
    }
}

/// Timely's own threads: each worker sends to all, and ends as it is told to.
fn work(builders: Vec<TcpBuilder>, until_broken: impl Fn() -> bool + Send + Clone + 'static) {
    let threads: Vec<_> = builders
        .into_iter()
        .map(|builder| {
            let until_broken = until_broken.clone();
            thread::spawn(move || {
                let mut worker = Allocator::Tcp(builder.build());
                let (mut pushers, mut puller) = worker.allocate::<Number>(0);
                let peers = pushers.len();
                let (mut received, begin) = (0, Instant::now());
                for pusher in &mut pushers {
                    pusher.send(Number(7));
                    pusher.done();
                }
                while (received < peers || until_broken()) && begin.elapsed() < SOON {
                    worker.release();
                    worker.receive();
                    while let Some(Number(number)) = puller.recv() {
                        assert_eq!(number, 7);
                        received += 1;
                    }
                    thread::yield_now();
                }
                assert_eq!(received, peers);
                assert!(begin.elapsed() < SOON);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn with_timely(security: impl Fn(usize) -> Security, is_broken: bool) {
    let mut settings = all(&tcp(2));
    for (process, settings) in settings.iter_mut().enumerate() {
        settings.security = security(process);
    }
    let threads: Vec<_> = gather(settings)
        .into_iter()
        .enumerate()
        .map(|(process, mut joined)| {
            thread::spawn(move || {
                let (builders, guard) = networking(&mut joined, process);
                let running = Running::start(joined);
                let severer = running.severer.clone();
                let breaking = severer.clone();
                if process == 0 && is_broken {
                    thread::spawn(move || {
                        thread::sleep(Duration::from_millis(300));
                        breaking.sever();
                    });
                }
                work(builders, move || is_broken && !severer.is_severed());
                // Panics if a thread of timely did.
                drop(guard);
                running
            })
        })
        .collect();
    let running: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    if !is_broken {
        for running in &running {
            assert!(running.is_quiet(Duration::from_millis(50)));
        }
    }
}

#[test]
fn timely_runs_to_the_end_over_them() {
    let directory = tempfile::tempdir().unwrap();
    millstream_transport::init_tls(directory.path(), 2).unwrap();
    with_timely(|_| Security::None, false);
    with_timely(|process| tls(directory.path(), process), false);
}

#[test]
fn timely_ends_without_a_panic_when_they_are_severed() {
    let secret = Secret::new(b"correct horse battery staple").unwrap();
    with_timely(|_| Security::None, true);
    with_timely(|_| Security::Secret(secret.clone()), true);
}
