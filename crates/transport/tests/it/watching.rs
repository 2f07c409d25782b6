//! Who is alive: heartbeats, goodbyes and losses.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use millstream_transport::wire::frame::Farewell;
use millstream_transport::{
    Address, Loss, PeerEventKind, ProcessIndex, Secret, Security, SendError, Settings,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::proxy::Proxy;
use crate::support::{Running, SOON, all, gather, settings, start, tcp, text};

const SILENCE: Duration = Duration::from_millis(400);
/// What a loss may take on top of the silence.
const SLACK: Duration = Duration::from_secs(1);

fn cluster(count: usize) -> Vec<Running> {
    gather(all(&tcp(count)))
        .into_iter()
        .map(Running::start)
        .collect()
}

/// Two processes, the second of which reaches the first through a proxy.
fn through_proxy(security: Security) -> (Proxy, Running, Running) {
    let mut settings = all(&tcp(2));
    for settings in &mut settings {
        settings.limits.silence = SILENCE;
        settings.security = security.clone();
    }
    let proxy = Proxy::new(&settings[0].addresses[0]);
    settings[1].addresses[0] = proxy.address.clone();
    let mut joined = gather(settings).into_iter().map(Running::start);
    (proxy, joined.next().unwrap(), joined.next().unwrap())
}

/// The loss that is the next event, and how long it took.
fn lost(running: &Running, begin: Instant) -> (Loss, Duration) {
    match running.event() {
        (_, PeerEventKind::Lost(loss)) => (loss, begin.elapsed()),
        other => panic!("{other:?}"),
    }
}

fn assert_in_time(taken: Duration) {
    assert!(taken >= SILENCE / 2, "{taken:?}");
    assert!(taken < SILENCE + SLACK, "{taken:?}");
}

#[test]
fn peers_that_say_nothing_stay_alive() {
    for security in [
        Security::None,
        Security::Secret(Secret::new(b"correct horse battery staple").unwrap()),
    ] {
        let (_proxy, zero, one) = through_proxy(security);
        assert!(zero.is_quiet(SILENCE * 2));
        assert!(one.is_quiet(Duration::from_millis(1)));
    }
}

#[test]
fn peer_that_is_cut_off_is_lost_on_both_sides() {
    let (proxy, zero, one) = through_proxy(Security::None);
    let begin = Instant::now();
    proxy.lose_to();
    proxy.lose_from();
    for running in [&zero, &one] {
        let (loss, taken) = lost(running, begin);
        assert_eq!(loss, Loss::Silent(SILENCE));
        assert_eq!(loss.to_string(), "silent for 0.4 s");
        assert_in_time(taken);
        assert!(running.severer.is_severed());
        assert!(running.is_quiet(Duration::from_millis(50)));
    }
}

/// Who hears nothing says so, in the direction that works.
#[test]
fn peer_that_is_cut_off_one_way_is_told() {
    let told = Loss::Told(Farewell::Silent);
    let sentence = "it heard nothing from this process for too long";
    assert_eq!(told.to_string(), sentence);
    let secret = Security::Secret(Secret::new(b"correct horse battery staple").unwrap());
    for security in [Security::None, secret] {
        let (proxy, zero, one) = through_proxy(security.clone());
        let begin = Instant::now();
        proxy.lose_to();
        let (loss, taken) = lost(&zero, begin);
        assert_eq!(loss, Loss::Silent(SILENCE));
        assert_in_time(taken);
        assert_eq!(lost(&one, begin).0, told);
        assert!(one.severer.is_severed());

        let (proxy, zero, one) = through_proxy(security);
        let begin = Instant::now();
        proxy.lose_from();
        let (loss, taken) = lost(&one, begin);
        assert_eq!(loss, Loss::Silent(SILENCE));
        assert_in_time(taken);
        assert_eq!(lost(&zero, begin).0, told);
    }
}

#[test]
fn connection_that_ends_is_a_loss_at_once() {
    let (proxy, zero, one) = through_proxy(Security::None);
    let begin = Instant::now();
    proxy.close();
    for running in [&zero, &one] {
        let (loss, taken) = lost(running, begin);
        assert!(matches!(loss, Loss::Closed | Loss::Reset), "{loss:?}");
        assert!(taken < SILENCE, "{taken:?}");
        assert_eq!(
            running.control.send(peer_of(running), vec![1]),
            Err(gone(running))
        );
        assert_eq!(running.control.send_all(b"x"), Ok(()));
    }
}

fn peer_of(running: &Running) -> ProcessIndex {
    let is_zero = running.streams[0].is_none();
    ProcessIndex(u32::from(is_zero))
}

fn gone(running: &Running) -> SendError {
    SendError::Gone(peer_of(running))
}

const ADDRESS: &str = "MILLSTREAM_TRANSPORT_TEST_ADDRESSES";

/// Not a test of its own: what [`child`] runs in another process.
#[test]
fn runs_as_process_1() {
    let Ok(addresses) = std::env::var(ADDRESS) else {
        return;
    };
    let addresses: Vec<Address> = addresses
        .split(' ')
        .map(|text| text.parse().unwrap())
        .collect();
    let running = Running::start(start(quick(&addresses, 1)).join().unwrap().unwrap());
    // Whatever it sees, it lives until it is killed, or nobody cares any more.
    thread::sleep(SOON);
    drop(running);
}

fn quick(addresses: &[Address], process: u32) -> Settings {
    let mut settings = settings(addresses, process);
    settings.limits.silence = SILENCE;
    settings
}

/// A cluster whose process 1 is one of the operating system.
fn child() -> (Running, Child) {
    let addresses = tcp(2);
    let texts: Vec<_> = addresses.iter().map(Address::to_string).collect();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "watching::runs_as_process_1"])
        .env(ADDRESS, texts.join(" "))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let joined = start(quick(&addresses, 0)).join().unwrap().unwrap();
    (Running::start(joined), child)
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn process_that_is_stopped_is_lost() {
    let (running, mut child) = child();
    let begin = Instant::now();
    signal(&child, Signal::STOP);
    let (loss, taken) = lost(&running, begin);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(loss, Loss::Silent(SILENCE));
    assert_in_time(taken);
}

