//! Request bodies: any JSON, or a form, with the place in every error. What it means is for the route.

use std::fmt;
use std::io::{ErrorKind, Read as _};

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use url::form_urlencoded;

use anzol_domain::Invalid;
use anzol_domain::event::without_mark;
use anzol_domain::published::is_utf8;

use crate::error::ApiError;

/// Largest body of a management call. The largest webhook that can be written is far below.
const MAX_BODY: usize = 64 * 1024;
/// Encodings of bodies that are read.
pub(crate) const ENCODINGS: &str = "gzip, identity";

/// A JSON body. An empty `content-type` counts as JSON, as some of Qlik's clients send none.
#[derive(Debug, Clone)]
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_json(request.headers())?;
        Ok(Self(json(&bounded(request, state).await?)?))
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
        Ok(Some(Self(json(&body)?)))
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    check_charset(headers)?;
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
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    decoded(&headers, body, MAX_BODY)
}

/// A body as it was before its `Content-Encoding`: gzip, of one or more members, or as it is. Never more than `most` bytes are kept of
/// it, encoded or decoded.
///
/// # Errors
/// It has more bytes (413), is not what the header says (400), or is encoded in another way (415).
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
            // RFC 9110, section 8.4.1.3. An empty body is empty, whatever was to be done with it.
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
            Err(Invalid::one("body", "is not whole: its gzip ends too early").into())
        }
        Err(error) => {
            Err(Invalid::one("body", format!("is not gzip, as Content-Encoding says: {error}")).into())
        }
    }
}

/// Checks that a text in JSON, or in a format like it, says no other character set than UTF-8.
///
/// # Errors
/// It does (415).
pub fn check_charset(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_none_or(is_utf8) {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType(
        "the header Content-Type must name the charset utf-8, or none".to_owned(),
    ))
}

/// Reads JSON in which no object has a member twice.
///
/// # Errors
/// What is wrong, and where.
pub fn json(body: &[u8]) -> Result<Value, Invalid> {
    let json = serde_json::from_slice::<Strict>(without_mark(body)?);
    json.map(|Strict(value)| value)
        .map_err(|error| Invalid::one("body", format!("is not valid JSON: {error}")))
}

/// Any JSON value in which no object has a member twice. Parsers differ in which of the two counts (RFC 8259, section 4), so whoever
/// wrote that, or looked it through on the way, may mean another one than we would take.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("member `{name}` appears twice")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// The media type of a body, in lower case and without parameters.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|kind| !kind.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &[u8]) -> String {
        json(body).unwrap_err().to_string()
    }

    #[test]
    fn what_is_read_is_what_any_reader_of_json_reads() {
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
    }

    #[test]
    fn what_readers_differ_in_is_refused_with_its_place() {
        for (bad, said) in [
            (r#"{"url":"https://a.example","url":"https://b.example"}"#, "member `url` appears twice"),
            (r#"[{"op":"add","path":"/name","value":{"a":1,"\u0061":2}}]"#, "member `a` appears twice"),
            (r#"{"a":"\ud800"}"#, "line 1"),
            (r#"{"a":1e999}"#, "number out of range"),
            ("{\"a\":\"\u{0}\"}", "control character"),
            ("{} {}", "trailing characters"),
            ("\u{feff}\u{feff}{}", "expected value"),
        ] {
            assert!(problem(bad.as_bytes()).contains(said), "{bad}: {}", problem(bad.as_bytes()));
        }
        assert!(problem(b"{\"a\":\"\xff\"}").contains("line 1"));
        assert!(problem(b"\xff\xfe{\0}\0").contains("byte order mark of UTF-16"));
        assert_eq!(json(b"\xef\xbb\xbf{}").unwrap(), serde_json::json!({}));
        for nested in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert!(problem(nested.as_bytes()).contains("recursion limit"), "{}", problem(nested.as_bytes()));
        }
    }
}
