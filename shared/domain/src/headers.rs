//! Custom headers of a webhook: valid names and values, within the contract's size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Invalid, Problems};
use crate::rule::Rule;

/// Maximum size of all names and values together, in bytes (contract section 4).
pub const MAX_HEADERS: usize = 2048;

/// Header names that a webhook cannot set: those that Anzol sets, those that frame a message, and those for intermediaries.
pub const RESERVED: [&str; 24] = [
    "accept-encoding",
    "cdn-loop",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "qlik-signature",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-client-ip",
    "x-forwarded-for",
    "x-real-ip",
];

/// Names that became reserved in a later release. Webhooks that already have such headers keep them, and Anzol sends them. The headers only
/// claim an origin of the request, so they harm only receivers that trust them.
const RESERVED_LATER: [&str; 5] = ["cdn-loop", "forwarded", "true-client-ip", "x-client-ip", "x-real-ip"];

/// Reserved names that Anzol sets on requests.
const OURS: [&str; 3] = ["content-type", QLIK_SIGNATURE, "user-agent"];

/// Prefixes of further reserved names: the Standard Webhooks headers, which Anzol sets; the attributes of a `CloudEvents` event in binary
/// mode; and the headers in which intermediaries report the origin of a request.
pub const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "ce-", "x-forwarded-"];

/// Maximum number of encrypted headers after a change that keeps some of their values. Kept values do not count toward [`MAX_HEADERS`];
/// otherwise an editor of the webhook could find out their lengths.
pub const MAX_APART: usize = 8;

/// The headers of a webhook before a change. Empty for a new webhook.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Names of all headers, plain and encrypted. They stay allowed even if they are reserved by now.
    pub names: BTreeSet<String>,
    /// Names of encrypted headers that keep their values.
    pub kept: BTreeSet<String>,
}

/// A header name that the deployment configures: at most 64 characters, and not reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(String);

/// A header value that the deployment configures: 1 to 256 visible ASCII characters, with spaces only between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeaderText {
    /// Returns the value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        let ours = lower == QLIK_SIGNATURE; // reserved for webhooks, but the default here
        let taken = !ours && is_reserved(&lower);
        let fine = text.len() <= 64 && is_token(text) && !taken;
        fine.then(|| Self(text.to_owned())).ok_or_else(|| Invalid::one("header", Rule::SettingHeaderName))
    }
}

impl FromStr for HeaderText {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fine = (1..=256).contains(&text.len())
            && text.trim() == text
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        fine.then(|| Self(text.to_owned())).ok_or_else(|| Invalid::one("header", Rule::NotVisibleAscii))
    }
}

/// The default name of the signature header.
const QLIK_SIGNATURE: &str = "qlik-signature";

/// Checked headers, sorted by name. Names are unique, compared case-insensitively.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Checks the names (RFC 9110 tokens, not reserved, unique), the values (visible ASCII, inner spaces and tabs) and the total size.
    pub fn parse(raw: BTreeMap<String, String>) -> Result<Self, Invalid> {
        Self::parse_after(raw, &Before::default())
    }

    /// Checks the same rules as [`Headers::parse`], for a change of a webhook.
    pub fn parse_after(raw: BTreeMap<String, String>, before: &Before) -> Result<Self, Invalid> {
        let all = Before { names: before.names.clone(), kept: BTreeSet::new() };
        check("headers", &raw, &all)?;
        Ok(Self(raw))
    }

    /// Returns names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Checks that no encrypted header has the name of a plain header, compared case-insensitively.
    pub fn check_apart_from<'a>(&self, encrypted: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
        let mut problems = Problems::default();
        for name in encrypted.filter(|name| self.0.keys().any(|known| known.eq_ignore_ascii_case(name))) {
            problems.add(format!("encryptedHeaders.{name}"), Rule::HeaderInBoth);
        }
        problems.finish(Some(()))
    }
}

