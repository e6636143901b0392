//! Request bodies: any JSON, or a form, with the place in every error. What it means is for the route.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use url::form_urlencoded;

use anzol_domain::Invalid;

use crate::error::ApiError;

/// Largest body of a management call. The largest webhook that can be written is far below.
const MAX_BODY: usize = 64 * 1024;

/// A JSON body. An empty `content-type` counts as JSON, as some of Qlik's clients send none.
#[derive(Debug, Clone)]
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_json(request.headers())?;
        json(&bounded(request, state).await?).map(Self)
    }
}

/// A body that may be left out; its `content-type` says nothing then.
impl<S: Send + Sync> OptionalFromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let is_json = check_json(request.headers());
        let body = bounded(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        is_json?;
        json(&body).map(|json| Some(Self(json)))
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match content_type(headers).as_deref() {
        None | Some("application/json" | "application/json-patch+json") => Ok(()),
        Some(_) => Err(ApiError::UnsupportedMediaType("the body must be application/json".to_owned())),
    }
}

/// Named values, as JSON's object or as a form, which is how OAuth has them. Of a value given twice in a form, the last counts.
#[derive(Clone)]
pub struct Fields(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = content_type(request.headers());
        let body = bounded(request, state).await?;
        match kind.as_deref() {
            Some("application/x-www-form-urlencoded") => Ok(Self(
                form_urlencoded::parse(&body)
                    .map(|(name, value)| (name.into_owned(), value.into()))
                    .collect(),
            )),
            None | Some("application/json") => match json(&body)? {
                Value::Object(fields) => Ok(Self(fields)),
                _ => Err(Invalid::one("body", "must be an object").into()),
            },
            Some(_) => Err(ApiError::UnsupportedMediaType(
                "the body must be application/json or application/x-www-form-urlencoded".to_owned(),
            )),
        }
    }
}

async fn bounded<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let body = Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    if body.len() > MAX_BODY { Err(ApiError::TooLarge(MAX_BODY)) } else { Ok(body) }
}

fn json(body: &[u8]) -> Result<Value, ApiError> {
    let json = serde_json::from_slice(body);
    json.map_err(|error| Invalid::one("body", format!("is not valid JSON: {error}")).into())
}

/// The media type of a body, in lower case and without parameters.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|kind| !kind.is_empty())
}
