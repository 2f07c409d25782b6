//! A small authority, and a certificate for each process of a cluster.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::identity::ProcessIndex;
use crate::security::mint::Authority;
use crate::security::{SecurityError, pem, process_name};

const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Makes an authority in a directory that is empty or not there, and a certificate for each
/// process, valid for ten years: `ca.pem`, `ca-key.pem`, `process-N.pem`, `process-N-key.pem`.
/// Only their owner may read them.
pub fn init_tls(directory: &Path, processes: u32) -> Result<(), SecurityError> {
    if processes == 0 {
        return Err(SecurityError::NoProcesses);
    }
    prepare(directory)?;
    let authority = Authority::new(LIFETIME)?;
    write(directory, "ca", authority.certificate(), &authority.key())?;
    for process in (0..processes).map(ProcessIndex) {
        let minted = authority.mint(&process_name(process))?;
        let name = format!("process-{process}");
        write(directory, &name, &minted.certificate, &minted.key)?;
    }
    Ok(())
}

fn prepare(directory: &Path) -> Result<(), SecurityError> {
    let unwritable = |cause| SecurityError::Unwritable {
        path: directory.to_owned(),
        cause,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(directory).map_err(unwritable)?;
    let mut entries = fs::read_dir(directory).map_err(unwritable)?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(SecurityError::NotEmpty {
            path: directory.to_owned(),
        }),
    }
}

fn write(
    directory: &Path,
    name: &str,
    certificate: &[u8],
    key: &[u8],
) -> Result<(), SecurityError> {
    for (file, label, bytes) in [
        (format!("{name}.pem"), "CERTIFICATE", certificate),
        (format!("{name}-key.pem"), "PRIVATE KEY", key),
    ] {
        let path = directory.join(file);
        create(&path, &pem::encode(label, bytes))
            .map_err(|cause| SecurityError::Unwritable { path, cause })?;
    }
    Ok(())
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
