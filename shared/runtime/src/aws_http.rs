//! The HTTP client of the AWS SDK: HTTP/1.1 with hyper, TLS with rustls. The SDK adds retries, timeouts and signatures.
//!
//! The SDK's own HTTP client also supports HTTP/2, which none of these services uses, and would be compiled once for each SDK in a package.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::config::optional;

/// The root certificates of all AWS endpoints outside China (<https://www.amazontrust.com/repository>), as DER. Reading the system's roots,
/// a hundred or more files, would take longer than the rest of a cold start; parsing these five from PEM would take a tenth of a cold
/// start. `openssl x509 -inform der -text -noout -in FILE` shows a certificate.
const AMAZON_ROOTS: [&[u8]; 5] = [
    include_bytes!("amazon-roots/amazon-root-ca-1.der"),
    include_bytes!("amazon-roots/amazon-root-ca-2.der"),
    include_bytes!("amazon-roots/amazon-root-ca-3.der"),
    include_bytes!("amazon-roots/amazon-root-ca-4.der"),
    include_bytes!("amazon-roots/starfield-g2.der"),
];

/// Returns a client with one connection pool for all services.
pub(crate) fn client() -> Result<SharedHttpClient, rustls::Error> {
    let mut tcp = connect::HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(3)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls()?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let client = legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

#[derive(Debug)]
struct Connector(legacy::Client<HttpsConnector<connect::HttpConnector>, SdkBody>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (head, body) = client.request(request).await.map_err(failure)?.into_parts();
            // Reads the whole body here, so that the SDK retries an interrupted response.
            let body = body.collect().await.map_err(failure)?.to_bytes();
            let response = http::Response::from_parts(head, SdkBody::from(body));
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Converts an error. The SDK retries I/O errors, but not requests that cannot be sent.
fn failure(error: impl Error + Send + Sync + 'static) -> ConnectorError {
    let mut source: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return ConnectorError::user(Box::new(error));
        }
        source = cause.source();
    }
    ConnectorError::io(Box::new(error))
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots()).with_no_client_auth())
}

/// Returns Amazon's roots, or the system's if `SSL_CERT_FILE` is set or the region is in China, where AWS has other roots.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let other_roots = optional("SSL_CERT_FILE").is_some()
        || optional("AWS_REGION").is_some_and(|region| region.starts_with("cn-"));
    if other_roots {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "failed to read a root certificate of the system");
        }
        roots.add_parsable_certificates(found.certs);
    } else {
        roots.add_parsable_certificates(AMAZON_ROOTS.map(CertificateDer::from));
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_five_roots_can_be_parsed() {
        let mut store = RootCertStore::empty();
        for root in AMAZON_ROOTS {
            store.add(CertificateDer::from(root)).unwrap();
        }
        assert_eq!(store.len(), 5);
        let names = store.roots.iter().map(|root| String::from_utf8_lossy(&root.subject).into_owned());
        let amazon =
            names.filter(|name| name.contains("Amazon Root CA") || name.contains("Starfield Services"));
        assert_eq!(amazon.count(), 5);
    }
}
