//! Local builds only: the host names of the local stack, and the CA of its receiver.
//!
//! `receiver.test` and every name below it resolve to the receiver. A name below `address.test` resolves to the addresses in its labels:
//! `10-0-0-1.address.test`, `1-1-1-1.fd00-0-0-0-0-0-0-1.address.test`. These addresses are vetted like a DNS answer, so the SSRF protection can be
//! tested without DNS. If they are public, the connection goes to the receiver, so no internet is needed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::address::vet;
use crate::error::{NameRefused, SetupError};

type Answer = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// A resolver for names below `address.test`.
#[derive(Clone)]
pub struct Answers(Arc<Answer>);

impl Answers {
    /// Returns a resolver that calls `answer` for each lookup.
    pub fn new(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers(…)")
    }
}

/// The host names of the local stack.
#[derive(Debug, Clone)]
pub(crate) struct LocalHosts {
    pub(crate) receiver: Option<SocketAddr>,
    pub(crate) answers: Option<Answers>,
}

impl LocalHosts {
    /// Returns where to connect for a name of the local stack. Returns `None` for any other name, and if there is no receiver.
    pub(crate) fn find(&self, name: &str) -> Option<Result<Vec<SocketAddr>, NameRefused>> {
        let receiver = self.receiver?;
        if name == "receiver.test" || name.ends_with(".receiver.test") {
            return Some(Ok(vec![receiver]));
        }
        let labels = name.strip_suffix(".address.test")?;
        let found = match &self.answers {
            Some(Answers(answer)) => answer(name),
            None => labels.split('.').map(address_in).collect::<Option<_>>().unwrap_or_default(),
        };
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
        Some(vet(addresses).map(|_| vec![receiver]))
    }
}

/// Returns the address in a label: four decimal bytes or eight hexadecimal groups, separated by hyphens.
fn address_in(label: &str) -> Option<IpAddr> {
    let parts: Vec<&str> = label.split('-').collect();
    if let Ok(parts) = <[&str; 4]>::try_from(parts.as_slice()) {
        return parts.join(".").parse::<Ipv4Addr>().ok().map(Into::into);
    }
    <[&str; 8]>::try_from(parts).ok()?.join(":").parse::<Ipv6Addr>().ok().map(Into::into)
}

/// Reads the certificates of a PEM file.
pub(crate) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|error| SetupError::AuthorityFile { file: file.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Option<Result<Vec<SocketAddr>, NameRefused>> {
        let receiver = Some(SocketAddr::from(([127, 0, 0, 1], 4443)));
        LocalHosts { receiver, answers: None }.find(name)
    }

    #[test]
    fn only_names_of_the_local_stack_resolve_to_the_receiver() {
        let receiver = vec![SocketAddr::from(([127, 0, 0, 1], 4443))];
        for name in [
            "hooks.receiver.test",
            "receiver.test",
            "1-1-1-1.address.test",
            "2606-4700-0-0-0-0-0-1111.address.test",
        ] {
            assert_eq!(find(name), Some(Ok(receiver.clone())), "{name}");
            assert_eq!(LocalHosts { receiver: None, answers: None }.find(name), None, "{name}");
        }
        for name in ["evilreceiver.test", "receiver.test.example.com", "address.test", "example.com"] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn address_in_a_name_is_vetted() {
        for name in
            ["10-0-0-1", "fd00-0-0-0-0-0-0-1", "0-0-0-0-0-ffff-a00-1", "1-1-1-1.10-0-0-1", "10-0-0-1.1-1-1-1"]
        {
            assert_eq!(find(&format!("{name}.address.test")), Some(Err(NameRefused::NotPublic)), "{name}");
        }
        for name in ["hooks", "1-1-1", "1-1-1-256", "g-0-0-0-0-0-0-1", "1-1-1-1.hooks"] {
            assert_eq!(find(&format!("{name}.address.test")), Some(Err(NameRefused::Unknown)), "{name}");
        }
    }
}
