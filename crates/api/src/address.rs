//! Where to serve: `port`, or `host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A host and a port. Without a host, only programs of the same machine reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why something is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is of no form that there is.
    #[error("an address of the HTTP API must be `port` or `host:port`; got `{0}`")]
    Malformed(String),
    /// There is no port with such a number.
    #[error(
        "process {process} can't serve the HTTP API on port {port} + {process}: there is no such port"
    )]
    NoPort {
        /// The port of the first process.
        port: u16,
        /// The process, from 0.
        process: u16,
    },
}

impl Address {
    /// The host's name, or its number.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; zero for any that is free.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of one of several processes of a host: each has the port after the one
    /// before.
    pub fn of_process(self, process: u16) -> Result<Self, AddressError> {
        if self.port == 0 {
            return Ok(self);
        }
        let port = self.port.checked_add(process).ok_or(AddressError::NoPort {
            port: self.port,
            process,
        })?;
        Ok(Self { port, ..self })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            None => (Ipv4Addr::LOCALHOST.to_string(), text),
            Some((host, port)) => (unbracketed(host).ok_or_else(malformed)?, port),
        };
        // The parser of numbers would take a sign.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let port = port.parse().map_err(|_| malformed())?;
        Ok(Self { host, port })
    }
}

/// A host without the brackets that an IPv6 address must have.
fn unbracketed(host: &str) -> Option<String> {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_host = !bare.is_empty() && !bare.contains(char::is_whitespace);
    is_host.then(|| bare.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(host)) => write!(f, "[{host}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<Address>().map_or_else(
            |error| error.to_string(),
            |address| format!("{} {}", address.host(), address.port()),
        )
    }

    #[test]
    fn without_host_it_is_loopback() {
        assert_eq!(read("3030"), "127.0.0.1 3030");
        assert_eq!(read("0"), "127.0.0.1 0");
    }

    #[test]
    fn hosts_are_names_and_numbers() {
        assert_eq!(read("0.0.0.0:80"), "0.0.0.0 80");
        assert_eq!(read("example.org:80"), "example.org 80");
        assert_eq!(read("[::1]:80"), "::1 80");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "a",
            ":80",
            "::1:80",
            "[::1:80",
            "host:",
            "host:65536",
            "-1",
            "+1",
            "a b:1",
            "1 ",
        ] {
            let error =
                format!("an address of the HTTP API must be `port` or `host:port`; got `{text}`");
            assert_eq!(read(text), error);
        }
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        for text in ["127.0.0.1:80", "[::1]:80", "example.org:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_process_has_a_port_of_its_own() {
        let of = |text: &str, process| text.parse::<Address>().unwrap().of_process(process);
        assert_eq!(of("3030", 2).unwrap().port(), 3032);
        assert_eq!(of("0", 2).unwrap().port(), 0);
        let error = of("65535", 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "process 1 can't serve the HTTP API on port 65535 + 1: there is no such port"
        );
    }
}
