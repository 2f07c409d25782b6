//! Processes that don't go together: who is refused says why, and the others go on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use millstream_transport::wire::hello::{HELLO_BYTES, REPLY_BYTES};
use millstream_transport::{
    Address, ClusterId, Delay, Fingerprint, JoinError, ProcessIndex, Settings, Wish, join,
};

use crate::support::{all, settings, start, start_noting, tcp};

/// Where those who connect are seen to come from.
const HERE: &str = "127.0.0.1";

/// Process 1 is refused when it is changed so; process 0 goes on, and joins with another.
fn refused(change: impl FnOnce(&mut Settings)) -> (JoinError, String, Vec<String>) {
    let addresses = tcp(2);
    let first = start_noting(settings(&addresses, 0));
    let mut wrong = settings(&addresses, 1);
    change(&mut wrong);
    let error = start(wrong).join().unwrap().unwrap_err();
    let second = start(settings(&addresses, 1));
    let (_, refused) = first.join().unwrap();
    second.join().unwrap().unwrap();
    (error, addresses[0].to_string(), refused)
}

/// Asserts what either side says.
fn assert_refused(change: impl FnOnce(&mut Settings), own: &str, others: &str, exit_code: u8) {
    let (error, address, refused) = refused(change);
    let sentence = format!("can't join process 0 at {address}: {own}");
    assert_eq!(error.to_string(), sentence);
    assert_eq!(error.exit_code(), exit_code);
    let expected = format!("process 1 from {HERE}: {others}");
    assert_eq!(refused, [expected]);
}

#[test]
fn process_of_another_cluster_is_refused() {
    let sentence = "it is of another cluster; all processes need the same cluster id, and each \
                    cluster its own addresses";
    let change = |settings: &mut Settings| settings.cluster = ClusterId("taxes".to_owned());
    assert_refused(change, sentence, sentence, 64);
}

#[test]
fn process_with_other_code_is_refused() {
    let sentence = "it runs other code than this process; start all with the same dataflow";
    let change = |settings: &mut Settings| settings.fingerprint = Fingerprint(6);
    assert_refused(change, sentence, sentence, 78);
}

#[test]
fn process_with_another_number_of_workers_is_refused() {
    assert_refused(
        |settings| settings.workers = 1,
        "it has 2 workers, and this process 1; give all as many",
        "it has 1 worker, and this process 2; give all as many",
        64,
    );
}

#[test]
fn process_with_another_number_of_processes_is_refused() {
    let third: Address = "127.0.0.1:7".parse().unwrap();
    assert_refused(
        |settings| settings.addresses.push(third),
        "it knows 2 processes, and this process 3; give all the same addresses",
        "it knows 3 processes, and this process 2; give all the same addresses",
        64,
    );
}

#[test]
fn process_of_another_protocol_is_refused_and_refuses() {
    let addresses = tcp(2);
    let first = start_noting(settings(&addresses, 0));
    let mut hello = [0xff; HELLO_BYTES];
    hello[..8].copy_from_slice(b"mlstream");
    hello[8..12].copy_from_slice(&[0, 9, 77, 5]);
    hello[12..17].copy_from_slice(b"9.8.7");
    hello[17..32].fill(0);
    let mut stream = connect(&addresses[0]);
    stream.write_all(&hello).unwrap();
    let mut reply = [0; REPLY_BYTES];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..8], *b"mlstrea\x01");
    start(settings(&addresses, 1)).join().unwrap().unwrap();
    let (_, refused) = first.join().unwrap();
    let sentence = "it has version 9.8.7 (protocol 9), and this process version 0.1.0 (protocol \
                    1); install the same version for all";
    let expected = format!("a connection from {HERE}: {sentence}");
    assert_eq!(refused, [expected]);

    let addresses = tcp(2);
    let listener = TcpListener::bind(addresses[0].to_string()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; HELLO_BYTES]).unwrap();
            let reply = [b"mlstrea\x01".as_slice(), &hello].concat();
            stream.write_all(&reply).unwrap();
        }
    });
    let error = start(settings(&addresses, 1)).join().unwrap().unwrap_err();
    let expected = format!("can't join process 0 at {}: {sentence}", addresses[0]);
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.exit_code(), 72);
}

