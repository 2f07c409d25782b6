//! Making certificates.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, date_time_ymd,
};

use crate::clock;
use crate::security::SecurityError;

/// Clocks of two hosts may differ by as much.
const SKEW: Duration = Duration::from_secs(24 * 3600);

/// Who signs the certificates of a cluster.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    lifetime: Duration,
}

/// A certificate, and the key to it.
pub(super) struct Minted {
    /// As DER.
    pub(super) certificate: Vec<u8>,
    /// As PKCS #8.
    pub(super) key: Vec<u8>,
}

impl Authority {
    /// One with a key that is known already.
    pub(super) fn of_seed(seed: &[u8; 32], lifetime: Duration) -> Result<Self, SecurityError> {
        // PKCS #8, version 1, for Ed25519: what comes before the key is always the same.
        let mut key = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        key.extend_from_slice(seed);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key.into(), &PKCS_ED25519);
        Self::of_key(key.map_err(machinery)?, lifetime)
    }

    /// One with a new key.
    pub(super) fn new(lifetime: Duration) -> Result<Self, SecurityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(machinery)?;
        Self::of_key(key, lifetime)
    }

    fn of_key(key: KeyPair, lifetime: Duration) -> Result<Self, SecurityError> {
        let mut params = params("millstream cluster authority", lifetime);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(machinery)?;
        Ok(Self {
            certificate: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
            lifetime,
        })
    }

    /// Its own certificate.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its key.
    pub(super) fn key(&self) -> Vec<u8> {
        self.issuer.key().serialize_der()
    }

    /// A certificate for a name.
    pub(super) fn mint(&self, name: &str) -> Result<Minted, SecurityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(machinery)?;
        let mut params = params(name, self.lifetime);
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(name.try_into().map_err(machinery)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).map_err(machinery)?;
        Ok(Minted {
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }
}

fn params(name: &str, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let now = date_time_ymd(1970, 1, 1) + clock::today();
    params.not_before = now - SKEW;
    params.not_after = now + lifetime;
    params
}

fn machinery(error: rcgen::Error) -> SecurityError {
    SecurityError::Machinery {
        cause: error.to_string(),
    }
}
