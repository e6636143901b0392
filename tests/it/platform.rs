//! The platform requests that Qlik's clients make without a caller: product info, CSRF tokens, and tokens from a stub of the user pool.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anzol_api::AppState;
use anzol_egress::{MAX_TOKEN_ANSWER, TokenEndpoint};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::form_urlencoded;

use crate::kit::{Api, As, EgressHarness, TestContext};

const ID: &str = "client-1";
/// Contains the characters that form encoding and HTTP Basic escape.
const SECRET: &str = "s3cr+t:of %40 & =client";
const TOKEN_TIMEOUT: Duration = Duration::from_millis(400);

/// The forms that the stub received, oldest first.
type Seen = Arc<Mutex<Vec<Vec<(String, String)>>>>;

/// Starts a stub of the user pool. `/ok` responds as Cognito does; each other path has a different fault.
async fn stub() -> (String, Seen) {
    let seen = Seen::default();
    let token =
        |text: String| Json(json!({ "access_token": text, "token_type": "Bearer", "expires_in": 3600 }));
    let router = Router::new()
        .route("/ok", post(cognito))
        .route("/broken", post(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/busy", post(|| async { StatusCode::TOO_MANY_REQUESTS }))
        .route("/page", post(|| async { "<html>" }))
        .route("/refusing-page", post(|| async { (StatusCode::BAD_REQUEST, "<html>") }))
        .route("/elsewhere", post(|| async { Redirect::temporary("/ok") }))
        .route("/slow", post(|| async { tokio::time::sleep(TOKEN_TIMEOUT * 10).await }))
        .route("/oversized", post(move || async move { token("t".repeat(MAX_TOKEN_ANSWER)) }))
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, seen)
}

async fn cognito(State(seen): State<Seen>, headers: HeaderMap, body: String) -> Response {
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let scope = form.iter().find(|(name, _)| name == "scope").map(|(_, scope)| scope.clone());
    seen.lock().unwrap().push(form);
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let expected = format!("Basic {}", STANDARD.encode(format!("{ID}:{encoded}")));
    let refuse = |error: &str| {
        // An endpoint may repeat the request in its error. The API must not return that to its caller.
        let body = json!({ "error": error, "error_description": format!("not with {SECRET}") });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    if headers.get("authorization").is_none_or(|given| given.to_str().unwrap() != expected) {
        return refuse("invalid_client");
    }
    match scope.as_deref() {
        Some("anzol/none") => refuse("invalid_scope"),
        Some("anzol/not-yours") => refuse("invalid_grant"),
        _ => Json(
            json!({ "access_token": "the-token", "token_type": "Bearer", "expires_in": 3600, "more": 1 }),
        )
        .into_response(),
    }
}

struct Platform {
    state: AppState,
    base: String,
    seen: Seen,
    // Keeps the receiver's CA file.
    _egress: EgressHarness,
}

impl Platform {
    async fn start() -> Self {
        let (context, egress) = TestContext::with_egress().await;
        let (base, seen) = stub().await;
        Self { state: context.state(&egress), base, seen, _egress: egress }
    }

    /// Returns the router of a deployment whose user pool is `path` of the stub.
    fn at(&self, path: &str) -> Router {
        let endpoint =
            TokenEndpoint::new(&format!("{}{path}", self.base)).unwrap().with_timeout(TOKEN_TIMEOUT);
        anzol_api::router(AppState { tokens: Some(endpoint), ..self.state.clone() })
    }

    fn last_seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the field and rule of each error; the field is empty when an error is not about one.
    fn rules(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (text(&error["field"]), text(&error["rule"]))).collect()
    }
}

async fn call(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().into()).unwrap();
    assert!(!text.contains(SECRET), "the response contains the secret: {text}");
    Answer { status, headers, text }
}

