//! Waiting for others: how long, for whom, and what else can happen meanwhile.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use millstream_transport::{Address, Delay, JoinError, Wish, join};

use crate::support::{Running, all, gather, settings, start, start_noting, tcp, text, unix};

fn leave_if(is_wished: &AtomicBool) -> Wish {
    if is_wished.load(Ordering::SeqCst) {
        Wish::Leave
    } else {
        Wish::Join
    }
}

#[test]
fn who_would_rather_leave_does_while_others_lack() {
    let addresses = tcp(2);
    let begin = Instant::now();
    let leaving = |process| {
        let settings = settings(&addresses, process);
        thread::spawn(move || join(&settings, &|| Wish::LeaveIfOthersLack, &|_| ()))
    };
    let error = leaving(0).join().unwrap().unwrap_err();
    assert!(matches!(error, JoinError::Interrupted));
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn process_that_never_starts_is_named() {
    let addresses = tcp(4);
    let mut threads = Vec::new();
    for process in [1, 2] {
        let mut settings = settings(&addresses, process);
        settings.limits.deadline = Duration::from_millis(600);
        threads.push(start(settings));
    }
    let errors: Vec<JoinError> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap().unwrap_err())
        .collect();
    let [a, _, _, d] = [0, 1, 2, 3].map(|process| &addresses[process]);
    for error in errors {
        assert_eq!(
            error.to_string(),
            format!(
                "not all processes of the cluster came within 0.6 s: missing process 0 at {a} \
                 (can't reach it: nobody listens there), process 3 at {d} (it has not come); start \
                 all of them within that time, with the same addresses"
            )
        );
        assert_eq!(error.exit_code(), 75);
    }
}

#[test]
fn process_that_waits_for_another_is_not_blamed() {
    let addresses = tcp(3);
    let mut late = settings(&addresses, 0);
    late.limits.deadline = Duration::from_millis(500);
    // It would rather leave, once all are here, and stays as they may count on it.
    let begin = Instant::now();
    let late = thread::spawn(move || {
        let wish = || {
            if begin.elapsed() > Duration::from_millis(400) {
                Wish::LeaveIfOthersLack
            } else {
                Wish::Join
            }
        };
        join(&late, &wish, &|_| ())
    });
    // It listens where nobody connects, so 2 waits for it, and 0 for both to say that all is well.
    let mut hidden = settings(&addresses, 1);
    hidden.addresses[1] = tcp(1).remove(0);
    hidden.limits.deadline = Duration::from_millis(700);
    let hidden = start(hidden);
    let mut two = settings(&addresses, 2);
    two.limits.deadline = Duration::from_millis(700);
    let two = start(two);
    assert_eq!(
        late.join().unwrap().unwrap_err().to_string(),
        format!(
            "not all processes of the cluster came within 0.5 s: missing process 1 at {} (it \
             waits for another process), process 2 at {} (it waits for another process)",
            addresses[1], addresses[2]
        )
    );
    assert!(hidden.join().unwrap().is_err());
    assert!(two.join().unwrap().is_err());
}

#[test]
fn who_is_missing_is_told_after_a_while_and_once() {
    let addresses = tcp(2);
    let mut settings = settings(&addresses, 0);
    settings.limits.deadline = Duration::from_millis(5_500);
    let (sender, delays) = mpsc::channel();
    let begin = Instant::now();
    let thread = thread::spawn(move || {
        let on_delay = |delay: Delay| sender.send((Instant::now(), delay.to_string())).unwrap();
        join(&settings, &|| Wish::Join, &on_delay)
    });
    assert!(thread.join().unwrap().is_err());
    let [(told, sentence)] = delays.iter().collect::<Vec<_>>().try_into().unwrap();
    assert!(told - begin >= Duration::from_secs(5));
    let expected = format!(
        "still waiting for process 1 at {} (it has not come)",
        addresses[1]
    );
    assert_eq!(sentence, expected);
}

#[test]
fn interrupt_ends_it_quickly() {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_interrupted);
    let settings = settings(&tcp(2), 1);
    let thread = thread::spawn(move || join(&settings, &|| leave_if(&shared), &|_| ()));
    thread::sleep(Duration::from_millis(50));
    let begin = Instant::now();
    is_interrupted.store(true, Ordering::SeqCst);
    let error = thread.join().unwrap().unwrap_err();
    assert!(begin.elapsed() < Duration::from_millis(500));
    assert_eq!(error.to_string(), "joining the cluster was interrupted");
    assert_eq!(error.exit_code(), 130);
}

#[test]
fn process_that_is_started_again_while_others_wait_is_taken() {
    let addresses = tcp(3);
    let first = start_noting(settings(&addresses, 0));
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_interrupted);
    let dying = settings(&addresses, 1);
    let dying = thread::spawn(move || join(&dying, &|| leave_if(&shared), &|_| ()));
    thread::sleep(Duration::from_millis(150));
    is_interrupted.store(true, Ordering::SeqCst);
    assert!(dying.join().unwrap().is_err());
    let rest = [1, 2].map(|process| start(settings(&addresses, process)));
    let (joined, refused) = first.join().unwrap();
    assert_eq!(refused, [""; 0]);
    let running = Running::start(joined);
    let rest = rest.map(|thread| Running::start(thread.join().unwrap().unwrap()));
    rest[0].control.send_all(b"again").unwrap();
    let (peer, message) = running.event();
    assert_eq!((peer, text(message).as_str()), (1, "again"));
}