/// Custom headers whose values only the receiver sees: the API shows their names, and the history shows `**OMITTED**`.
///
/// Values are wiped from memory when dropped; `Debug` shows no part of them, and there is no `Serialize`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EncryptedHeaders(BTreeMap<String, Zeroizing<String>>);

impl EncryptedHeaders {
    /// Checks the same rules as [`Headers::parse`].
    pub fn parse(raw: BTreeMap<String, String>) -> Result<Self, Invalid> {
        Self::parse_after(raw, &Before::default())
    }

    /// Checks the same rules as [`Headers::parse`], for a change of a webhook. Kept values count by their number, not by their size; see
    /// [`MAX_APART`].
    pub fn parse_after(raw: BTreeMap<String, String>, before: &Before) -> Result<Self, Invalid> {
        check("encryptedHeaders", &raw, before)?;
        Ok(Self(raw.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect()))
    }

    /// Returns headers from the store without a check. They were checked before they were stored, and are checked again before they are
    /// sent.
    #[must_use]
    pub fn stored(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect())
    }

    /// Returns names and values, sorted by name; for sending and storing only.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns whether there are no headers.
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

/// Checks the headers of the member `of`. Problems never repeat a value, because it may be a secret.
fn check(of: &str, raw: &BTreeMap<String, String>, before: &Before) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let mut seen = BTreeSet::new();
    for (name, value) in raw {
        let field = format!("{of}.{name}");
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            problems.add(&field, Rule::HeaderName);
        } else if is_reserved(&lower) && !before.names.contains(name) {
            problems.add(&field, Rule::HeaderReserved);
        } else if !seen.insert(lower) {
            problems.add(&field, Rule::HeaderDuplicate);
        }
        if !is_value(value) {
            problems.add(&field, Rule::HeaderValue);
        }
    }
    let given: Vec<_> = raw.iter().filter(|(name, _)| !before.kept.contains(*name)).collect();
    if !given.is_empty() && given.len() < raw.len() && raw.len() > MAX_APART {
        problems.add(of, Rule::TooManyHeaders { max: MAX_APART });
    }
    let size: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_HEADERS {
        problems.add(of, Rule::HeadersTooLarge { max: MAX_HEADERS });
    }
    problems.finish(Some(()))
}

