//! How processes know each other from strangers.
//!
//! There is one mechanism, mutual TLS 1.3, and two ways to get its certificates: from files, or
//! from a secret that all processes share. Every connection of a cluster is authenticated by it
//! before anything else of it is looked at.

mod files;
mod init;
mod mint;
mod pem;
mod policy;
mod secret;
mod trust;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;

use crate::identity::ProcessIndex;

pub use init::init_tls;
pub use policy::{Exposed, check_exposure};
pub use secret::Secret;
pub use trust::{CLUSTER_NAME, process_name};

pub(crate) use trust::{Distrust, distrust, is_named, server_name};

/// How processes know each other from strangers.
#[derive(Debug, Clone, Default)]
pub enum Security {
    /// Not at all: whoever reaches the address is believed.
    #[default]
    None,
    /// By certificates, in PEM files.
    Tls {
        /// The certificate of the authority that signed those of all processes.
        ca: PathBuf,
        /// That of this process.
        certificate: PathBuf,
        /// The private key to it.
        key: PathBuf,
    },
    /// By a secret that all processes share.
    Secret(Secret),
}

/// Why there is no security to be had.
#[derive(Debug, Error)]
pub enum SecurityError {
    /// A file can't be read.
    #[error("can't read the {what} `{}`: {cause}", path.display())]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file holds something else.
    #[error(
        "the {what} `{}` can't be used: {cause}; it must be a PEM file",
        path.display()
    )]
    Unusable {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The own certificate would be refused by every other process.
    #[error(
        "the certificate `{}` can't be used: {cause}; each process needs a certificate that the \
         authority in `{}` signed, for `{}` or `{CLUSTER_NAME}`",
        path.display(),
        ca.display(),
        process_name(*process)
    )]
    NotTrusted {
        /// The certificate.
        path: PathBuf,
        /// The authority.
        ca: PathBuf,
        /// Whose it should be.
        process: ProcessIndex,
        /// What is wrong.
        cause: String,
    },
    /// The secret is easy to guess.
    #[error(
        "the cluster secret{} has {bytes} bytes, and must have at least {least}; make one with \
         `openssl rand -base64 32`",
        path.as_ref().map(|path| format!(" `{}`", path.display())).unwrap_or_default()
    )]
    ShortSecret {
        /// The file that it was read from.
        path: Option<PathBuf>,
        /// How long it is.
        bytes: usize,
        /// How long it must be.
        least: usize,
    },
    /// There is something where the certificates were to be made.
    #[error(
        "can't make certificates in `{}`: it is not empty; name a directory that is empty or not \
         there yet",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file can't be written.
    #[error("can't make `{}`: {cause}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There are no processes to make certificates for.
    #[error("can't make certificates for 0 processes; name at least one")]
    NoProcesses,
    /// The machinery fails.
    #[error("can't make certificates: {cause}")]
    Machinery {
        /// What it says.
        cause: String,
    },
}

/// What a process needs to open secure connections, and to take them.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Security {
    /// What a process needs for it; nothing if there is none.
    pub(crate) fn credentials(
        &self,
        process: ProcessIndex,
    ) -> Result<Option<Credentials>, SecurityError> {
        match self {
            Self::None => Ok(None),
            Self::Tls {
                ca,
                certificate,
                key,
            } => files::credentials(process, ca, certificate, key).map(Some),
            Self::Secret(secret) => secret.credentials(process).map(Some),
        }
    }
}