/// The one that others connect to dies, and comes again.
#[test]
fn process_that_listens_may_be_started_again_too() {
    let addresses = tcp(3);
    let waiting = start(settings(&addresses, 1));
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_interrupted);
    let dying = settings(&addresses, 0);
    let dying = thread::spawn(move || join(&dying, &|| leave_if(&shared), &|_| ()));
    thread::sleep(Duration::from_millis(150));
    is_interrupted.store(true, Ordering::SeqCst);
    assert!(dying.join().unwrap().is_err());
    let rest = [0, 2].map(|process| start(settings(&addresses, process)));
    let run = waiting.join().unwrap().unwrap().run;
    for thread in rest {
        assert_eq!(thread.join().unwrap().unwrap().run, run);
    }
}

#[test]
fn place_that_is_taken_is_said() {
    let addresses = tcp(2);
    let _other = TcpListener::bind(addresses[1].to_string()).unwrap();
    let error = start(settings(&addresses, 1)).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "process 1 can't listen at {}: another program listens there; end it, or use another \
             port, or give each process a number of its own",
            addresses[1]
        )
    );
    assert_eq!(error.exit_code(), 64);
}

#[test]
fn place_that_is_not_here_is_said() {
    let mut settings = settings(&tcp(2), 1);
    settings.addresses[1] = "192.0.2.1:7000".parse().unwrap();
    settings.insecure = true;
    let error = start(settings).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "process 1 can't listen at 192.0.2.1:7000: it is no address of this host; give the \
         address of this process"
    );
}

#[test]
fn name_that_can_not_be_resolved_is_said() {
    let mut settings = settings(&tcp(2), 1);
    settings.addresses[0] = "no-such-host.invalid:7000".parse().unwrap();
    settings.insecure = true;
    settings.limits.deadline = Duration::from_millis(400);
    let error = start(settings).join().unwrap().unwrap_err();
    let sentence = error.to_string();
    let expected = "not all processes of the cluster came within 0.4 s: missing process 0 at \
                    no-such-host.invalid:7000 (its name can't be resolved: ";
    // What follows is what the system says.
    assert!(sentence.starts_with(expected), "{sentence}");
    assert_eq!(error.exit_code(), 75);
}

#[test]
fn process_that_does_not_answer_is_said() {
    let addresses = tcp(2);
    let _silent = TcpListener::bind(addresses[0].to_string()).unwrap();
    let mut settings = settings(&addresses, 1);
    settings.limits.handshake = Duration::from_millis(100);
    settings.limits.deadline = Duration::from_millis(400);
    assert_eq!(
        start(settings).join().unwrap().unwrap_err().to_string(),
        format!(
            "not all processes of the cluster came within 0.4 s: missing process 0 at {} (can't \
             reach it: it does not answer); start all of them within that time, with the same \
             addresses",
            addresses[0]
        )
    );
}

#[test]
fn socket_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = unix(directory.path(), 2);
    let Address::Unix(path) = &addresses[0] else {
        unreachable!()
    };
    let living = UnixListener::bind(path).unwrap();
    let error = start(settings(&addresses, 0)).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "process 0 can't listen at unix:{}: another process listens there; end it, or use \
             another path, or give each process a number of its own",
            path.display()
        )
    );
    assert_eq!(error.exit_code(), 64);
    assert!(path.exists());
    drop(living);
    assert!(path.exists());
    gather(all(&addresses));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = unix(directory.path(), 2);
    let path = directory.path().join("0.sock");
    fs::write(&path, "precious").unwrap();
    let error = start(settings(&addresses, 0)).join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "process 0 can't listen at unix:{}: there is a file that is no socket; use another \
             path",
            path.display()
        )
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn socket_is_for_its_owner_and_removed_after_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&unix(directory.path(), 2), 0);
    settings.limits.deadline = Duration::from_millis(300);
    let path = directory.path().join("0.sock");
    let thread = start(settings);
    let begin = Instant::now();
    let mode = loop {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.permissions().mode() & 0o777 == 0o600 => break 0o600,
            Ok(metadata) if begin.elapsed() > Duration::from_millis(200) => {
                break metadata.permissions().mode() & 0o777;
            }
            _ => thread::yield_now(),
        }
    };
    assert_eq!(mode, 0o600);
    assert!(thread.join().unwrap().is_err());
    assert!(!path.exists());
}

#[test]
fn listener_is_closed_once_all_have_joined() {
    let addresses = tcp(2);
    let _joined = gather(all(&addresses));
    assert!(std::net::TcpStream::connect(addresses[0].to_string()).is_err());
}