#[test]
fn process_that_is_killed_is_lost_at_once() {
    let (running, mut child) = child();
    let begin = Instant::now();
    signal(&child, Signal::KILL);
    let (loss, taken) = lost(&running, begin);
    child.wait().unwrap();
    assert!(matches!(loss, Loss::Closed | Loss::Reset), "{loss:?}");
    assert!(taken < SILENCE, "{taken:?}");
}

#[test]
fn goodbyes_in_order_are_no_losses() {
    let mut running = cluster(3);
    let last = running.pop().unwrap();
    let finishing: Vec<_> = running
        .into_iter()
        .map(|running| {
            thread::spawn(move || {
                let missing = running.control.finish(SOON);
                (running, missing)
            })
        })
        .collect();
    // Those who have said goodbye wait for the last, and hear it until then.
    let mut finished = [last.event(), last.event()];
    finished.sort_by_key(|(peer, _)| *peer);
    assert_eq!(
        finished,
        [(0, PeerEventKind::Finished), (1, PeerEventKind::Finished)]
    );
    thread::sleep(Duration::from_millis(1200));
    assert!(finishing.iter().all(|thread| !thread.is_finished()));
    last.control.send_all(b"last words").unwrap();
    assert_eq!(last.control.finish(SOON), []);
    for thread in finishing {
        let (running, missing) = thread.join().unwrap();
        assert_eq!(missing, []);
        drop(running.control);
        let events: Vec<_> = running
            .events
            .iter()
            .map(|event| (event.peer.0, event.kind))
            .collect();
        let last = PeerEventKind::Message(b"last words".to_vec());
        assert!(events.contains(&(2, last)));
        assert!(events.contains(&(2, PeerEventKind::Finished)));
        assert_eq!(events.len(), 3);
        assert!(!running.severer.is_severed());
    }
    assert!(last.is_quiet(Duration::from_millis(50)));
}

#[test]
fn goodbye_that_is_not_answered_is_not_waited_for_longer_than_said() {
    let running = cluster(2);
    let begin = Instant::now();
    assert_eq!(
        running[0].control.finish(Duration::from_millis(100)),
        [ProcessIndex(1)]
    );
    assert!(begin.elapsed() < SOON / 2);
    assert_eq!(running[1].event(), (0, PeerEventKind::Finished));
    // The other is gone now, which is as it should be.
    assert_eq!(running[1].control.finish(SOON), []);
    assert!(running[1].is_quiet(Duration::from_millis(50)));
}

#[test]
fn abandoning_tells_what_was_sent_before_and_that_it_is_over() {
    let mut running = cluster(3);
    let one = running.remove(1);
    one.control.send_all(b"step failed").unwrap();
    let begin = Instant::now();
    one.control.abandon();
    assert!(begin.elapsed() < Duration::from_millis(700));
    assert!(one.events.iter().next().is_none());
    for running in &running {
        assert_eq!(
            running.event(),
            (1, PeerEventKind::Message(b"step failed".to_vec()))
        );
        assert_eq!(running.event(), (1, PeerEventKind::Lost(Loss::Abandoned)));
        assert_eq!(
            Loss::Abandoned.to_string(),
            "it ended before its work was done"
        );
    }
}