/// Returns whether webhooks cannot set a header of this name, given in lower case.
fn is_reserved(lower: &str) -> bool {
    RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

/// Checks all headers of a request just before it is sent: names and values cannot end their line, no name appears twice, and no header
/// frames the message or addresses intermediaries. Headers that Anzol sets and names that became reserved later are allowed.
///
/// # Errors
/// Every broken rule. Problems never repeat a value.
pub fn check_sendable<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let sent = || OURS.iter().chain(&RESERVED_LATER).any(|known| *known == lower);
        let framing = RESERVED.contains(&lower.as_str()) && !sent();
        if !is_token(name) || !is_value(value) || framing || !seen.insert(lower) {
            problems.add(format!("headers.{}", name.escape_debug()), Rule::HeaderNotSendable);
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
    fn ordinary_headers_are_accepted() {
        assert!(headers(&[("Authorization", "Bearer abc.def"), ("X-Key", "a b"), ("x-empty", "")]).is_ok());
    }

    #[test]
    fn smuggled_reserved_and_duplicate_names_are_refused() {
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
            // Values folded over two lines, which HTTP once allowed.
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
    fn encrypted_headers_have_the_same_rules_and_hide_values() {
        let parse = |name: &str, value: &str| {
            EncryptedHeaders::parse(BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert!(parse("Host", "a").is_err());
        let error = parse("X-Key", "keep\tit\nsecret").unwrap_err().to_string();
        assert!(error.starts_with("`encryptedHeaders.X-Key`") && !error.contains("keep"), "{error}");
        let headers = parse("Authorization", "Bearer keep-it-secret").unwrap();
        assert_eq!(format!("{headers:?}"), r#"{"Authorization"}"#);
        assert_eq!(headers.names().collect::<Vec<_>>(), ["Authorization"]);
    }

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn info_names_of_intermediaries_are_reserved() {
        for name in [
            "Forwarded",
            "X-Real-IP",
            "X-Forwarded-Host",
            "x-forwarded-proto",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
            "Via",
            "X-Forwarded-For",
            "CDN-Loop",
            "True-Client-IP",
            "X-Client-IP",
            "X-Forwarded-",
            "ce-id",
            "CE-Type",
        ] {
            assert!(Headers::parse(one(name, "1")).is_err(), "{name}");
            assert!(EncryptedHeaders::parse(one(name, "1")).is_err(), "{name}");
            assert!(name.parse::<HeaderName>().is_err(), "{name}");
        }
        for name in ["X-Forwarded", "Cecil", "X-Real-Estate", "CDN-Loops"] {
            assert!(Headers::parse(one(name, "1")).is_ok(), "{name}");
        }
    }

    #[test]
    fn info_header_reserved_later_is_kept_and_sent() {
        for name in ["Forwarded", "X-Real-IP", "X-Forwarded-Host", "cdn-loop", "ce-id"] {
            let before = Before { names: [name.to_owned()].into(), ..Before::default() };
            let kept = Headers::parse_after(one(name, "1"), &before).unwrap();
            assert!(check_sendable(kept.iter()).is_ok(), "{name}");
            let kept = EncryptedHeaders::stored(one(name, "1"));
            assert!(check_sendable(kept.expose()).is_ok(), "{name}");
            assert!(Headers::parse_after(one("X-Forwarded-Port", "1"), &before).is_err(), "no other");
        }
        // Headers that cannot be stored are not sent either.
        for name in ["Via", "X-Forwarded-For", "Host"] {
            assert!(check_sendable([(name, "1")]).is_err(), "{name}");
        }
    }

    #[test]
    fn l8_partial_change_counts_headers_not_bytes() {
        let with = |count: usize, size: usize| {
            let mut all: BTreeMap<_, _> = (1..count).map(|n| (format!("X-{n}"), "v".repeat(2000))).collect();
            let kept = all.keys().cloned().collect();
            all.insert("X-P".to_owned(), "v".repeat(size));
            EncryptedHeaders::parse_after(all, &Before { kept, ..Before::default() })
        };
        assert!(with(MAX_APART, MAX_HEADERS - 3).is_ok());
        assert!(with(MAX_APART, MAX_HEADERS - 2).is_err());
        let error = with(MAX_APART + 1, 1).unwrap_err().to_string();
        assert!(error.contains("at most 8 headers"), "{error}");
        // Headers of a larger set, which one request gave in full, can be removed.
        let many: BTreeMap<_, _> = (0..500).map(|n| (format!("{n}"), String::new())).collect();
        let before = Before { kept: many.keys().cloned().collect(), ..Before::default() };
        assert!(EncryptedHeaders::parse_after(many, &before).is_ok());
    }

    proptest! {
        #[test]
        fn l8_result_is_independent_of_kept_value_lengths(
            lengths in prop::collection::vec(0..=MAX_HEADERS, 1..10), given in 0..2100_usize,
        ) {
            let answer = |length: &dyn Fn(usize) -> usize| {
                let mut all: BTreeMap<_, _> =
                    lengths.iter().enumerate().map(|(n, size)| (format!("X-{n}"), "v".repeat(length(*size)))).collect();
                let kept = all.keys().cloned().collect();
                all.insert("X-P".to_owned(), "v".repeat(given));
                EncryptedHeaders::parse_after(all, &Before { kept, ..Before::default() }).map(drop)
            };
            prop_assert_eq!(answer(&|size| size), answer(&|_| 0));
        }

        #[test]
        fn accepted_header_cannot_end_its_line(name in "\\PC{0,12}|[ -~\r\n\0]{0,12}", value in "[ -~\r\n\t\0é]{0,20}") {
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
