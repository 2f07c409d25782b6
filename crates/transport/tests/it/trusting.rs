//! Who is trusted with security on, and what is said of those who are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use millstream_transport::wire::hello::{HELLO_BYTES, Hello, Purpose, Version};
use millstream_transport::{
    Address, Fingerprint, JoinError, ProcessIndex, RunId, Secret, Security, Settings, init_tls,
};

use crate::authority::{Authority, Signed};
use crate::joining::tls;
use crate::support::{gather, settings, start, start_noting, tcp};

const SAME: &str = "all processes need the same secret, or certificates of the same authority";

fn secret(text: &str) -> Security {
    Security::Secret(Secret::new(text.as_bytes()).unwrap())
}

fn with(addresses: &[Address], process: u32, security: &Security) -> Settings {
    let mut settings = settings(addresses, process);
    settings.security = security.clone();
    settings
}

/// Process 1 has something else than process 0, and is refused; process 0 goes on, and joins with
/// one that has the same. What process 1 says, and what process 0 has seen.
fn refused(right: [Security; 2], wrong: &Security) -> (JoinError, String, Vec<String>) {
    let addresses = tcp(2);
    let zero = start_noting(with(&addresses, 0, &right[0]));
    let error = start(with(&addresses, 1, wrong))
        .join()
        .unwrap()
        .unwrap_err();
    let one = start(with(&addresses, 1, &right[1]));
    let (_, refused) = zero.join().unwrap();
    one.join().unwrap().unwrap();
    (error, addresses[0].to_string(), refused)
}

fn assert_refused(right: [Security; 2], wrong: &Security, own: &str, others: &[&str]) {
    let (error, address, refused) = refused(right, wrong);
    assert_eq!(
        error.to_string(),
        format!("can't join process 0 at {address}: {own}")
    );
    assert_eq!(error.exit_code(), 64);
    assert_eq!(refused, others);
}

#[test]
fn wrong_secret_is_refused() {
    let right = secret("correct horse battery staple");
    assert_refused(
        [right.clone(), right],
        &secret("correct horse battery stable"),
        &format!("it has another secret, or a certificate of another authority; {SAME}"),
        &[&format!(
            "a connection from 127.0.0.1: it says that this process has another secret, \
             or a certificate of another authority; {SAME}"
        )],
    );
}

#[test]
fn certificate_of_another_authority_is_refused() {
    let [ours, theirs] = [0, 1].map(|_| {
        let directory = tempfile::tempdir().unwrap();
        init_tls(directory.path(), 2).unwrap();
        directory
    });
    assert_refused(
        [0, 1].map(|process| tls(ours.path(), process)),
        &tls(theirs.path(), 1),
        &format!("it has another secret, or a certificate of another authority; {SAME}"),
        &[&format!(
            "a connection from 127.0.0.1: it says that this process has another secret, \
             or a certificate of another authority; {SAME}"
        )],
    );
}

#[test]
fn process_without_a_secret_is_refused() {
    let right = secret("correct horse battery staple");
    assert_refused(
        [right.clone(), right],
        &Security::None,
        "it wants TLS, and this process has neither certificates nor a secret; give all the same",
        &[
            "a connection from 127.0.0.1: it has neither certificates nor a secret, and this \
           process wants TLS; give all the same",
        ],
    );
}

#[test]
fn process_with_a_secret_is_refused_where_there_is_none() {
    assert_refused(
        [Security::None, Security::None],
        &secret("correct horse battery staple"),
        "it does not speak TLS; all processes need certificates or the secret, or none",
        &[
            "a connection from 127.0.0.1: it speaks TLS, and this process has neither certificates \
           nor a secret; give all the same",
        ],
    );
}

/// Who has the certificate of process 1 may not be process 2.
#[test]
fn certificate_of_another_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    init_tls(directory.path(), 3).unwrap();
    let addresses = tcp(3);
    let error = start(with(&addresses, 2, &tls(directory.path(), 1)));
    let path = |name: &str| directory.path().join(name).display().to_string();
    let sentence = error.join().unwrap().unwrap_err().to_string();
    assert_eq!(
        sentence,
        format!(
            "the certificate `{}` can't be used: it is for something else; each process needs a \
             certificate that the authority in `{}` signed, for `process-2.millstream` or \
             `millstream-cluster`",
            path("process-1.pem"),
            path("ca.pem")
        )
    );
}

