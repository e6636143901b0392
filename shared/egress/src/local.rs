//! Local builds only: the names of the local stack, and the authority its receiver's certificate comes from.
//!
//! `receiver.test` and every name below it lead to the receiver. A name below `address.test` leads to the addresses that are written in
//! it, one a label: `10-0-0-1.address.test`, `1-1-1-1.fd00-0-0-0-0-0-0-1.address.test`. They are vetted as any answer is, so the guard
//! can be tried where there is no DNS; and as there is no internet either, the receiver stands in for those that pass.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::NameRefused;
use crate::resolver::vet;

type Answer = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// What a name below `address.test` leads to.
#[derive(Clone)]
pub struct Answers(Arc<Answer>);

impl Answers {
    /// Asks `answer`, which is called for each look-up.
    pub fn new(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers(…)")
    }
}

/// The names of the local stack.
#[derive(Debug, Clone)]
pub(crate) struct LocalHosts {
    pub(crate) receiver: Option<SocketAddr>,
    pub(crate) answers: Option<Answers>,
}

impl LocalHosts {
    /// Where to connect for a name of the local stack; `None` for any other name, and for all of them where there is no receiver.
    pub(crate) fn find(&self, name: &str) -> Option<Result<Vec<SocketAddr>, NameRefused>> {
        let receiver = self.receiver?;
        if name == "receiver.test" || name.ends_with(".receiver.test") {
            return Some(Ok(vec![receiver]));
        }
        let labels = name.strip_suffix(".address.test")?;
        let found = match &self.answers {
            Some(Answers(answer)) => answer(name),
            None => labels.split('.').map(written_in).collect::<Option<_>>().unwrap_or_default(),
        };
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
        Some(vet(addresses).map(|_| vec![receiver]))
    }
}

/// The address that a label spells: four decimal bytes, or eight hexadecimal groups, with hyphens between them.
fn written_in(label: &str) -> Option<IpAddr> {
    let parts: Vec<&str> = label.split('-').collect();
    if let Ok(parts) = <[&str; 4]>::try_from(parts.as_slice()) {
        return parts.join(".").parse::<Ipv4Addr>().ok().map(Into::into);
    }
    <[&str; 8]>::try_from(parts).ok()?.join(":").parse::<Ipv6Addr>().ok().map(Into::into)
}

/// The certificates of a PEM file.
pub(crate) fn authorities(file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|error| format!("cannot read the local receiver's CA file {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Option<Result<Vec<SocketAddr>, NameRefused>> {
        let receiver = Some(SocketAddr::from(([127, 0, 0, 1], 4443)));
        LocalHosts { receiver, answers: None }.find(name)
    }

    #[test]
    fn only_names_of_the_local_stack_lead_to_the_receiver() {
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
    fn an_address_in_a_name_is_vetted_as_an_answer_is() {
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
