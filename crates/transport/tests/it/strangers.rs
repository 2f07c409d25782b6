//! Strangers who connect while processes gather.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millstream_transport::wire::hello::MAGIC;
use millstream_transport::{Address, Secret, Security};

use crate::support::{settings, start, tcp};

const COUNT: usize = 1000;

/// Some say nothing, some what makes no sense, some a part of a greeting, or of TLS.
fn stranger(address: &Address, number: usize) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address.to_string()).ok()?;
    let says = match number % 4 {
        0 => [].as_slice(),
        1 => &[0xff; 300],
        2 => &MAGIC,
        _ => b"\x16\x03\x01\xff\xff\x01",
    };
    // One that is dropped already is dropped.
    let _ = stream.write_all(says);
    Some(stream)
}

fn strangers(address: &Address) -> Vec<TcpStream> {
    (0..COUNT)
        .filter_map(|number| stranger(address, number))
        .collect()
}

fn join_among_strangers(security: Security) {
    let addresses = tcp(2);
    let [mut zero, mut one] = [0, 1].map(|process| settings(&addresses, process));
    zero.security = security.clone();
    one.security = security;
    let zero = start(zero);
    while TcpStream::connect(addresses[0].to_string()).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    // Those who stay connected are there before, and more come all the time.
    let before = strangers(&addresses[0]);
    assert_eq!(before.len(), COUNT);
    let is_over = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_over);
    let address = addresses[0].clone();
    let more = thread::spawn(move || {
        let mut more = Vec::new();
        while !shared.load(Ordering::SeqCst) {
            more.extend(stranger(&address, more.len()));
            thread::sleep(Duration::from_micros(200));
        }
        more.len()
    });
    let begin = Instant::now();
    let one = start(one);
    one.join().unwrap().unwrap();
    zero.join().unwrap().unwrap();
    let taken = begin.elapsed();
    is_over.store(true, Ordering::SeqCst);
    let more = more.join().unwrap();
    assert!(taken < Duration::from_secs(1), "{taken:?}, {more} more");
    assert!(more > 0);
}

#[test]
fn a_thousand_strangers_do_not_delay_a_join() {
    join_among_strangers(Security::None);
}

#[test]
fn a_thousand_strangers_do_not_delay_a_secure_join() {
    let secret = Secret::new(b"correct horse battery staple").unwrap();
    join_among_strangers(Security::Secret(secret));
}

/// Reads until the other side closes; how long that takes.
fn until_closed(stream: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let mut bytes = [0; 1000];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return begin.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return begin.elapsed();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn stranger_who_does_not_say_who_it_is_in_time_is_dropped() {
    for security in [
        Security::None,
        Security::Secret(Secret::new(b"correct horse battery staple").unwrap()),
    ] {
        let addresses = tcp(2);
        let mut zero = settings(&addresses, 0);
        zero.security = security;
        zero.limits.handshake = Duration::from_millis(200);
        zero.limits.deadline = Duration::from_millis(900);
        let zero = start(zero);
        while TcpStream::connect(addresses[0].to_string()).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        let mut silent = stranger(&addresses[0], 0).unwrap();
        // One that says a little all the time gains nothing by it.
        let mut slow = stranger(&addresses[0], 0).unwrap();
        let mut dripping = slow.try_clone().unwrap();
        thread::spawn(move || {
            for byte in MAGIC.iter().chain(&[0; 50]) {
                if dripping.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(30));
            }
        });
        let taken = until_closed(&mut silent);
        assert!(taken >= Duration::from_millis(150), "{taken:?}");
        assert!(taken < Duration::from_millis(600), "{taken:?}");
        assert!(until_closed(&mut slow) < Duration::from_millis(600));
        assert!(zero.join().unwrap().is_err());
    }
}

/// Nothing is answered, so that nothing is learned.
#[test]
fn garbage_is_dropped_without_an_answer() {
    let addresses = tcp(2);
    let mut zero = settings(&addresses, 0);
    zero.limits.deadline = Duration::from_millis(500);
    let zero = start(zero);
    while TcpStream::connect(addresses[0].to_string()).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    let mut stream = TcpStream::connect(addresses[0].to_string()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // It may be reset, as not all was read.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    let error = zero.join().unwrap().unwrap_err().to_string();
    assert!(!error.contains("refused"), "{error}");
}

/// There is room for some who say nothing, and the latest have it.
#[test]
fn oldest_stranger_goes_when_there_are_too_many() {
    let addresses = tcp(2);
    let mut zero = settings(&addresses, 0);
    zero.limits.deadline = Duration::from_millis(900);
    let zero = start(zero);
    while TcpStream::connect(addresses[0].to_string()).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    let mut silent: Vec<_> = (0..300)
        .map(|_| stranger(&addresses[0], 0).unwrap())
        .collect();
    assert!(until_closed(&mut silent[0]) < Duration::from_millis(600));
    let last = silent.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    let error = last.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(zero.join().unwrap().is_err());
}
