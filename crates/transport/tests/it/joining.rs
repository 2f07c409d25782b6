//! Processes that come together.

use std::path::Path;
use std::thread;
use std::time::Duration;

use millstream_transport::{Address, Secret, Security, Settings, init_tls};

use crate::support::{Running, all, gather, start_noting, tcp, text, unix};

const PAUSE: Duration = Duration::from_millis(30);

/// Joins all in an order, and makes sure that each hears each.
fn join_in_order(settings: &[Settings], order: &[usize]) {
    let threads: Vec<_> = order
        .iter()
        .map(|process| {
            let thread = start_noting(settings[*process].clone());
            thread::sleep(PAUSE);
            thread
        })
        .collect();
    let joined: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let run = joined[0].0.run;
    let running: Vec<_> = order
        .iter()
        .zip(joined)
        .map(|(process, (joined, refused))| {
            assert_eq!(joined.run, run);
            assert_eq!(refused, [""; 0]);
            for (index, stream) in joined.data.iter().enumerate() {
                assert_eq!(stream.is_some(), index != *process);
            }
            assert_eq!(joined.data.len(), settings.len());
            (*process, Running::start(joined))
        })
        .collect();
    for (process, running) in &running {
        let message = format!("from {process}");
        running.control.send_all(message.as_bytes()).unwrap();
    }
    for (process, running) in &running {
        let mut heard: Vec<_> = (1..settings.len())
            .map(|_| {
                let (peer, kind) = running.event();
                (peer, text(kind))
            })
            .collect();
        heard.sort();
        let others = (0..)
            .take(settings.len())
            .filter(|other| *other as usize != *process);
        let expected: Vec<_> = others
            .map(|other| (other, format!("from {other}")))
            .collect();
        assert_eq!(heard, expected);
    }
    let threads: Vec<_> = running
        .into_iter()
        .map(|(_, running)| thread::spawn(move || running.control.finish(PAUSE * 100)))
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), []);
    }
}

const ORDERS: [&[usize]; 7] = [
    &[0],
    &[0, 1],
    &[1, 0],
    &[2, 1, 0],
    &[1, 0, 2],
    &[3, 2, 1, 0],
    &[0, 3, 1, 2],
];

fn join_in_each_order(
    addresses: impl Fn(usize) -> Vec<Address>,
    security: impl Fn(usize) -> Security,
) {
    for order in ORDERS {
        let mut settings = all(&addresses(order.len()));
        for (process, settings) in settings.iter_mut().enumerate() {
            settings.security = security(process);
        }
        join_in_order(&settings, order);
    }
}

#[test]
fn processes_join_over_tcp() {
    join_in_each_order(tcp, |_| Security::None);
}

#[test]
fn processes_join_over_unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    join_in_each_order(|count| unix(directory.path(), count), |_| Security::None);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn processes_join_with_a_secret() {
    let secret = Secret::new(b"correct horse battery staple").unwrap();
    join_in_each_order(tcp, |_| Security::Secret(secret.clone()));
}

pub(crate) fn tls(directory: &Path, process: usize) -> Security {
    Security::Tls {
        ca: directory.join("ca.pem"),
        certificate: directory.join(format!("process-{process}.pem")),
        key: directory.join(format!("process-{process}-key.pem")),
    }
}

#[test]
fn processes_join_with_certificates() {
    let directory = tempfile::tempdir().unwrap();
    init_tls(directory.path(), 4).unwrap();
    join_in_each_order(tcp, |process| tls(directory.path(), process));
    let sockets = tempfile::tempdir().unwrap();
    join_in_each_order(
        |count| unix(sockets.path(), count),
        |process| tls(directory.path(), process),
    );
}

#[test]
fn runs_differ() {
    let first = gather(all(&tcp(2)))[0].run;
    let second = gather(all(&tcp(2)))[0].run;
    assert_ne!(first, second);
}

/// One that has a different idea of how often to be heard gets it.
#[test]
fn peer_beats_as_often_as_the_other_wants() {
    let mut settings = all(&tcp(2));
    settings[0].limits.silence = Duration::from_millis(200);
    settings[1].limits.silence = Duration::from_secs(100);
    let running: Vec<_> = gather(settings).into_iter().map(Running::start).collect();
    assert!(running[0].is_quiet(Duration::from_millis(600)));
}
