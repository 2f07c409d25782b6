//! Security by a secret that all processes share.
//!
//! The secret is stretched into the private key of an authority, so that each process can sign
//! its own certificate, and know those of the others by the signature. What follows is the same
//! TLS as with files; nothing is encrypted with the secret itself.
//!
//! Whoever connects is shown a certificate, and can try secrets on it at leisure. So a secret
//! must be random, and not a password.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ring::hkdf;
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::identity::ProcessIndex;
use crate::security::mint::Authority;
use crate::security::{Credentials, SecurityError, process_name, trust};

const LEAST: usize = 16;
const SALT: &[u8] = b"millstream cluster secret";
const INFO: &[u8] = b"ed25519 authority 1";
/// Each start makes new certificates, and they are looked at in the beginning only.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A secret that all processes of a cluster share. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// What a file holds; blanks at both ends don't count.
    pub fn new(contents: &[u8]) -> Result<Self, SecurityError> {
        Self::of(contents, None)
    }

    fn of(contents: &[u8], path: Option<&Path>) -> Result<Self, SecurityError> {
        let secret = contents.trim_ascii();
        if secret.len() < LEAST {
            return Err(SecurityError::ShortSecret {
                path: path.map(Path::to_owned),
                bytes: secret.len(),
                least: LEAST,
            });
        }
        Ok(Self(secret.to_vec()))
    }

    /// Reads it from a file.
    pub fn read(path: &Path) -> Result<Self, SecurityError> {
        let contents = fs::read(path).map_err(|cause| SecurityError::Unreadable {
            what: "cluster secret",
            path: path.to_owned(),
            cause,
        })?;
        Self::of(&contents, Some(path))
    }

    pub(super) fn credentials(&self, process: ProcessIndex) -> Result<Credentials, SecurityError> {
        let authority = Authority::of_seed(&self.seed()?, LIFETIME)?;
        let minted = authority.mint(&process_name(process))?;
        trust::credentials(
            vec![authority.certificate().to_vec().into()],
            vec![minted.certificate.into()],
            PrivatePkcs8KeyDer::from(minted.key).into(),
        )
    }

    fn seed(&self) -> Result<[u8; 32], SecurityError> {
        let mut seed = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
            .extract(&self.0)
            .expand(&[INFO], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut seed))
            .map_err(|_| SecurityError::Machinery {
                cause: "the secret can't be stretched".to_owned(),
            })?;
        Ok(seed)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_what_is_between_the_blanks() {
        let bare = Secret::new(b"0123456789abcdef").unwrap();
        let dressed = Secret::new(b"\n 0123456789abcdef\r\n").unwrap();
        assert_eq!(bare.seed().unwrap(), dressed.seed().unwrap());
        let other = Secret::new(b"0123456789abcdeg").unwrap();
        assert_ne!(bare.seed().unwrap(), other.seed().unwrap());
    }

    /// Processes of two versions must agree.
    #[test]
    fn seed_stays_as_it_is() {
        let seed = Secret::new(b"0123456789abcdef").unwrap().seed().unwrap();
        assert_eq!(seed[..4], [139, 161, 206, 232]);
    }

    #[test]
    fn secret_is_never_printed() {
        let secret = Secret::new(b"hunter2-canary-canary").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(***)");
    }

    #[test]
    fn short_secret_is_refused() {
        assert_eq!(
            Secret::new(b"  0123456789abcde\n").unwrap_err().to_string(),
            "the cluster secret has 15 bytes, and must have at least 16; make one with `openssl \
             rand -base64 32`"
        );
    }
}
