//! Whom to trust: whoever has a certificate that the authority of the cluster signed, and that
//! is for the process it says it is.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};

use crate::clock;
use crate::identity::ProcessIndex;
use crate::security::{Credentials, SecurityError};

/// What a certificate is for that any process of a cluster may show.
pub const CLUSTER_NAME: &str = "millstream-cluster";

/// What a certificate is for that only one process may show.
pub fn process_name(process: ProcessIndex) -> String {
    format!("process-{process}.millstream")
}

/// Why a certificate is not taken, or the other end doesn't take ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// Another authority signed it.
    Foreign,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It is for something else.
    OtherName,
    /// There is none.
    Missing,
    /// The other end takes ours for foreign.
    OursForeign,
    /// The other end takes ours for one whose time is over, or has not come.
    OursExpired,
    /// The other end refuses ours for another reason.
    OursRefused(String),
    /// It doesn't speak TLS.
    NoTls,
    /// Something else.
    Other(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => formatter.write_str(
                "it has another secret, or a certificate of another authority; all processes need \
                 the same secret, or certificates of the same authority",
            ),
            Self::Expired => formatter.write_str(
                "its certificate has expired; make a new one, and see that the clocks are right",
            ),
            Self::NotYet => formatter
                .write_str("its certificate is not valid yet; see that the clocks are right"),
            Self::OtherName => formatter.write_str(
                "its certificate is not for that process; a certificate must be for \
                 `process-N.millstream`, with the number of its process, or for \
                 `millstream-cluster`",
            ),
            Self::Missing => formatter.write_str("it showed no certificate"),
            Self::OursForeign => formatter.write_str(
                "it says that this process has another secret, or a certificate of another \
                 authority; all processes need the same secret, or certificates of the same \
                 authority",
            ),
            Self::OursExpired => formatter.write_str(
                "it says that the certificate of this process has expired; make a new one, and \
                 see that the clocks are right",
            ),
            Self::OursRefused(alert) => write!(
                formatter,
                "it does not take the certificate of this process ({alert})"
            ),
            Self::NoTls => formatter.write_str(
                "it does not speak TLS; all processes need certificates or the secret, or none",
            ),
            Self::Other(cause) => write!(formatter, "TLS failed: {cause}"),
        }
    }
}

/// What an error of a connection says about trust; `None` if it is about something else.
pub(crate) fn distrust(error: &io::Error) -> Option<Distrust> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(of_tls(error))
}

fn of_tls(error: &Error) -> Distrust {
    use AlertDescription as Alert;
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => Distrust::Missing,
        Error::InvalidMessage(_) => Distrust::NoTls,
        // The alerts that rustls sends for a chain it can't verify.
        Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError) => Distrust::OursForeign,
        Error::AlertReceived(Alert::CertificateExpired) => Distrust::OursExpired,
        Error::AlertReceived(alert) => Distrust::OursRefused(format!("{alert:?}")),
        other => Distrust::Other(other.to_string()),
    }
}

fn of_certificate(error: &CertificateError) -> Distrust {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::Foreign,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Distrust::NotYet
        }
        CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. }
        | CertificateError::InvalidPurpose
        | CertificateError::InvalidPurposeContext { .. } => Distrust::OtherName,
        other => Distrust::Other(other.to_string()),
    }
}

/// What a process needs for TLS.
pub(super) fn credentials(
    authority: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Credentials, SecurityError> {
    let roots = roots(authority)?;
    let provider = Arc::new(ring::default_provider());
    let clients = clients(&roots, &provider)?;
    let servers = Arc::new(Servers(servers(&roots, &provider)?));
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(machinery)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(machinery)?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(machinery)?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_client_auth_cert(chain, key)
        .map_err(machinery)?;
    // Each connection is made once, and says by itself who it is for.
    server.send_tls13_tickets = 0;
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(Credentials {
        client: Arc::new(client),
        server: Arc::new(server),
    })
}

/// Whether others will trust a certificate as that of a process.
pub(super) fn check(
    authority: Vec<CertificateDer<'static>>,
    chain: &[CertificateDer<'static>],
    process: ProcessIndex,
) -> Result<(), Distrust> {
    let machinery = |error: SecurityError| Distrust::Other(error.to_string());
    let Some((leaf, between)) = chain.split_first() else {
        return Err(Distrust::Missing);
    };
    let provider = Arc::new(ring::default_provider());
    let roots = roots(authority).map_err(machinery)?;
    let now = UnixTime::since_unix_epoch(clock::today());
    clients(&roots, &provider)
        .map_err(machinery)?
        .verify_client_cert(leaf, between, now)
        .map_err(|error| of_tls(&error))?;
    let name = server_name(process).ok_or(Distrust::OtherName)?;
    Servers(servers(&roots, &provider).map_err(machinery)?)
        .verify_server_cert(leaf, between, &name, &[], now)
        .map_err(|error| of_tls(&error))?;
    Ok(())
}

/// The name to ask of the certificate of a process.
pub(crate) fn server_name(process: ProcessIndex) -> Option<ServerName<'static>> {
    ServerName::try_from(process_name(process)).ok()
}

/// Whether a certificate, which is trusted, is for a process.
pub(crate) fn is_named(certificate: &[u8], process: ProcessIndex) -> bool {
    let certificate = CertificateDer::from(certificate);
    let Ok(certificate) = ParsedCertificate::try_from(&certificate) else {
        return false;
    };
    let is_for = |name: &ServerName<'_>| verify_server_name(&certificate, name).is_ok();
    server_name(process).as_ref().is_some_and(is_for) || cluster_name().as_ref().is_some_and(is_for)
}

fn cluster_name() -> Option<ServerName<'static>> {
    ServerName::try_from(CLUSTER_NAME).ok()
}

fn roots(authority: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, SecurityError> {
    let mut roots = RootCertStore::empty();
    for certificate in authority {
        roots.add(certificate).map_err(machinery)?;
    }
    Ok(Arc::new(roots))
}

fn clients(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, SecurityError> {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| SecurityError::Machinery {
            cause: error.to_string(),
        })
}

fn servers(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, SecurityError> {
    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| SecurityError::Machinery {
            cause: error.to_string(),
        })
}

fn machinery(error: Error) -> SecurityError {
    SecurityError::Machinery {
        cause: error.to_string(),
    }
}

/// The usual verifier, which takes the name of the cluster as well as that of the process.
#[derive(Debug)]
struct Servers(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        revocation: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |name: &ServerName<'_>| {
            self.0
                .verify_server_cert(leaf, between, name, revocation, now)
        };
        verify(name).or_else(|error| match cluster_name() {
            Some(name) if of_tls(&error) == Distrust::OtherName => verify(&name),
            _ => Err(error),
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
