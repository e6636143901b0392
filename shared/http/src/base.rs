//! The public address of the API, for the links in responses.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header::HOST;
use http::request::Parts;

/// The scheme and host that the client used, e.g. `https://hooks.example.com`.
///
/// Read from the `Host` header, which is trusted because the gateway forwards only requests for its own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicBase(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PublicBase {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = header(HOST.as_str()).or(parts.uri.host()).unwrap_or("localhost");
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        // Names below `localhost` are this machine (RFC 6761): a local stack, which uses plain HTTP.
        let local = name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1";
        let scheme = match header("x-forwarded-proto") {
            Some(scheme @ ("http" | "https")) => scheme,
            _ if local => "http",
            _ => "https",
        };
        Ok(Self(format!("{scheme}://{host}")))
    }
}
