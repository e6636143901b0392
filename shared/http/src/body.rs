//! Reads request bodies: JSON or a form, decompressed, with a maximum size.

use std::io::{ErrorKind, Read as _};

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Map, Value};
use url::form_urlencoded;

use anzol_domain::attributes::is_utf8;
use anzol_domain::event::without_mark;
use anzol_domain::rule::Reason;
use anzol_domain::{Invalid, Rule, check_unique_members};

use crate::error::ApiError;

/// Maximum size of the body of a management call, in bytes. The largest valid webhook is much smaller.
const MAX_BODY: usize = 64 * 1024;

/// A JSON body. A missing `content-type` counts as JSON, because some of Qlik's clients send none.
#[derive(Debug, Clone)]
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_json(request.headers())?;
        Ok(Self(json(&bounded(request, state).await?)?))
    }
}

/// A body that can be omitted. The `content-type` of an empty body is ignored.
impl<S: Send + Sync> OptionalFromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let is_json = check_json(request.headers());
        let body = bounded(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        is_json?;
        Ok(Some(Self(json(&body)?)))
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    check_charset(headers)?;
    match content_type(headers).as_deref() {
        None | Some("application/json" | "application/json-patch+json") => Ok(()),
        Some(_) => Err(unsupported(&["application/json"])),
    }
}

/// Named values: a JSON object, or a form, as in OAuth. If a form repeats a name, the last value counts.
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
                _ => Err(Invalid::one("body", Rule::NotObject).into()),
            },
            Some(_) => Err(unsupported(&["application/json", "application/x-www-form-urlencoded"])),
        }
    }
}

fn unsupported(supported: &[&'static str]) -> ApiError {
    ApiError::UnsupportedMediaType(Rule::UnsupportedMediaType { values: supported.iter().copied().into() })
}

async fn bounded<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    decoded(&headers, body, MAX_BODY)
}

/// Decodes a body according to `Content-Encoding`: gzip with one or more members, or none.
///
/// # Errors
/// The body has more than `most` bytes, encoded or decoded (413), is not gzip (400), or has another encoding (415).
pub fn decoded(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, ApiError> {
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let words = value.split(',').map(|word| word.trim().to_owned());
        encodings.extend(words.filter(|word| !word.is_empty() && word != "identity"));
    }
    if body.len() > most {
        return Err(ApiError::TooLarge(most));
    }
    match encodings.as_slice() {
        [] => Ok(body),
        [one] if one == "gzip" || one == "x-gzip" => {
            // RFC 9110, section 8.4.1.3. An empty body is empty in every encoding.
            if body.is_empty() { Ok(body) } else { unzipped(&body, most).map(Bytes::from) }
        }
        others => Err(ApiError::UnsupportedEncoding(others.join(", ").chars().take(256).collect())),
    }
}

fn unzipped(body: &[u8], most: usize) -> Result<Vec<u8>, ApiError> {
    let one_too_many = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    match MultiGzDecoder::new(body).take(one_too_many).read_to_end(&mut out) {
        _ if out.len() > most => Err(ApiError::TooLarge(most)),
        Ok(_) => Ok(out),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Invalid::one("body", Rule::GzipIncomplete).into())
        }
        Err(error) => Err(Invalid::one("body", Rule::InvalidGzip { reason: Reason::new(error) }).into()),
    }
}

/// Checks that `Content-Type` names no character set other than UTF-8.
///
/// # Errors
/// 415 if it names another one.
pub fn check_charset(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_none_or(is_utf8) {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType(Rule::UnsupportedCharset))
}

/// Parses JSON and checks that no object has a member twice.
///
/// # Errors
/// The position of the first error, or the name that appears twice.
pub fn json(body: &[u8]) -> Result<Value, Invalid> {
    let text = without_mark(body)?;
    let value = serde_json::from_slice(text).map_err(|error| Invalid::one("body", Rule::from(&error)))?;
    check_unique_members(text).map_err(|rule| Invalid::one("body", rule))?;
    Ok(value)
}

/// Returns the media type of a body, in lower case and without parameters.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|kind| !kind.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(body: &[u8]) -> Rule {
        json(body).unwrap_err().0.remove(0).rule
    }

    fn sentence(body: &str) -> String {
        rule(body.as_bytes()).to_string()
    }

    #[test]
    fn json_is_parsed_like_serde_json() {
        for good in [
            r#"{"a":[1,-2,1.5,1e300,true,null,"x",{"a":{}}],"b":"\u00e9\ud83d\ude00","":[]}"#,
            "18446744073709551615",
            "\"\"",
            "null",
        ] {
            assert_eq!(
                json(good.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(good).unwrap(),
                "{good}"
            );
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(nested(127).as_bytes()).is_ok());
        assert!(json(nested(128).as_bytes()).is_err());
    }

    #[test]
    fn duplicate_member_is_refused_at_any_depth() {
        for (bad, name) in [
            (r#"{"url":"https://a.example","url":"https://b.example"}"#, "url"),
            (r#"[{"op":"add","path":"/name","value":{"a":1,"\u0061":2}}]"#, "a"),
        ] {
            assert_eq!(rule(bad.as_bytes()), Rule::DuplicateMember { name: name.into() }, "{bad}");
        }
    }

    #[test]
    fn invalid_json_is_refused_with_its_position() {
        for (bad, position) in [
            (r#"{"a":"\ud800"}"#, (1, 13)),
            (r#"{"a":1e999}"#, (1, 10)),
            ("{\"a\":\n\"\u{0}\"}", (2, 2)),
            ("{} {}", (1, 4)),
            ("\u{feff}\u{feff}{}", (1, 1)),
        ] {
            let Rule::InvalidJson { line, column, .. } = rule(bad.as_bytes()) else { panic!("{bad}") };
            assert_eq!((line, column), position, "{bad}: {}", sentence(bad));
        }
        assert!(matches!(rule(b"{\"a\":\"\xff\"}"), Rule::InvalidJson { line: 1, .. }));
        assert_eq!(rule(b"\xff\xfe{\0}\0"), Rule::ByteOrderMark { encoding: "UTF-16" });
        assert_eq!(json(b"\xef\xbb\xbf{}").unwrap(), serde_json::json!({}));
        for nested in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert!(matches!(rule(nested.as_bytes()), Rule::InvalidJson { .. }));
        }
    }
}
