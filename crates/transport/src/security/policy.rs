//! Where a cluster may go without security.

use thiserror::Error;

use crate::address::Address;
use crate::security::Security;

/// A cluster without security on a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the address `{address}` can be reached from other hosts, and the cluster has no security: \
     whoever connects there could run code here; give each process certificates or a secret, use \
     addresses of this host alone, or say that the network is trusted"
)]
pub struct Exposed {
    address: Address,
}

/// Whether a cluster may use these addresses.
pub fn check_exposure(
    addresses: &[Address],
    security: &Security,
    is_insecure_accepted: bool,
) -> Result<(), Exposed> {
    if is_insecure_accepted || !matches!(security, Security::None) {
        return Ok(());
    }
    match addresses.iter().find(|address| !address.is_loopback()) {
        Some(address) => Err(Exposed {
            address: address.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Secret;

    #[test]
    fn only_this_host_goes_without_security() {
        let addresses = |texts: &[&str]| {
            let parse = |text: &&str| text.parse::<Address>().unwrap();
            texts.iter().map(parse).collect::<Vec<_>>()
        };
        let here = addresses(&["localhost:1", "unix:/a"]);
        let there = addresses(&["localhost:1", "worker-1:2"]);
        let secret = Security::Secret(Secret::new(b"0123456789abcdef").unwrap());
        assert_eq!(check_exposure(&here, &Security::None, false), Ok(()));
        assert_eq!(check_exposure(&there, &Security::None, true), Ok(()));
        assert_eq!(check_exposure(&there, &secret, false), Ok(()));
        assert_eq!(
            check_exposure(&there, &Security::None, false)
                .unwrap_err()
                .to_string(),
            "the address `worker-1:2` can be reached from other hosts, and the cluster has no \
             security: whoever connects there could run code here; give each process \
             certificates or a secret, use addresses of this host alone, or say that the network \
             is trusted"
        );
    }
}
