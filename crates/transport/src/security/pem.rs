//! The text form of certificates and keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes as a section of a PEM file.
pub(super) fn encode(label: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn pem_is_read_as_it_is_written() {
        for length in [1, 47, 48, 49, 500] {
            let bytes = vec![7; length];
            let pem = encode("CERTIFICATE", &bytes);
            assert!(pem.lines().all(|line| line.len() <= 64));
            let read = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(read.as_ref(), bytes);
        }
    }
}
