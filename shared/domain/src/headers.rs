//! Extra headers a webhook sends: names and values that are safe to put on the wire, within the contract's size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Invalid, Problems};

/// Bound on the bytes of all names and values together (contract section 4).
pub const MAX_HEADERS: usize = 2048;

/// Names a webhook may not set: the ones we set, the ones that frame a message, and the ones that speak to intermediaries.
pub const RESERVED: [&str; 19] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "qlik-signature",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
];

/// Those of [`RESERVED`] that we set ourselves, and so are there when a request goes out.
const OURS: [&str; 3] = ["content-type", QLIK_SIGNATURE, "user-agent"];

/// Prefix of the Standard Webhooks headers, all ours.
pub const RESERVED_PREFIX: &str = "webhook-";

/// Name of a header that the deployment chooses: at most 64 characters, and none that HTTP, intermediaries or we need otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(String);

/// Value of a header that the deployment chooses: 1 to 256 visible ASCII characters, with spaces only between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeaderText {
    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        let ours = lower == QLIK_SIGNATURE; // reserved so that no webhook sets it; here it is the default
        let taken = !ours && (RESERVED.contains(&lower.as_str()) || lower.starts_with(RESERVED_PREFIX));
        let fine = text.len() <= 64 && is_token(text) && !taken;
        fine.then(|| Self(text.to_owned()))
            .ok_or_else(|| Invalid::one("header", "must be a free header name"))
    }
}

impl FromStr for HeaderText {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fine = (1..=256).contains(&text.len())
            && text.trim() == text
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        fine.then(|| Self(text.to_owned())).ok_or_else(|| Invalid::one("header", "must be visible ASCII"))
    }
}

/// The reserved name that the deployment's signature has by default.
const QLIK_SIGNATURE: &str = "qlik-signature";

/// Checked headers, sorted by name; names are unique without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Checks names (RFC 9110 tokens, not reserved, unique), values (visible ASCII, inner spaces and tabs) and the size of all.
    pub fn parse(raw: BTreeMap<String, String>) -> Result<Self, Invalid> {
        check("headers", &raw)?;
        Ok(Self(raw))
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Checks that no encrypted header has the name of one of these, in any case.
    pub fn check_apart_from<'a>(&self, encrypted: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
        let mut problems = Problems::default();
        for name in encrypted.filter(|name| self.0.keys().any(|known| known.eq_ignore_ascii_case(name))) {
            problems.add(format!("encryptedHeaders.{name}"), "is among `headers` too; each name once");
        }
        problems.finish(Some(()))
    }
}

/// Extra headers whose values only the receiver gets to see: the API shows their names, and the history says `**OMITTED**`.
///
/// Values are wiped from memory when dropped; `Debug` shows no part of them, and there is no `Serialize`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EncryptedHeaders(BTreeMap<String, Zeroizing<String>>);

impl EncryptedHeaders {
    /// Checks the same rules as [`Headers::parse`].
    pub fn parse(raw: BTreeMap<String, String>) -> Result<Self, Invalid> {
        check("encryptedHeaders", &raw)?;
        Ok(Self(raw.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect()))
    }

    /// Names and values, sorted by name; for sending and for storing only.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for EncryptedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `of` is the member they are in. Problems never repeat a value: it may be meant to stay secret.
fn check(of: &str, raw: &BTreeMap<String, String>) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let mut seen = BTreeSet::new();
    for (name, value) in raw {
        let field = format!("{of}.{name}");
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            problems.add(&field, "must have a name of letters, digits and !#$%&'*+-.^_`|~");
        } else if RESERVED.contains(&lower.as_str()) || lower.starts_with(RESERVED_PREFIX) {
            problems.add(&field, "is a reserved header name");
        } else if !seen.insert(lower) {
            problems.add(&field, "appears twice (names are compared without regard to case)");
        }
        if !is_value(value) {
            problems.add(&field, "must have a value of visible ASCII characters, with spaces only inside");
        }
    }
    let size: usize = raw.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_HEADERS {
        problems.add(of, format!("must have at most {MAX_HEADERS} bytes of names and values together"));
    }
    problems.finish(Some(()))
}

