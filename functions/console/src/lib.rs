#![doc = include_str!("../README.md")]

mod assets;
mod config;

use std::sync::Arc;

use anzol_http::ApiError;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, InvalidHeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};

pub use config::Config;

/// Caching for a year, for files whose address changes with their content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Revalidation on every visit, for files whose address never changes.
const REVALIDATE: &str = "no-cache";

#[derive(Debug)]
struct Console {
    config: Config,
    policy: HeaderValue,
}

/// Returns the router of the console.
///
/// # Errors
/// A URL in `config` is not valid in a header.
pub fn router(config: Config) -> Result<Router, InvalidHeaderValue> {
    let console = Arc::new(Console { policy: policy(&config)?, config });
    let routes = Router::new()
        .route("/", get(|| async { Redirect::temporary("/console/") }))
        // Gateways differ in whether they keep the trailing slash.
        .route("/console", get(page))
        .route("/console/", get(page))
        .route("/console/config.json", get(config_json))
        .route("/console/{name}", get(unversioned))
        .route("/console/{version}/{name}", get(versioned))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), guard))
        .with_state(console);
    Ok(anzol_http::shell(routes))
}

async fn page(headers: HeaderMap) -> Response {
    send("index.html", REVALIDATE, &headers)
}

async fn config_json(State(console): State<Arc<Console>>) -> Response {
    ([(CACHE_CONTROL, REVALIDATE)], Json(&console.config)).into_response()
}

/// Serves a file at a fixed address, such as the icon.
async fn unversioned(Path(name): Path<String>, headers: HeaderMap) -> Response {
    send(&name, REVALIDATE, &headers)
}

/// Serves a file at an address with a version. A page from before an update requests an old version and gets the current file.
async fn versioned(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let cache_control = if version == assets::VERSION { IMMUTABLE } else { REVALIDATE };
    send(&name, cache_control, &headers)
}

fn send(name: &str, cache_control: &'static str, request: &HeaderMap) -> Response {
    let Some(asset) = assets::find(name) else {
        return ApiError::no_route(format!("/console/{name}")).into_response();
    };
    let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, cache_control), (VARY, "accept-encoding")];
    let accepts_gzip = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip")));
    if accepts_gzip {
        return (headers, [(CONTENT_ENCODING, "gzip")], asset.gzip).into_response();
    }
    (headers, asset.plain).into_response()
}

/// Returns the Content-Security-Policy: scripts and styles only as files from this origin, no framing, no HTML parsed from strings (Trusted
/// Types), and calls only to this origin and the user pool.
fn policy(config: &Config) -> Result<HeaderValue, InvalidHeaderValue> {
    let pools = [&config.sign_in_url, &config.hosted_ui_url].into_iter().flatten();
    let origins: Vec<_> = std::iter::once("'self'").chain(pools.map(|url| origin(url))).collect();
    let origins = origins.join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {origins}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::try_from(policy)
}

/// Returns scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let rest = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(rest..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| rest + at);
    url.get(..end).unwrap_or(url)
}

/// Sets the security headers on every response.
async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, console.policy.clone());
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), \
             midi=(), payment=(), publickey-credentials-get=(), usb=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    fn config() -> Config {
        Config {
            sign_in_url: Some("https://pool.example.com/".to_owned()),
            hosted_ui_url: Some("https://page.example.com".to_owned()),
            client_id: Some("client".to_owned()),
            issuer: "https://issuer.example.com".to_owned(),
            tenant_claim: "tenant".to_owned(),
            roles_claim: "roles".to_owned(),
            admin_role: "admins".to_owned(),
            webhook_cap: 7,
        }
    }

    async fn get(path: &str, encoding: &str) -> (u16, HeaderMap, Vec<u8>) {
        let request =
            Request::builder().uri(path).header(ACCEPT_ENCODING, encoding).body(Body::empty()).unwrap();
        let response = router(config()).unwrap().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status.as_u16(), parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn every_response_has_security_headers() {
        for path in ["/", "/console", "/console/", "/console/config.json", "/console/icon.svg"] {
            let (_, headers, _) = get(path, "").await;
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.contains("connect-src 'self' https://pool.example.com https://page.example.com;"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers["cross-origin-opener-policy"], "same-origin", "{path}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            assert!(headers.contains_key("strict-transport-security"), "{path}");
        }
    }

    #[tokio::test]
    async fn versioned_file_is_immutable_others_revalidate() {
        let (status, headers, page) = get("/console/", "identity").await;
        assert_eq!((status, &headers[CACHE_CONTROL]), (200, &HeaderValue::from_static(REVALIDATE)));
        let page = String::from_utf8(page).unwrap();
        let at = page.find("src=\"/console/").map(|at| at + 5).unwrap();
        let script = page[at..].split('"').next().unwrap().to_owned();
        let (status, headers, _) = get(&script, "").await;
        assert_eq!(
            (status, &headers[CACHE_CONTROL]),
            (200, &HeaderValue::from_static(IMMUTABLE)),
            "{script}"
        );
        // A page from before an update gets the current file, which is not cached under the old version.
        let (status, headers, _) = get("/console/0123456789abcdef/console.js", "").await;
        assert_eq!((status, &headers[CACHE_CONTROL]), (200, &HeaderValue::from_static(REVALIDATE)));
        assert_eq!(get("/console/nothing.js", "").await.0, 404);
    }

    #[tokio::test]
    async fn gzip_is_sent_on_request_with_same_content() {
        let (_, headers, packed) = get("/console/console.css", "br, gzip;q=0.8").await;
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        let (_, headers, plain) = get("/console/console.css", "br").await;
        assert!(!headers.contains_key(CONTENT_ENCODING));
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain);
    }

    #[tokio::test]
    async fn config_json_has_members_that_page_reads() {
        let (_, _, body) = get("/console/config.json", "").await;
        let config: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for name in [
            "signInUrl",
            "hostedUiUrl",
            "clientId",
            "issuer",
            "tenantClaim",
            "rolesClaim",
            "adminRole",
            "webhookCap",
        ] {
            assert!(config.get(name).is_some(), "{name}: {config}");
        }
    }
}
