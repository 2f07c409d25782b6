//! An authority of a test, and those who show what it signed.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_transport::wire::hello::HELLO_BYTES;
use millstream_transport::{Address, Security};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, PKCS_ED25519, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// A CA that signs as `init_tls` does, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

fn params(name: &str, from: i32, to: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// A certificate, and the key to it.
pub(crate) type Signed = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = params("authority", 2000, 2100);
        params.extended_key_usages.clear();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn sign(&self, name: &str, from: i32, to: i32) -> Signed {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params(name, from, to)
            .signed_by(&key, &self.issuer)
            .unwrap();
        (certificate.der().clone(), PrivateKeyDer::from(key))
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        Arc::new(roots)
    }

    /// In files, as a process takes it.
    pub(crate) fn files(
        &self,
        directory: &Path,
        name: &str,
        (certificate, key): &Signed,
    ) -> Security {
        let write = |name: &str, label, bytes: &[u8]| {
            let path = directory.join(name);
            let body: Vec<_> = bytes
                .chunks(48)
                .map(|bytes| STANDARD.encode(bytes))
                .collect();
            let body = body.join("\n");
            fs::write(
                &path,
                format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"),
            )
            .unwrap();
            path
        };
        Security::Tls {
            ca: write("ca.pem", "CERTIFICATE", &self.root),
            certificate: write(&format!("{name}.pem"), "CERTIFICATE", certificate),
            key: write(&format!("{name}-key.pem"), "PRIVATE KEY", key.secret_der()),
        }
    }

    /// Says something to process 0, with a certificate, and reads the first bytes of the answer.
    pub(crate) fn say(
        &self,
        address: &Address,
        (certificate, key): Signed,
        bytes: &[u8],
    ) -> io::Result<[u8; 8]> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        let name = ServerName::try_from("process-0.millstream").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = loop {
            match TcpStream::connect(address.to_string()) {
                Ok(socket) => break socket,
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.write_all(bytes)?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Listens in the place of process 0, with a certificate.
    pub(crate) fn server(&self, address: &Address, (certificate, key): Signed) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(self.roots(), Arc::clone(&provider))
                .build()
                .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(address.to_string()).unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::Stream::new(&mut connection, &mut socket);
                // Whoever does not trust it leaves.
                let _ = stream.read(&mut [0; HELLO_BYTES]);
            }
        });
    }
}
