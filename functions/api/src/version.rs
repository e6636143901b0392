//! The two versions of the API, each under its own base path, and the headers that mark v1 as deprecated.
//!
//! All packaged clients call `/api/v1/webhooks` today. Qlik deprecated it on 2026-11-03 in favor of `/api/core/webhooks`, which has the
//! same operations and a few stricter rules (contract sections 0 and 1.9). Handlers that differ take a [`Version`].

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HeaderMap, HeaderName, HeaderValue, LINK};

/// A version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `/api/v1/webhooks`
    V1,
    /// `/api/core/webhooks`
    Core,
}

impl Version {
    /// Returns the base path of the version.
    pub(crate) fn base(self) -> &'static str {
        match self {
            Self::V1 => "/api/v1/webhooks",
            Self::Core => "/api/core/webhooks",
        }
    }
}

/// When v1 was deprecated: 2026-11-03 (RFC 9745).
pub(crate) const DEPRECATION: &str = "@1793664000";
/// When v1 may be removed: 2027-11-01 (RFC 8594).
pub(crate) const SUNSET: &str = "Mon, 01 Nov 2027 00:00:00 GMT";

/// Adds the deprecation headers to every response of v1, including errors: the deprecation and sunset dates, and a link to the same
/// resource in core.
pub(crate) async fn deprecated(request: Request, next: Next) -> Response {
    let below = request.uri().path().strip_prefix(Version::V1.base());
    let below = below.filter(|below| below.is_empty() || below.starts_with('/'));
    let Some(successor) = below.map(|below| format!("{}{below}", Version::Core.base())) else {
        return next.run(request).await;
    };
    let mut response = next.run(request).await;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(HeaderName::from_static("deprecation"), HeaderValue::from_static(DEPRECATION));
    headers.insert(HeaderName::from_static("sunset"), HeaderValue::from_static(SUNSET));
    if let Ok(link) = HeaderValue::from_str(&format!("<{successor}>; rel=\"successor-version\"")) {
        headers.insert(LINK, link);
    }
    response
}