/// Requests a token with JSON, as `@qlik/api` does.
async fn ask(router: &Router, more: &Value) -> Answer {
    let mut body = json!({ "client_id": ID, "client_secret": SECRET, "scope": "user_default", "grant_type": "client_credentials" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    call(router, "POST", "/oauth/token", &[("content-type", "application/json")], &body.to_string()).await
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn token_request_as_json_form_or_basic_returns_a_token() {
    let platform = Platform::start().await;
    let router = platform.at("/ok");
    let form =
        |pairs: &[(&str, &str)]| form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let form_type = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = format!("Basic {}", STANDARD.encode(format!("{ID}:{encoded}")));
    let grant = ("grant_type", "client_credentials");
    for answer in [
        ask(&router, &json!({})).await,
        call(
            &router,
            "POST",
            "/oauth/token",
            &[form_type],
            &form(&[grant, ("client_id", ID), ("client_secret", SECRET)]),
        )
        .await,
        call(&router, "POST", "/oauth/token", &[form_type, ("authorization", &basic)], &form(&[grant])).await,
        call(
            &router,
            "POST",
            "/oauth/token",
            &[("authorization", &basic)],
            &json!({ "grant_type": "client_credentials", "client_id": ID }).to_string(),
        )
        .await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            answer.json(),
            json!({ "access_token": "the-token", "token_type": "Bearer", "expires_in": 3600 })
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(platform.last_seen(), [pair("grant_type", "client_credentials")], "no scope is passed on");
    }
    for scope in ["anzol/publish.any", "user_default anzol/publish.any"] {
        assert_eq!(ask(&router, &json!({ "scope": scope })).await.status, 200);
        assert_eq!(
            platform.last_seen(),
            [pair("grant_type", "client_credentials"), pair("scope", "anzol/publish.any")]
        );
    }
}

#[tokio::test]
async fn rejected_token_request_names_field_and_hides_secret() {
    let platform = Platform::start().await;
    let router = platform.at("/ok");
    for (more, status, rules) in [
        (json!({ "client_secret": "another" }), 401, vec![("", "unknown_client")]),
        (json!({ "client_id": "another" }), 401, vec![("", "unknown_client")]),
        (json!({ "scope": "anzol/none" }), 400, vec![("scope", "scope_unknown")]),
        (json!({ "scope": "anzol/not-yours" }), 400, vec![("client_id", "client_not_allowed")]),
        (json!({ "grant_type": "password" }), 400, vec![("grant_type", "must_be")]),
        (
            json!({ "grant_type": null, "client_id": "", "client_secret": 7 }),
            400,
            vec![
                ("client_secret", "string"),
                ("grant_type", "must_be"),
                ("client_id", "required"),
                ("client_secret", "required"),
            ],
        ),
    ] {
        let answer = ask(&router, &more).await;
        assert_eq!(answer.status, status, "{more}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["code"], format!("HTTP-{status}"));
        let found = answer.rules();
        let found: Vec<_> = found.iter().map(|(field, rule)| (field.as_str(), rule.as_str())).collect();
        assert_eq!(found, rules);
    }
    let kind = ("content-type", "application/json");
    for (headers, body, status) in [
        (&[kind][..], "{", 400),
        (&[kind], "[]", 400),
        (&[("content-type", "text/plain")], "{}", 415),
        (&[kind, ("authorization", "Bearer abc")], "{}", 400),
        (&[kind, ("authorization", "Basic ???")], "{}", 400),
        (&[kind], &" ".repeat(70_000), 413),
    ] {
        let answer = call(&router, "POST", "/oauth/token", headers, body).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
    }
    let wrong_method = call(&router, "GET", "/oauth/token", &[], "").await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn unusable_user_pool_response_is_503_without_redirect() {
    let platform = Platform::start().await;
    for path in
        ["/broken", "/busy", "/page", "/refusing-page", "/elsewhere", "/slow", "/oversized", "/nowhere"]
    {
        let started = Instant::now();
        let answer = ask(&platform.at(path), &json!({})).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{path}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["code"], "HTTP-503", "{path}");
        assert!(started.elapsed() < TOKEN_TIMEOUT * 5, "{path} took {:?}", started.elapsed());
    }
    assert!(platform.seen.lock().unwrap().is_empty(), "the redirect was followed");
    let endpoint = TokenEndpoint::new("http://127.0.0.1:1/").unwrap();
    let unreachable = anzol_api::router(AppState { tokens: Some(endpoint), ..platform.state.clone() });
    assert_eq!(ask(&unreachable, &json!({})).await.status, 503);
}

#[tokio::test]
async fn token_request_with_external_issuer_is_501() {
    let platform = Platform::start().await;
    let answer = ask(&anzol_api::router(platform.state.clone()), &json!({})).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (501, &json!("HTTP-501")));
    assert_eq!(answer.json()["errors"][0]["rule"], "outside_issuer", "{}", answer.text);
}

#[tokio::test]
async fn product_info_is_cloud_and_csrf_tokens_are_unique() {
    let platform = Platform::start().await;
    let router = anzol_api::router(platform.state.clone());
    let info = call(&router, "GET", "/resources/autogenerated/product-info.json", &[], "").await;
    assert_eq!(
        (info.status, info.json()),
        (200, json!({ "composition": { "deploymentType": "qlikcloudservices" } }))
    );
    assert!(info.header("cache-control").contains("max-age="), "{:?}", info.headers);

    let mut tokens = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = call(&router, "GET", "/api/v1/csrf-token", &[], "").await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        let token = answer.header("qlik-csrf-token").to_owned();
        let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        // 6 bits per character: at least 128 bits.
        assert!(token.len() >= 22 && token.chars().all(url_safe), "{token}");
        assert!(tokens.insert(token), "the same token twice");
    }
}

#[tokio::test]
async fn other_routes_require_a_caller() {
    let platform = Platform::start().await;
    let api = Api(platform.at("/ok"));
    for (method, path) in
        [("GET", "/api/v1/webhooks"), ("POST", "/api/v1/webhooks"), ("GET", "/api/v1/webhooks/event-types")]
    {
        assert_eq!(api.call(None, method, path, None).await.0, 401, "{method} {path}");
    }
    // Platform routes also accept a caller.
    assert_eq!(api.call(Some(&As::admin("acme")), "GET", "/api/v1/csrf-token", None).await.0, 204);
    assert_eq!(api.call(None, "GET", "/anything/else", None).await.0, 404);
}
