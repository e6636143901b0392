//! Where a webhook posts to: an https URL with a public-looking domain name, never an IP address.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::Invalid;

/// Longest URL in bytes, in the URL standard's spelling (contract section 4).
pub const MAX_URL: usize = 2048;

/// Names that never lead outside, with everything below them (RFC 6761, RFC 6762, RFC 8375, and the common private suffixes).
pub const PRIVATE_SUFFIXES: [&str; 9] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "arpa"];

/// A checked target: https, a fully qualified domain name, port 443, no user info, no fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Checks a URL. Numbers in any spelling (decimal, octal, hex) are IP addresses to the URL standard, and refused as such.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let problem = |rule: &str| Err(Invalid::one("url", rule));
        let too_long = format!("must have at most {MAX_URL} bytes, escapes included");
        if text.len() > MAX_URL {
            return problem(&too_long);
        }
        // The URL standard would silently strip these; a client that sends them did not mean what we would store.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return problem("must not contain spaces or control characters");
        }
        let Ok(url) = Url::parse(text) else {
            return problem("must be an absolute URL, like https://hooks.example.com/path");
        };
        // What is kept can be longer than what was written, and has to be readable again.
        if url.as_str().len() > MAX_URL {
            return problem(&too_long);
        }
        if url.scheme() != "https" {
            return problem("must use https");
        }
        // The URL standard mends these silently, too: missing and doubled slashes, backslashes, escapes in the name, an empty user.
        let Some(authority) = authority(text) else {
            return problem("must be an absolute URL, like https://hooks.example.com/path");
        };
        if text.contains('\\') || authority.contains('%') {
            return problem("must not contain backslashes, nor escapes in its domain name");
        }
        if authority.contains('@') {
            return problem("must not contain a user name or password; use headers instead");
        }
        if url.fragment().is_some() {
            return problem("must not contain a fragment (#…)");
        }
        if url.port().is_some() {
            return problem("must use port 443");
        }
        match url.host() {
            Some(Host::Domain(name)) => check_name(name)?,
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
                return problem("must have a domain name, not an IP address");
            }
            None => return problem("must have a domain name"),
        }
        Ok(Self(url))
    }

    /// The URL to connect to.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as text, in the URL standard's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// What is between `https://` and the path, as it is written.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("https") && !authority.is_empty()).then_some(authority)
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let problem = |rule: &str| Err(Invalid::one("url", rule));
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return problem("must have a valid domain name without empty labels or a trailing dot");
    }
    // The URL standard lets more through than any name in DNS may have; underscores, which are no part of host names, do exist.
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.split('.').any(|label| !label.chars().all(fine) || label.starts_with('-') || label.ends_with('-'))
    {
        return problem("must have a domain name of letters, digits and hyphens inside");
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if PRIVATE_SUFFIXES.contains(&last) {
        return problem("must have a public domain name");
    }
    if !name.contains('.') {
        return problem("must have a fully qualified domain name");
    }
    if !last.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return problem("must have a public domain name");
    }
    Ok(())
}

impl TryFrom<String> for WebhookUrl {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn public_https_names_are_accepted() {
        for good in [
            "https://hooks.example.com",
            "https://a.b.example.com:443/p?q=1&r=%20",
            "https://bücher.example/ä",
            "HTTPS://Hooks.Example.com:0443?x",
            "https://my_hooks.example.com:/",
        ] {
            assert!(WebhookUrl::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_rule() {
        for bad in [
            "",
            "hooks.example.com",
            "http://example.com",
            "ftp://example.com",
            "https://",
            "https:///x",
            "https://127.0.0.1",
            "https://1.2.3.4/x",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://example.com/#x",
            "https://localhost",
            "https://x.localhost",
            "https://db.internal",
            "https://printer.local",
            "https://example.com.",
            "https://intranet",
            "https://example.com:8443",
            "https://a..example.com",
            "https://exa mple.com",
            "https://example.com/\n",
            " https://example.com",
            "javascript:alert(1)",
            "https:hooks.example.com",
            "https:/hooks.example.com",
            "https:///hooks.example.com",
            "https:\\\\hooks.example.com",
            "https://hooks.example.com\\path",
            "https://hooks.ex%61mple.com",
            "https://@hooks.example.com",
            "https://hooks.example.com*",
            "https://hooks.example.com!",
            "https://(hooks).example.com",
            "https://-hooks.example.com",
            "https://hooks-.example.com",
            "https://hooks.example.4you",
        ] {
            let Err(Invalid(problems)) = WebhookUrl::parse(bad) else { panic!("{bad} was accepted") };
            assert_eq!(problems[0].field, "url");
        }
        assert!(WebhookUrl::parse(&format!("https://example.com/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn the_bound_holds_for_what_is_kept_so_that_it_can_be_read_again() {
        // Each of these bytes takes three when it is escaped.
        let long = |count: usize| format!("https://example.com/{}", "é".repeat(count));
        assert!(WebhookUrl::parse(&long(500)).is_err());
        let kept = WebhookUrl::parse(&long(338)).unwrap();
        assert_eq!(kept.as_str().len(), MAX_URL);
        assert_eq!(WebhookUrl::parse(kept.as_str()).unwrap(), kept);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_https_with_a_dotted_name_and_parses_to_itself(text in "(https://)?\\PC{0,40}") {
            if let Ok(url) = WebhookUrl::parse(&text) {
                prop_assert_eq!(url.as_url().scheme(), "https");
                prop_assert!(url.as_url().domain().is_some_and(|name| name.contains('.')));
                prop_assert_eq!(WebhookUrl::parse(url.as_str()).unwrap(), url);
            }
        }

        #[test]
        fn no_ipv4_address_in_any_spelling_is_accepted(address: u32, style in 0..4_u8) {
            let [a, b, c, d] = address.to_be_bytes();
            let host = match style {
                0 => format!("{a}.{b}.{c}.{d}"),
                1 => format!("{address}"),
                2 => format!("{address:#x}"),
                _ => format!("{a:#o}.{b:#x}.{}", u16::from_be_bytes([c, d])).replace("0o", "0"),
            };
            let url = format!("https://{host}/");
            prop_assert!(WebhookUrl::parse(&url).is_err());
        }
    }
}
