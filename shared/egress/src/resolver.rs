//! Resolves names to vetted addresses. The connection uses these addresses, so a second lookup cannot return others.

use std::net::SocketAddr;

use crate::address::vet;
use crate::error::NameRefused;

/// The system's resolver, with [`vet`] applied to every answer.
#[derive(Debug, Clone)]
pub(crate) struct VettingResolver {
    #[cfg(feature = "local")]
    pub(crate) local: crate::local::LocalHosts,
}

impl VettingResolver {
    /// Returns the addresses of a name. Port 0 stands for the https port.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, NameRefused> {
        #[cfg(feature = "local")]
        if let Some(found) = self.local.find(name) {
            return found;
        }
        // The final dot excludes the system's search list.
        let found = tokio::net::lookup_host((format!("{name}."), 0)).await;
        vet(found.map_err(|_| NameRefused::Unknown)?.collect())
    }
}