fn good(authority: &Authority, directory: &Path, process: u32) -> Security {
    let signed = authority.sign(&format!("process-{process}.millstream"), 2000, 2100);
    authority.files(directory, &format!("good-{process}"), &signed)
}

/// A client with a certificate is refused: by this alert, and for this reason.
fn assert_client_refused(signed: impl FnOnce(&Authority) -> Signed, alert: &str, reason: &str) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let addresses = tcp(2);
    let [zero, one] = [0, 1].map(|process| good(&authority, directory.path(), process));
    let zero = start_noting(with(&addresses, 0, &zero));
    let said = authority.say(&addresses[0], signed(&authority), &[1; HELLO_BYTES]);
    assert_eq!(
        said.unwrap_err().to_string(),
        format!("received fatal alert: {alert}")
    );
    start(with(&addresses, 1, &one)).join().unwrap().unwrap();
    let (_, refused) = zero.join().unwrap();
    assert_eq!(refused, [format!("a connection from 127.0.0.1: {reason}")]);
}

const EXPIRED: &str =
    "its certificate has expired; make a new one, and see that the clocks are right";
const OTHER_NAME: &str = "its certificate is not for that process; a certificate must be for \
                          `process-N.millstream`, with the number of its process, or for \
                          `millstream-cluster`";

#[test]
fn expired_certificate_is_refused_by_who_listens() {
    let name = "process-1.millstream";
    assert_client_refused(
        |authority| authority.sign(name, 2000, 2020),
        "CertificateExpired",
        EXPIRED,
    );
}

#[test]
fn foreign_certificate_is_refused_by_who_listens() {
    assert_client_refused(
        |_| Authority::new().sign("process-1.millstream", 2000, 2100),
        "DecryptError",
        &format!("it has another secret, or a certificate of another authority; {SAME}"),
    );
}

/// What is at the other end of `security` says of a certificate of process 0.
fn refused_server(sign: impl FnOnce(&Authority) -> Signed) -> String {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let addresses = tcp(2);
    authority.server(&addresses[0], sign(&authority));
    let one = good(&authority, directory.path(), 1);
    let error = start(with(&addresses, 1, &one))
        .join()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.exit_code(), 64);
    let sentence = error.to_string();
    let begin = format!("can't join process 0 at {}: ", addresses[0]);
    sentence.strip_prefix(&begin).unwrap().to_owned()
}

#[test]
fn certificate_that_will_not_do_is_refused_by_who_connects() {
    let refused = |name: &str, from, to| refused_server(|authority| authority.sign(name, from, to));
    assert_eq!(refused("process-0.millstream", 2000, 2020), EXPIRED);
    assert_eq!(
        refused("process-0.millstream", 2090, 2100),
        "its certificate is not valid yet; see that the clocks are right"
    );
    assert_eq!(refused("process-2.millstream", 2000, 2100), OTHER_NAME);
    assert_eq!(refused("example.com", 2000, 2100), OTHER_NAME);
    let foreign = refused_server(|_| Authority::new().sign("process-0.millstream", 2000, 2100));
    assert_eq!(
        foreign,
        format!("it has another secret, or a certificate of another authority; {SAME}")
    );
}

/// Trust in the chain is not enough: the name must be that of who says it is there.
#[test]
fn trusted_certificate_of_another_process_is_refused_by_who_listens() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let addresses = tcp(3);
    let security = [0, 1, 2].map(|process| good(&authority, directory.path(), process));
    let zero = start_noting(with(&addresses, 0, &security[0]));
    let signed = authority.sign("process-2.millstream", 2000, 2100);
    let hello = Hello {
        purpose: Purpose::Data,
        version: Version::own(),
        cluster: [0; 32],
        process: ProcessIndex(1),
        to: ProcessIndex(0),
        processes: 3,
        workers: 2,
        silence: 1000,
        fingerprint: Fingerprint(5),
        run: RunId([1; 16]),
    };
    let answer = authority
        .say(&addresses[0], signed, &hello.encode())
        .unwrap();
    assert_eq!(answer, *b"mlstrea\x08");
    let rest = [1, 2].map(|process| {
        let index = usize::try_from(process).unwrap();
        start(with(&addresses, process, &security[index]))
    });
    for thread in rest {
        thread.join().unwrap().unwrap();
    }
    let (_, refused) = zero.join().unwrap();
    assert_eq!(refused, [format!("process 1 from 127.0.0.1: {OTHER_NAME}")]);
}

