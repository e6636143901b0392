//! The layers around every router: security headers, the maximum length of the URI, and one format for all errors, with the trace id.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::RequestExt as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{ApiError, ErrorItem, Errors};

/// The body of an error response.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Errors")]
pub struct ErrorBody {
    /// The errors of the request.
    #[schemars(length(min = 1))]
    errors: Vec<ErrorItem>,
    /// The ID of the request in the operator's logs. Include it when you report a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// Maximum length of path and query together, in bytes: API Gateway's limit for the request line and headers.
pub const MAX_TARGET: usize = 10 * 1024;

/// Wraps a router: unknown paths get 404, unknown methods 405, long URIs 414, and every error has the contract's format.
pub fn shell(router: Router) -> Router {
    router
        .fallback(|request: Request| async move { ApiError::no_route(request.uri().path()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(middleware::from_fn(bound_target))
        .layer(middleware::from_fn(write_errors))
        .layer(middleware::from_fn(protect))
}

/// Browsers that received this header use only HTTPS for a year.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Adds headers against caching, content sniffing and plain HTTP. A response that sets `Cache-Control` keeps its value.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    response
}

/// Rejects long URIs before anything reads a path, a query or a cursor.
async fn bound_target(request: Request, next: Next) -> Result<Response, ApiError> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > MAX_TARGET {
        return Err(ApiError::UriTooLong(MAX_TARGET));
    }
    Ok(next.run(request).await)
}

/// Writes the errors of a response to its body.
#[expect(clippy::expect_used, reason = "texts and numbers always have a JSON form")]
async fn write_errors(request: Request, next: Next) -> Response {
    // The route, not the path and query, because the log must not repeat what callers write.
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let trace_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let mut response = next.run(request).await;
    let status = response.status();
    tracing::debug!(%method, route = route.as_ref().map(MatchedPath::as_str), status = status.as_u16(), "answered");
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let Errors(errors) = response.extensions_mut().remove().unwrap_or_else(|| Errors::of(status));
    let body = serde_json::to_vec(&ErrorBody { errors, trace_id }).expect("errors are JSON");
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::from(body);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use anzol_domain::{Invalid, Rule};
    use axum::body::to_bytes;
    use axum::routing::get;
    use http::StatusCode;
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(error: impl FnOnce() -> ApiError) -> (u16, String, serde_json::Value) {
        let error = Arc::new(Mutex::new(Some(error())));
        let router = shell(
            Router::new().route("/", get(move || async move { error.lock().unwrap().take().unwrap() })),
        );
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let wait =
            response.headers().get("retry-after").map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, wait, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn info_every_answer_has_security_headers() {
        let router = || {
            Router::new()
                .route("/", get(|| async { "fine" }))
                .route("/kept", get(|| async { ([(CACHE_CONTROL, "public, max-age=300")], "kept") }))
        };
        for (path, kept) in [("/", "no-store"), ("/nothing", "no-store"), ("/kept", "public, max-age=300")] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = shell(router()).oneshot(request).await.unwrap();
            let headers = response.headers();
            assert_eq!(headers[CACHE_CONTROL], kept, "{path}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            assert_eq!(headers[STRICT_TRANSPORT_SECURITY], "max-age=31536000", "{path}");
        }
    }

    #[tokio::test]
    async fn h3_too_many_under_way_has_rule_and_retry_after() {
        let (status, wait, body) =
            answer(|| ApiError::TooMany(Rule::TooManyOfUser { max: 5, seconds: 7 }, 7)).await;
        assert_eq!((status, wait.as_str()), (429, "7"));
        assert_eq!(body["errors"][0]["rule"], "too_many_under_way_of_user");
        assert_eq!(body["errors"][0]["params"], json!({ "max": 5, "seconds": 7 }));
    }

    #[tokio::test]
    async fn throttled_error_has_qliks_text() {
        let body = json!({ "errors": [{
            "code": "HTTP-429",
            "title": "API rate limit reached.",
            "detail": "You need to wait 1 second until limit is lifted.",
            "rule": "rate_limit",
            "params": { "seconds": 1 },
        }] });
        assert_eq!(answer(|| ApiError::Throttled).await, (429, "1".to_owned(), body));
    }

    #[tokio::test]
    async fn field_error_names_field_rule_and_params() {
        let rule = Rule::MaxLength { max: 512 };
        let (status, _, body) = answer(|| Invalid::one("name", rule.clone()).into()).await;
        let detail = "`name` must have at most 512 characters";
        let item = json!({
            "code": "HTTP-400", "title": "The request is not valid", "detail": detail, "field": "name", "rule": "max_length",
            "params": { "max": 512 },
        });
        assert_eq!((status, &body["errors"]), (400, &json!([item])));
        let (_, _, body) = answer(|| Invalid::one("url", Rule::NotHttps).into()).await;
        assert_eq!(body["errors"][0].get("params"), None);
    }

    #[tokio::test]
    async fn error_without_detail_has_rule() {
        for (error, status, rule) in [
            (ApiError::MethodNotAllowed, 405, "method_not_allowed"),
            (ApiError::Busy, 503, "unavailable"),
            (ApiError::Internal, 500, "internal"),
        ] {
            let (answered, _, body) = answer(|| error).await;
            let item = &body["errors"][0];
            assert_eq!((answered, item["rule"].as_str(), item.get("detail")), (status, Some(rule), None));
        }
        let router = shell(Router::new().route("/", get(|| async { StatusCode::BAD_REQUEST })));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errors"][0]["rule"], "bad_request");
    }
}
