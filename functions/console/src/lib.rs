#![doc = include_str!("../README.md")]

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;

use anzol_http::ApiError;

/// The files of the console: name, media type, content.
const ASSETS: [(&str, &str, &str); 6] = [
    ("", "text/html; charset=utf-8", include_str!("../assets/index.html")),
    ("console.css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
    ("session.js", "text/javascript; charset=utf-8", include_str!("../assets/session.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../assets/api.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// What the page has to know about the deployment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Where users sign in: the user pool's API, or nothing with an outside issuer.
    pub sign_in_url: Option<String>,
    /// The console's client id at the user pool.
    pub client_id: Option<String>,
    /// Who issues the tokens.
    pub issuer: String,
    /// Most webhooks a tenant may have.
    pub webhook_cap: u32,
}

/// All routes.
pub fn router(config: Config) -> Router {
    let routes = Router::new()
        .route("/", get(|| async { Redirect::temporary("/console/") }))
        // Both spellings: gateways differ in whether they keep the slash at the end.
        .route("/console", get(|state: State<Config>| async move { asset(&state, "") }))
        .route("/console/", get(|state: State<Config>| async move { asset(&state, "") }))
        .route("/console/config.json", get(|State(config): State<Config>| async move { axum::Json(config) }))
        .route(
            "/console/{name}",
            get(|state: State<Config>, Path(name): Path<String>| async move { asset(&state, &name) }),
        )
        .with_state(config);
    anzol_http::shell(routes)
}

fn asset(config: &Config, name: &str) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return ApiError::NotFound(format!("there is no /console/{name}")).into_response();
    };
    let sign_in = config.sign_in_url.as_deref().unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {sign_in}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, &policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, *content).into_response()
}