fn connect(address: &Address) -> TcpStream {
    loop {
        match TcpStream::connect(address.to_string()) {
            Ok(stream) => return stream,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn second_process_with_an_id_is_refused() {
    let addresses = tcp(4);
    let three = addresses[..3].to_vec();
    let others = [0, 1].map(|process| start_noting(settings(&three, process)));
    thread::sleep(Duration::from_millis(200));
    let mut same = settings(&three, 1);
    same.addresses[1] = addresses[3].clone();
    let error = start(same).join().unwrap().unwrap_err();
    let sentence = "there are two processes with id 1, and the other has joined already; give \
                    each its own";
    let expected = format!("can't join process 0 at {}: {sentence}", addresses[0]);
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.exit_code(), 64);
    start(settings(&three, 2)).join().unwrap().unwrap();
    let [zero, one] = others.map(|thread| thread.join().unwrap().1);
    assert_eq!(zero, [format!("process 1 from {HERE}: {sentence}")]);
    assert_eq!(one, [""; 0]);
}

#[test]
fn process_at_the_place_of_another_is_refused() {
    let addresses = tcp(3);
    let one = start_noting(settings(&addresses, 1));
    thread::sleep(Duration::from_millis(100));
    let mut mixed = settings(&addresses, 2);
    mixed.addresses.swap(0, 1);
    mixed.limits.deadline = Duration::from_secs(2);
    let error = start(mixed).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "can't join process 0 at {}: process 1 is there, not process 0; give all the same \
             addresses, in the same order",
            addresses[1]
        )
    );
    assert_eq!(error.exit_code(), 64);
    let rest = [0, 2].map(|process| start(settings(&addresses, process)));
    assert_eq!(
        one.join().unwrap().1,
        [format!(
            "process 2 from {HERE}: it looks for process 0 here; give all the same addresses, in \
             the same order"
        )]
    );
    for thread in rest {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn stranger_at_the_address_is_no_process() {
    let addresses = tcp(2);
    let listener = TcpListener::bind(addresses[0].to_string()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(&[b'x'; 200]).unwrap();
        }
    });
    let error = start(settings(&addresses, 1)).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "can't join process 0 at {}: something answers there that is no process of a \
             cluster; see that the address is right",
            addresses[0]
        )
    );
    assert_eq!(error.exit_code(), 64);
}

/// Who is wanted by others does not give up because of one that is wrong.
#[test]
fn others_wait_for_one_that_is_wrong_to_be_mended() {
    let addresses = tcp(3);
    let zero = start(settings(&addresses, 0));
    let two = start(settings(&addresses, 2));
    thread::sleep(Duration::from_millis(100));
    let mut wrong = settings(&addresses, 1);
    wrong.fingerprint = Fingerprint(6);
    let error = start(wrong).join().unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 78);
    start(settings(&addresses, 1)).join().unwrap().unwrap();
    zero.join().unwrap().unwrap();
    two.join().unwrap().unwrap();
}

#[test]
fn who_is_refused_and_wanted_by_others_says_so() {
    let addresses = tcp(3);
    let (sender, delays) = mpsc::channel();
    let right = [2, 1].map(|process| {
        let settings = settings(&addresses, process);
        let sender = sender.clone();
        thread::spawn(move || {
            // Nobody listens once both have told.
            let on_delay = |delay| drop(sender.send((process, delay)));
            let joined = join(&settings, &|| Wish::Join, &on_delay);
            joined.unwrap();
        })
    });
    drop(sender);
    // By now they have found each other.
    thread::sleep(Duration::from_secs(1));
    let mut wrong = settings(&addresses, 0);
    wrong.workers = 1;
    let is_over = Arc::new(AtomicBool::new(false));
    let leaves = Arc::clone(&is_over);
    let wrong = thread::spawn(move || {
        let wish = || {
            if leaves.load(Ordering::SeqCst) {
                Wish::Leave
            } else {
                Wish::Join
            }
        };
        join(&wrong, &wish, &|_| ())
    });
    let mut told: Vec<_> = delays
        .iter()
        .filter(|(_, delay)| matches!(delay, Delay::RefusedBy(_)))
        .map(|(process, delay)| (process, delay.to_string()))
        .take(2)
        .collect();
    is_over.store(true, Ordering::SeqCst);
    assert!(wrong.join().unwrap().is_err());
    start(settings(&addresses, 0)).join().unwrap().unwrap();
    for thread in right {
        thread.join().unwrap();
    }
    told.sort();
    let sentence = format!(
        "can't join process 0 at {}: it has 1 worker, and this process 2; give all as many (still \
         waiting for all to join)",
        addresses[0]
    );
    assert_eq!(told, [(1, sentence.clone()), (2, sentence)]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Settings)| {
        let mut settings = all(&tcp(2)).remove(1);
        settings.addresses[1] = "127.0.0.1:71".parse().unwrap();
        change(&mut settings);
        let error = start(settings).join().unwrap().unwrap_err();
        assert_eq!(error.exit_code(), 64);
        error.to_string()
    };
    assert_eq!(
        refused(|settings| settings.process = ProcessIndex(2)),
        "there are addresses for 2 processes, and this is process 2; they are counted from 0, so \
         give one address for each"
    );
    assert_eq!(
        refused(|settings| settings.addresses[0] = settings.addresses[1].clone()),
        "processes 0 and 1 have the same address `127.0.0.1:71`; give each its own"
    );
    assert_eq!(
        refused(|settings| settings.limits.silence = Duration::from_millis(99)),
        "the heartbeat silence of a cluster must be at least 0.1 s, and is 0.099 s"
    );
    assert_eq!(
        refused(|settings| settings.limits.frame = 0),
        "the largest frame of a cluster must be from 1 to 4294967295 bytes, and is 0"
    );
    assert_eq!(
        refused(|settings| settings.workers = 0),
        "the number of workers of a cluster must be at least 1, and is 0"
    );
    let exposed = refused(|settings| settings.addresses[0] = "worker-1:80".parse().unwrap());
    assert!(exposed.starts_with("the address `worker-1:80` can be reached from other hosts"));
}
