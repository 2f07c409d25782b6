//! Where a process listens.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where a process listens: `host:port`, or `unix:/path` for processes of one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A port of a host.
    Tcp {
        /// A name or an IP address; one of version 6 has no brackets here.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no address: {reason}; write `host:port`, `[::1]:port` or `unix:/path`")]
pub struct NoAddress {
    text: String,
    reason: &'static str,
}

impl Address {
    /// Whether only this host can reach it.
    ///
    /// A name other than `localhost` is taken for another host, as what it stands for may change.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let no = |reason| NoAddress {
            text: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() || path.contains('\0') {
                Err(no("the path is missing"))
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| no("the port is missing"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .ok_or_else(|| no("a bracket is missing"))?,
            None if host.contains(':') => {
                return Err(no("an IP address of version 6 needs brackets"));
            }
            None => host,
        };
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace()) {
            return Err(no("the host is missing"));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self::Tcp {
                host: host.to_owned(),
                port,
            }),
            _ => Err(no("the port is not a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => {
                write!(formatter, "[{host}]:{port}")
            }
            Self::Tcp { host, port } => write!(formatter, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_as_it_is_written() {
        for text in [
            "localhost:2101",
            "10.0.0.7:80",
            "[::1]:2101",
            "unix:/run/a.sock",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn text_that_is_no_address_says_what_it_lacks() {
        for (text, reason) in [
            ("localhost", "the port is missing"),
            ("localhost:", "the port is not a number from 1 to 65535"),
            ("localhost:0", "the port is not a number from 1 to 65535"),
            (
                "localhost:65536",
                "the port is not a number from 1 to 65535",
            ),
            (":2101", "the host is missing"),
            ("::1:2101", "an IP address of version 6 needs brackets"),
            ("[::1:2101", "a bracket is missing"),
            ("unix:", "the path is missing"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{text}` is no address: {reason}; write `host:port`, `[::1]:port` or `unix:/path`"
                )
            );
        }
    }

    #[test]
    fn loopback_is_what_no_other_host_reaches() {
        let is_loopback = |text: &str| text.parse::<Address>().unwrap().is_loopback();
        for text in [
            "localhost:1",
            "LOCALHOST:1",
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "unix:/a",
        ] {
            assert!(is_loopback(text), "{text}");
        }
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "10.0.0.1:1",
            "worker-1:1",
            "128.0.0.1:1",
        ] {
            assert!(!is_loopback(text), "{text}");
        }
    }
}
