//! Request bodies: JSON into a type, with the field and the place in every error.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use anzol_domain::Invalid;

use crate::error::ApiError;

/// Largest body of a management call. The largest webhook that can be written is far below.
const MAX_BODY: usize = 64 * 1024;

/// A JSON body. An empty `content-type` counts as JSON, as some of Qlik's clients send none.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = content_type(request.headers());
        if !matches!(kind.as_deref(), None | Some("application/json" | "application/json-patch+json")) {
            return Err(ApiError::UnsupportedMediaType("the body must be application/json".to_owned()));
        }
        let body = Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
        if body.len() > MAX_BODY {
            return Err(ApiError::TooLarge(MAX_BODY));
        }
        read_json(&body).map(Self)
    }
}

/// The media type of a body, in lower case and without parameters.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|kind| !kind.is_empty())
}

/// Reads JSON.
///
/// # Errors
/// 400 naming the member, where the trouble is in one, else the line and column.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." || path == "?" { "body".to_owned() } else { path };
        let inner = error.into_inner();
        let rule = if inner.is_data() {
            format!("cannot be read: {inner}")
        } else {
            format!("is not valid JSON: {inner}")
        };
        ApiError::Invalid(Invalid::one(field, rule))
    })?;
    json.end()
        .map_err(|error| ApiError::Invalid(Invalid::one("body", format!("is not valid JSON: {error}"))))?;
    Ok(read)
}
