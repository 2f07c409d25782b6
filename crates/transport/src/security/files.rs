//! Security by certificates in files.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::ProcessIndex;
use crate::security::{Credentials, SecurityError, trust};

/// Reads them, and makes sure that others will take them: a certificate that is refused is best
/// found out by its owner.
pub(super) fn credentials(
    process: ProcessIndex,
    ca: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<Credentials, SecurityError> {
    let authority = certificates("authority's certificate", ca)?;
    let chain = certificates("certificate", certificate)?;
    let contents = read("private key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&contents)
        .map_err(|error| unusable("private key", key, error.to_string()))?;
    trust::check(authority.clone(), &chain, process).map_err(|distrust| {
        SecurityError::NotTrusted {
            path: certificate.to_owned(),
            ca: ca.to_owned(),
            process,
            cause: own(&distrust),
        }
    })?;
    trust::credentials(authority, chain, private)
        .map_err(|error| unusable("private key", key, error.to_string()))
}

fn own(distrust: &trust::Distrust) -> String {
    match distrust {
        trust::Distrust::Foreign => "another authority signed it".to_owned(),
        trust::Distrust::Expired => "it has expired".to_owned(),
        trust::Distrust::NotYet => "it is not valid yet".to_owned(),
        trust::Distrust::OtherName => "it is for something else".to_owned(),
        other => other.to_string(),
    }
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let contents = read(what, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&contents)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, path, error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable(what, path, "it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    fs::read(path).map_err(|cause| SecurityError::Unreadable {
        what,
        path: path.to_owned(),
        cause,
    })
}

fn unusable(what: &'static str, path: &Path, cause: String) -> SecurityError {
    SecurityError::Unusable {
        what,
        path: path.to_owned(),
        cause,
    }
}
