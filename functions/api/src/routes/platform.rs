//! The platform requests that Qlik's clients make besides webhooks: product info, CSRF token, access token. They have no caller.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Map, Value};
use url::form_urlencoded;

use anzol_domain::error::Problems;
use anzol_domain::{Invalid, Rule};
use anzol_egress::{ClientCredentials, Refusal, TokenError};
use anzol_http::{ApiError, Fields};

use crate::dto::{AccessTokenOut, ProductInfo};
use crate::state::Shared;

/// The scope that Qlik's clients request to receive all their scopes. Not a scope of the user pool.
const USER_DEFAULT: &str = "user_default";

/// Identifies this deployment as a cloud deployment. Without this response, `@qlik/api` repeats the request before each call and may treat
/// the server as a client-managed Qlik Sense (contract section 6.1).
pub(crate) async fn product_info() -> impl IntoResponse {
    ([(CACHE_CONTROL, "public, max-age=300")], Json(ProductInfo::cloud()))
}

/// Returns a random token of 192 bits in the header `qlik-csrf-token`, for clients that require one before they write.
///
/// The token is not checked, because without cookie sessions no cross-site request can be forged.
pub(crate) async fn csrf_token() -> Result<impl IntoResponse, ApiError> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "failed to read random bytes");
        ApiError::Internal
    })?;
    let name = HeaderName::from_static("qlik-csrf-token");
    let headers = [(name, URL_SAFE_NO_PAD.encode(random)), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::NO_CONTENT, headers))
}

/// Exchanges client credentials for an access token at the user pool.
///
/// Accepts JSON, as Qlik's clients send it, or a form, as OAuth defines it. Credentials of HTTP Basic take precedence over the body.
pub(crate) async fn token(
    State(state): State<Shared>,
    headers: HeaderMap,
    fields: Result<Fields, ApiError>,
) -> Result<Response, ApiError> {
    let endpoint = state.tokens.as_ref().ok_or(ApiError::NotImplemented(Rule::OutsideIssuer))?;
    let request = TokenRequest::read(&headers, &fields?.0)?;
    let client =
        ClientCredentials { id: &request.id, secret: &request.secret, scope: request.scope.as_deref() };
    let token = endpoint.exchange(client).await.map_err(refusal)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(AccessTokenOut::from(token))).into_response())
}

fn refusal(error: TokenError) -> ApiError {
    match error {
        TokenError::UnknownClient => ApiError::Unauthorized(Rule::UnknownClient),
        TokenError::Refused(Refusal::Scope) => Invalid::one("scope", Rule::UnknownScope).into(),
        TokenError::Refused(Refusal::Client) => Invalid::one("client_id", Rule::ClientNotAllowed).into(),
        TokenError::Refused(Refusal::Request) => Invalid::one("body", Rule::RefusedByIssuer).into(),
        TokenError::Unavailable(reason) => {
            tracing::warn!(reason, "the token endpoint gave no usable answer");
            ApiError::Busy
        }
    }
}

/// A token request. Not `Debug`: it holds a secret.
struct TokenRequest {
    id: String,
    secret: String,
    scope: Option<String>,
}

impl TokenRequest {
    fn read(headers: &HeaderMap, fields: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut problems = Problems::default();
        let mut text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(_) => {
                problems.add(name, Rule::NotString);
                None
            }
        };
        let (grant, scope) = (text("grant_type"), text("scope"));
        let (id, secret) = (text("client_id"), text("client_secret"));
        let (id, secret) = match problems.take(basic(headers)).flatten() {
            Some((id, secret)) => (Some(id), Some(secret)),
            None => (id, secret),
        };
        if grant.as_deref() != Some("client_credentials") {
            problems.add("grant_type", Rule::MustBe { value: "client_credentials" });
        }
        for (name, value) in [("client_id", &id), ("client_secret", &secret)] {
            if value.is_none() {
                problems.add(name, Rule::Required);
            }
        }
        let scope: Vec<_> = scope
            .iter()
            .flat_map(|scope| scope.split_ascii_whitespace())
            .filter(|scope| *scope != USER_DEFAULT)
            .collect();
        let scope = Some(scope.join(" ")).filter(|scope| !scope.is_empty());
        problems.finish(id.zip(secret).map(|(id, secret)| Self { id, secret, scope }))
    }
}

/// Returns the client ID and secret of HTTP Basic. Both parts are form-encoded (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Invalid> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let invalid = || Invalid::one("Authorization", Rule::NotBasicCredentials);
    let text = value.to_str().map_err(|_| invalid())?;
    let (scheme, credentials) = text.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(invalid());
    }
    let decoded = STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(invalid)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(invalid)?;
    let plain = |part: &str| {
        // Parses the part as a form with one name and no value, so `=` and `&` in it must not separate.
        let part = part.replace('=', "%3D").replace('&', "%26");
        form_urlencoded::parse(part.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
    };
    Ok(Some((plain(id), plain(secret))))
}