/// The whole frame that is the largest goes through, and heartbeats with it.
#[test]
fn large_messages_are_no_loss() {
    for security in [
        Security::None,
        Security::Secret(Secret::new(b"correct horse battery staple").unwrap()),
    ] {
        let (_proxy, zero, one) = through_proxy(security);
        let message = vec![7; 64 << 20];
        zero.control.send(ProcessIndex(1), message.clone()).unwrap();
        one.control
            .send(ProcessIndex(0), b"meanwhile".to_vec())
            .unwrap();
        let (_, meanwhile) = zero.event();
        assert_eq!(text(meanwhile), "meanwhile");
        let PeerEventKind::Message(received) = one.events.recv_timeout(SOON * 4).unwrap().kind
        else {
            panic!("no message");
        };
        assert!(received == message);
        assert!(zero.is_quiet(Duration::from_millis(50)));
        assert_eq!(
            zero.control
                .send(ProcessIndex(1), vec![0; (64 << 20) + 1])
                .unwrap_err()
                .to_string(),
            "can't send 67108865 bytes to process 1 at once: 67108864 are the most that a message \
             may have"
        );
        assert_eq!(
            zero.control
                .send(ProcessIndex(2), vec![])
                .unwrap_err()
                .to_string(),
            "can't send to process 2: it is not a peer of this process"
        );
    }
}

/// Who looks at an event for long is slow, and not lost.
#[test]
fn slow_reader_is_waited_for_and_not_lost() {
    let mut settings = all(&tcp(2));
    for settings in &mut settings {
        settings.limits.silence = SILENCE;
        settings.limits.queue = 1 << 20;
    }
    let mut joined = gather(settings).into_iter();
    let zero = Running::start(joined.next().unwrap());
    let (sender, events) = std::sync::mpsc::channel();
    let one = joined.next().unwrap().control.start(move |event| {
        thread::sleep(SILENCE / 20);
        let _ = sender.send(event.kind);
    });
    let begin = Instant::now();
    let count = 60;
    for _ in 0..count {
        zero.control
            .send(ProcessIndex(1), vec![1; 1 << 20])
            .unwrap();
    }
    // There was no room for all at once.
    assert!(begin.elapsed() > SILENCE);
    for _ in 0..count {
        let event = events.recv_timeout(SOON).unwrap();
        assert!(matches!(event, PeerEventKind::Message(_)), "{event:?}");
    }
    assert!(zero.is_quiet(SILENCE / 2));
    drop(one);
}

/// Sending that waits for room ends with the peer.
#[test]
fn sending_to_a_peer_that_is_lost_ends() {
    let mut settings = all(&tcp(2));
    for settings in &mut settings {
        settings.limits.silence = SILENCE;
        settings.limits.queue = 1 << 20;
    }
    let proxy = Proxy::new(&settings[0].addresses[0]);
    settings[1].addresses[0] = proxy.address.clone();
    let mut joined = gather(settings).into_iter().map(Running::start);
    let (zero, one) = (joined.next().unwrap(), joined.next().unwrap());
    proxy.lose_from();
    let begin = Instant::now();
    let error = loop {
        if let Err(error) = one.control.send(ProcessIndex(0), vec![1; 1 << 20]) {
            break error;
        }
    };
    assert_eq!(error.to_string(), "can't send to process 0: it is gone");
    assert!(begin.elapsed() < SILENCE + SLACK);
    drop(zero);
}

/// The panic is told in its process, which can still say why it ends.
#[test]
fn panic_of_a_thread_that_has_a_stream_is_told_here() {
    let mut running = cluster(2).into_iter();
    let (mut zero, one) = (running.next().unwrap(), running.next().unwrap());
    let stream = zero.stream(1);
    let reading = thread::Builder::new().name("reading".to_owned());
    let reading = reading.spawn(move || {
        let _stream = stream;
        panic!("too much");
    });
    reading.unwrap().join().unwrap_err();
    let (peer, PeerEventKind::Panicked(panic)) = zero.event() else {
        panic!("no panic was told");
    };
    assert_eq!(peer, 1);
    assert_eq!(panic.to_string(), "the thread `reading` panicked");
    zero.control.send_all(b"why").unwrap();
    assert_eq!(text(one.event().1), "why");
    assert!(zero.severer.is_severed());
}

/// Who no longer hears a peer can still say why it ends, and doesn't wait for an answer.
#[test]
fn panic_while_a_peer_is_heard_is_told() {
    let mut joined = gather(all(&tcp(2))).into_iter();
    let (zero, one) = (joined.next().unwrap(), joined.next().unwrap());
    let (sender, events) = mpsc::channel();
    let zero = zero.control.start(move |event| {
        assert!(!matches!(event.kind, PeerEventKind::Message(_)), "too much");
        sender.send(event.kind).unwrap();
    });
    let zero = zero.unwrap();
    let one = Running::start(one);
    one.control.send_all(b"work").unwrap();
    let PeerEventKind::Panicked(panic) = events.recv_timeout(SOON).unwrap() else {
        panic!("no panic was told");
    };
    let told = "the thread `control-read-1` panicked: too much";
    assert_eq!(panic.to_string(), told);
    zero.send_all(told.as_bytes()).unwrap();
    assert_eq!(text(one.event().1), told);
    let begin = Instant::now();
    assert!(zero.finish(SOON).is_empty());
    assert!(begin.elapsed() < SOON / 2);
    assert_eq!(one.event().1, PeerEventKind::Finished);
}
