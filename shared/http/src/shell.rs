//! What every router is wrapped in: errors in one shape, whoever made them, with the trace id of the invocation.

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

/// What is wrong with a request, everything at once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Errors")]
pub struct ErrorBody {
    /// At least one.
    #[schemars(length(min = 1))]
    errors: Vec<ErrorItem>,
    /// Finds the request in our logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// Longest path and query together, in bytes: as much as API Gateway lets through of request line and headers.
pub const MAX_TARGET: usize = 10 * 1024;

/// Wraps a router: unknown paths are 404, known ones with another method 405, too long ones 414, and every error has the contract's
/// shape.
pub fn shell(router: Router) -> Router {
    router
        .fallback(|request: Request| async move {
            ApiError::NotFound(format!("there is no {}", request.uri().path()))
        })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(middleware::from_fn(bound_target))
        .layer(middleware::from_fn(write_errors))
        .layer(middleware::from_fn(protect))
}

/// A year, in which a browser that was here once comes by https only.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Puts on every answer what keeps others from keeping it, or from taking it for something else. What says itself how long it may be kept is
/// left alone.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    response
}

/// Before anything reads a path, a query or a cursor in it.
async fn bound_target(request: Request, next: Next) -> Result<Response, ApiError> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > MAX_TARGET {
        return Err(ApiError::UriTooLong);
    }
    Ok(next.run(request).await)
}

async fn write_errors(request: Request, next: Next) -> Response {
    // The route, not the path and query: what a caller writes there is not for our logs.
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let trace_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let mut response = next.run(request).await;
    let status = response.status();
    tracing::debug!(%method, route = route.as_ref().map(MatchedPath::as_str), status = status.as_u16(), "answered");
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    // An error without our items was made by the framework: a bad path parameter, say. Its text may be anything; its status tells enough.
    let Errors(errors) = response.extensions_mut().remove().unwrap_or_else(|| Errors::of(status, Vec::new()));
    let body = serde_json::to_vec(&ErrorBody { errors, trace_id }).unwrap_or_default();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::from(body);
    response
}

#[cfg(test)]
mod tests {
    use anzol_store::StoreError;
    use axum::body::to_bytes;
    use axum::routing::get;
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(error: fn() -> ApiError) -> (u16, String, serde_json::Value) {
        let router = shell(Router::new().route("/", get(move || async move { error() })));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let wait =
            response.headers().get("retry-after").map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, wait, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn info_every_answer_says_that_it_is_not_to_be_kept() {
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
    async fn h3_who_has_too_many_under_way_is_told_the_rule() {
        let (status, wait, body) = answer(|| ApiError::TooMany("at most 5 of them".to_owned(), 5)).await;
        assert_eq!((status, wait.as_str()), (429, "5"));
        assert_eq!(body["errors"][0]["detail"], "at most 5 of them; try again in 5 seconds");
    }

    #[tokio::test]
    async fn who_is_throttled_is_told_for_how_long_in_qliks_words() {
        let error = || StoreError::Throttled("a hot partition".to_owned()).into();
        let body = json!({ "errors": [{
            "code": "HTTP-429",
            "title": "API rate limit reached.",
            "detail": "You need to wait 1 second until limit is lifted.",
        }] });
        assert_eq!(answer(error).await, (429, "1".to_owned(), body));
    }

    #[tokio::test]
    async fn what_went_wrong_inside_stays_inside() {
        let (status, wait, body) = answer(|| StoreError::Unavailable("table x of y".to_owned()).into()).await;
        assert_eq!((status, wait.as_str()), (500, ""));
        assert!(!body.to_string().contains("table"), "{body}");
        let (status, wait, body) =
            answer(|| StoreError::Busy("10.0.0.1 does not answer".to_owned()).into()).await;
        assert_eq!((status, wait.as_str()), (503, "1"));
        assert!(!body.to_string().contains("10.0"), "{body}");
    }
}
