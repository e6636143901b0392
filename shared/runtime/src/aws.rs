//! One configuration for all AWS clients: region and credentials from the environment, one HTTP client, timeouts that fit.

use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{self, TrustStore, rustls_provider::CryptoMode};

use crate::config::optional;

/// The roots of AWS's own endpoints. To read a system's, a hundred or more in as many files, takes longer than all else of a cold start.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// Amazon's roots; or the system's, where `SSL_CERT_FILE` names some, or in China, where AWS has others.
fn trust_store() -> TrustStore {
    let other_roots = optional("SSL_CERT_FILE").is_some()
        || optional("AWS_REGION").is_some_and(|region| region.starts_with("cn-"));
    let none = TrustStore::empty();
    if other_roots { none.with_native_roots(true) } else { none.with_pem_certificate(AMAZON_ROOTS) }
}

/// Loads the configuration; makes no network call.
///
/// The default provider chain is not used: on Lambda everything it would find is in the environment, and looking elsewhere
/// costs milliseconds at each cold start. `AWS_ENDPOINT_URL` is honoured, which local stacks and tests rely on.
pub async fn config() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring));
    let http = match tls::TlsContext::builder().with_trust_store(trust_store()).build() {
        Ok(context) => http.tls_context(context).build_https(),
        Err(error) => {
            tracing::warn!(%error, "AWS is trusted by the system's roots");
            http.build_https()
        }
    };
    // Three calls of at most 9 s, or two and a POST of 10 s, fit in a function's 30 s.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(9))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .load()
        .await
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// The client takes them for granted, and panics when one of them is none.
    #[test]
    fn amazons_five_roots_are_there_and_can_be_read() {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(AMAZON_ROOTS) {
            store.add(root.unwrap()).unwrap();
        }
        assert_eq!(store.len(), 5);
        let names = store.roots.iter().map(|root| String::from_utf8_lossy(&root.subject).into_owned());
        let amazon =
            names.filter(|name| name.contains("Amazon Root CA") || name.contains("Starfield Services"));
        assert_eq!(amazon.count(), 5);
    }
}
