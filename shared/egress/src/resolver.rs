//! Names to vetted addresses. The connection is made to what this returns, so no second look-up can answer differently.

use std::net::SocketAddr;

use crate::address::is_public;
use crate::error::NameRefused;

/// The system's resolver, with every address vetted: one that is not public refuses the name, whatever the others are.
#[derive(Debug, Clone)]
pub(crate) struct VettingResolver {
    #[cfg(feature = "local")]
    pub(crate) local: crate::local::LocalHosts,
}

impl VettingResolver {
    /// The addresses of a name. Port 0 stands for that of https.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, NameRefused> {
        #[cfg(feature = "local")]
        if let Some(found) = self.local.find(name) {
            return found;
        }
        // The final dot keeps the machine's own search list out of it.
        let found = tokio::net::lookup_host((format!("{name}."), 0)).await;
        vet(found.map_err(|_| NameRefused::Unknown)?.collect())
    }
}

pub(crate) fn vet(addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NameRefused> {
    if addresses.is_empty() {
        return Err(NameRefused::Unknown);
    }
    if addresses.iter().all(|address| is_public(address.ip())) {
        Ok(addresses)
    } else {
        Err(NameRefused::NotPublic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn one_private_address_among_public_ones_refuses_the_name() {
        assert!(vet(addresses(&["1.1.1.1", "2606:4700::1111"])).is_ok());
        assert_eq!(vet(addresses(&["1.1.1.1", "10.0.0.1"])), Err(NameRefused::NotPublic));
        assert_eq!(vet(addresses(&["::1"])), Err(NameRefused::NotPublic));
        assert_eq!(vet(Vec::new()), Err(NameRefused::Unknown));
    }
}