/// Checks headers just before they go out, ours among them, whatever was checked when they were stored: names and values that cannot
/// end their line, no name twice, and none that frames the message or speaks to intermediaries.
///
/// # Errors
/// Every rule broken; problems repeat no value.
pub fn check_sendable<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let framing = RESERVED.contains(&lower.as_str()) && !OURS.contains(&lower.as_str());
        if !is_token(name) || !is_value(value) || framing || !seen.insert(lower) {
            problems.add(format!("headers.{}", name.escape_debug()), "is not a header that can be sent");
        }
    }
    problems.finish(Some(()))
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') && value.trim() == value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Result<Headers, Invalid> {
        Headers::parse(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn ordinary_headers_pass() {
        assert!(headers(&[("Authorization", "Bearer abc.def"), ("X-Key", "a b"), ("x-empty", "")]).is_ok());
    }

    #[test]
    fn smuggling_reserved_and_double_names_are_refused() {
        for bad in [
            [("X-A", "b\r\nEvil: 1")],
            [("X-A", "b\0")],
            [("X A", "b")],
            [("X-A:", "b")],
            [("", "b")],
            [("X-A", " b")],
            [("Content-Type", "text/plain")],
            [("HOST", "a")],
            [("Webhook-Id", "1")],
            [("qlik-signature", "0")],
            [("X-A", "é")],
            [("Transfer-Encoding", "chunked")],
            // A value folded over two lines, as HTTP once allowed.
            [("X-A", "b\r\n c")],
            [("X-A", "b\n\tc")],
            [("X-A", "b\rc")],
            [("X-A", "b\u{7f}")],
            [("X-A", "b\u{b}c")],
            [("X-A", "\u{2028}")],
            [("X-A", "\u{10a}evil: 1")],
            [("X-A\r\nEvil", "b")],
            [("X-Ａ", "b")],
            [("X-A\0", "b")],
            [("Connection", "close")],
            [("Keep-Alive", "timeout=9")],
            [("Proxy-Authorization", "b")],
            [("Proxy-Connection", "close")],
            [("TE", "trailers")],
            [("Trailer", "X-A")],
            [("Upgrade", "h2c")],
            [("Expect", "100-continue")],
            [("Content-Length", "0")],
        ] {
            assert!(headers(&bad).is_err(), "{bad:?}");
            let ours = bad[0].0.eq_ignore_ascii_case("content-type")
                || bad[0].0.eq_ignore_ascii_case("qlik-signature")
                || bad[0].0.eq_ignore_ascii_case("webhook-id");
            assert_eq!(check_sendable(bad).is_err(), !ours, "{bad:?}");
        }
        assert!(check_sendable([("X-A", "1"), ("x-a", "2")]).is_err());
        assert!(check_sendable([("Content-Type", "application/json"), ("X-A", "a b"), ("x-b", "")]).is_ok());
        assert!(headers(&[("X-A", "1"), ("x-a", "2")]).is_err());
        assert!(headers(&[("X-A", &"v".repeat(MAX_HEADERS - 2))]).is_err());
        assert!(headers(&[("X-A", &"v".repeat(MAX_HEADERS - 3))]).is_ok());
    }

    #[test]
    fn encrypted_headers_keep_the_same_rules_and_their_values_to_themselves() {
        let parse = |name: &str, value: &str| {
            EncryptedHeaders::parse(BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert!(parse("Host", "a").is_err());
        let error = parse("X-Key", "tell\tno\none").unwrap_err().to_string();
        assert!(error.starts_with("`encryptedHeaders.X-Key`") && !error.contains("tell"), "{error}");
        let headers = parse("Authorization", "Bearer tell-no-one").unwrap();
        assert_eq!(format!("{headers:?}"), r#"{"Authorization"}"#);
        assert_eq!(headers.names().collect::<Vec<_>>(), ["Authorization"]);
    }

    proptest! {
        #[test]
        fn no_accepted_header_can_end_its_line(name in "\\PC{0,12}|[ -~\r\n\0]{0,12}", value in "[ -~\r\n\t\0é]{0,20}") {
            if let Ok(accepted) = headers(&[(&name, &value)]) {
                prop_assert!(check_sendable(accepted.iter()).is_ok());
                for (n, v) in accepted.iter() {
                    prop_assert!(!n.is_empty() && !n.contains([':', ' ', '\r', '\n']));
                    prop_assert!(!v.contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