#[test]
fn certificate_for_the_cluster_is_for_each_process() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let signed = authority.sign("millstream-cluster", 2000, 2100);
    let security = authority.files(directory.path(), "cluster", &signed);
    let addresses = tcp(3);
    gather(
        [0, 1, 2]
            .map(|process| with(&addresses, process, &security))
            .to_vec(),
    );
}

/// What a process says of its own files, with `<ca>` and so on for their paths.
fn own(change: impl FnOnce(&Authority, &Path)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let security = good(&authority, directory.path(), 1);
    change(&authority, directory.path());
    let addresses = tcp(2);
    let error = start(with(&addresses, 1, &security))
        .join()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.exit_code(), 64);
    error
        .to_string()
        .replace(&directory.path().display().to_string(), "<dir>")
}

#[test]
fn process_looks_at_its_own_files_first() {
    let needs = "each process needs a certificate that the authority in `<dir>/ca.pem` signed, \
                 for `process-1.millstream` or `millstream-cluster`";
    let replaced = |name: &'static str, from, to| {
        own(move |authority, directory| {
            authority.files(directory, "good-1", &authority.sign(name, from, to));
        })
    };
    assert_eq!(
        replaced("process-1.millstream", 2000, 2020),
        format!("the certificate `<dir>/good-1.pem` can't be used: it has expired; {needs}")
    );
    assert_eq!(
        replaced("process-1.millstream", 2090, 2100),
        format!("the certificate `<dir>/good-1.pem` can't be used: it is not valid yet; {needs}")
    );
    assert_eq!(
        replaced("example.com", 2000, 2100),
        format!(
            "the certificate `<dir>/good-1.pem` can't be used: it is for something else; {needs}"
        )
    );
    assert_eq!(
        own(|_, directory| {
            let other = Authority::new();
            other.files(directory, "other", &other.sign("x", 2000, 2100));
        }),
        format!(
            "the certificate `<dir>/good-1.pem` can't be used: another authority signed it; {needs}"
        )
    );
    assert_eq!(
        own(|_, directory| fs::remove_file(directory.join("ca.pem")).unwrap()),
        "can't read the authority's certificate `<dir>/ca.pem`: No such file or directory (os \
         error 2)"
    );
    assert_eq!(
        own(|_, directory| fs::write(directory.join("good-1.pem"), "nothing").unwrap()),
        "the certificate `<dir>/good-1.pem` can't be used: it holds no certificate; it must be a \
         PEM file"
    );
    let key = own(|authority, directory| {
        let (_, key) = authority.sign("x", 2000, 2100);
        let (certificate, _) = authority.sign("process-1.millstream", 2000, 2100);
        authority.files(directory, "good-1", &(certificate, key));
    });
    assert!(
        key.starts_with("the private key `<dir>/good-1-key.pem` can't be used: "),
        "{key}"
    );
}

#[test]
fn certificates_are_made_in_an_empty_place_for_their_owner() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/tls");
    init_tls(&directory, 2).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        "ca-key.pem",
        "ca.pem",
        "process-0-key.pem",
        "process-0.pem",
        "process-1-key.pem",
        "process-1.pem",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        init_tls(&directory, 2).unwrap_err().to_string(),
        format!(
            "can't make certificates in `{}`: it is not empty; name a directory that is empty or \
             not there yet",
            directory.display()
        )
    );
    assert_eq!(
        init_tls(&parent.path().join("none"), 0)
            .unwrap_err()
            .to_string(),
        "can't make certificates for 0 processes; name at least one"
    );
}
