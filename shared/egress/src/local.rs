//! Local builds only: the receiver of the local stack, and the authority its certificate comes from.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Where `receiver.test` and every name below it lead, when the local stack says where its receiver is.
pub(crate) fn receiver_for(name: &str, receiver: Option<SocketAddr>) -> Option<SocketAddr> {
    let ours = name == "receiver.test" || name.ends_with(".receiver.test");
    receiver.filter(|_| ours)
}

/// The certificates of a PEM file.
pub(crate) fn authorities(file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|error| format!("cannot read the local receiver's CA file {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_receiver_test_lead_to_the_receiver() {
        let receiver = Some(SocketAddr::from(([127, 0, 0, 1], 4443)));
        assert_eq!(receiver_for("hooks.receiver.test", receiver), receiver);
        assert_eq!(receiver_for("receiver.test", receiver), receiver);
        for name in ["evilreceiver.test", "receiver.test.example.com", "example.com"] {
            assert_eq!(receiver_for(name, receiver), None, "{name}");
        }
        assert_eq!(receiver_for("hooks.receiver.test", None), None);
    }
}
