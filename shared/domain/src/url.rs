//! The URL of a webhook: https with a public domain name, never an IP address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::config::Env;
use crate::error::Invalid;
use crate::rule::Rule;

/// Longest normalized URL, in bytes (contract section 4).
pub const MAX_URL: usize = 2048;

/// Top-level names that are never public, including their subdomains (RFC 6761, RFC 6762, RFC 8375, and the common private suffixes).
pub const PRIVATE_SUFFIXES: [&str; 9] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "arpa"];

/// A URL that was checked when it was written: https, a fully qualified domain name, port 443, no user info, no fragment.
///
/// Deserialization does not check it again, so that a webhook that violates newer rules can still be read and fixed. Senders call
/// [`check`] first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Parses and checks a URL. The URL standard parses numbers in any notation (decimal, octal, hex) as IP addresses, so they are
    /// rejected.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let problem = |rule| Err(Invalid::one("url", rule));
        if text.len() > MAX_URL {
            return problem(TOO_LONG);
        }
        // The URL standard strips these without an error, so the stored URL would differ from the one that the client sent.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return problem(Rule::Spaces);
        }
        let Ok(url) = Url::parse(text) else {
            return problem(Rule::NotAbsoluteUrl);
        };
        if url.scheme() != "https" {
            return problem(Rule::NotHttps);
        }
        // The URL standard also corrects these without an error: missing and doubled slashes, backslashes, escapes in the name, an empty
        // user.
        let Some(authority) = authority(text) else {
            return problem(Rule::NotAbsoluteUrl);
        };
        if text.contains('\\') || authority.contains('%') {
            return problem(Rule::Backslashes);
        }
        if authority.contains('@') {
            return problem(Rule::UserInfo);
        }
        check(&url)?;
        Ok(Self(url))
    }

    /// Returns the parsed URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Returns the normalized URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The rule for the URL as written and for the normalized URL.
const TOO_LONG: Rule = Rule::UrlTooLong { max: MAX_URL };

/// Checks a URL: when a webhook is written, and again before each attempt.
///
/// # Errors
/// The rule that the URL breaks.
pub fn check(url: &Url) -> Result<(), Invalid> {
    let problem = |rule| Err(Invalid::one("url", rule));
    // The normalized URL can be longer than the original, and must be parseable again.
    if url.as_str().len() > MAX_URL {
        return problem(TOO_LONG);
    }
    if url.scheme() != "https" {
        return problem(Rule::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem(Rule::UserInfo);
    }
    if url.fragment().is_some() {
        return problem(Rule::Fragment);
    }
    if url.port().is_some() {
        return problem(Rule::OtherPort);
    }
    match url.host() {
        Some(Host::Domain(name)) => check_name(name),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => problem(Rule::IpAddress),
        None => problem(Rule::NoDomain),
    }
}

/// The host names of the deployment itself. A webhook that points to one could publish its deliveries again, in a loop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnHosts(Vec<String>);

impl OwnHosts {
    /// Returns the deployment's names, from the variable `ANZOL_OWN_HOSTS`.
    pub fn from_env(env: &mut Env) -> Self {
        env.or("ANZOL_OWN_HOSTS", Self::default())
    }

    /// Checks that a URL does not point to the deployment: when a webhook is written, and again before each attempt.
    ///
    /// # Errors
    /// The host is one of these names. Subdomains are allowed, because a domain may be shared.
    pub fn check(&self, url: &Url) -> Result<(), Invalid> {
        let name = url.host_str().unwrap_or_default();
        if self.0.iter().any(|own| own == name) {
            return Err(Invalid::one("url", Rule::OwnHost));
        }
        Ok(())
    }
}

impl FromStr for OwnHosts {
    type Err = Invalid;

    /// Parses names separated by commas, in any case. Empty names are ignored.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let names = text.split(',').map(|name| name.trim().trim_end_matches('.'));
        let names = names.filter(|name| !name.is_empty()).map(|name| match Host::parse(name) {
            Ok(Host::Domain(name)) => Ok(name),
            _ => Err(Invalid::one("hosts", Rule::NotDomainNames)),
        });
        names.collect::<Result<_, _>>().map(Self)
    }
}

/// Returns the part between `https://` and the path, as written.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("https") && !authority.is_empty()).then_some(authority)
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let problem = |rule| Err(Invalid::one("url", rule));
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return problem(Rule::DomainLabels);
    }
    // The URL standard accepts characters that are invalid in DNS names. Underscores are invalid in host names, but common in practice.
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.split('.').any(|label| !label.chars().all(fine) || label.starts_with('-') || label.ends_with('-'))
    {
        return problem(Rule::DomainCharacters);
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if PRIVATE_SUFFIXES.contains(&last) {
        return problem(Rule::DomainNotPublic);
    }
    if !name.contains('.') {
        return problem(Rule::DomainNotQualified);
    }
    if !last.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return problem(Rule::DomainNotPublic);
    }
    Ok(())
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
    fn h1_own_hosts_are_refused() {
        let own: OwnHosts =
            " hooks.Example.com., ,abc.execute-api.us-east-1.amazonaws.com,bücher.example".parse().unwrap();
        for (url, is_own) in [
            ("https://hooks.example.com/api/v1/events", true),
            ("https://HOOKS.example.com:443/", true),
            ("https://x.y.hooks.example.com/", false),
            ("https://abc.execute-api.us-east-1.amazonaws.com/api/v1/events", true),
            ("https://xn--bcher-kva.example/", true),
            ("https://bücher.example/", true),
            ("https://myhooks.example.com/", false),
            ("https://example.com/", false),
            ("https://hooks.example.com.evil.example/", false),
            ("https://abd.execute-api.us-east-1.amazonaws.com/", false),
        ] {
            let url = WebhookUrl::parse(url).unwrap();
            assert_eq!(own.check(url.as_url()).is_err(), is_own, "{url}");
            assert_eq!(OwnHosts::default().check(url.as_url()), Ok(()));
        }
        assert_eq!("".parse(), Ok(OwnHosts::default()));
        for bad in ["https://hooks.example.com", "127.0.0.1", "a b", "[::1]"] {
            assert!(bad.parse::<OwnHosts>().is_err(), "{bad}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
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
    fn disguised_address_or_private_name_is_refused() {
        for bad in [
            // Disguised numbers: octal, short, full-width, circled, mathematical; dots of other scripts.
            "https://017700000001/",
            "https://0x7f000001/",
            "https://0x7f.0.0.0x1/",
            "https://0/",
            "https://1/",
            "https://169.254.43518/",
            "https://127。0。0。1/",
            "https://127．0．0．1/",
            "https://１２７.0.0.1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
            "https://1\u{ad}27.0.0.1/",
            "https://0ₓ7f.1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[fe80::1%25eth0]/",
            "https://127.0.0.1./",
            "https://2130706433./",
            "https://%31%32%37.0.0.1/",
            "https://hooks.example.com.1/",
            // Disguised names.
            "https://LOCALHOST/",
            "https://localhost./",
            "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
            "https://local\u{ad}host/",
            "https://x.local\u{ad}host/",
            "https://x.ｌｏｃａｌｈｏｓｔ/",
            "https://x.localhost。/",
            "https://x.local%68ost/",
            "https://a.home.arpa/",
            "https://metadata.google.internal/",
            "https://ip-10-0-0-1.ec2.internal/",
            "https://kubernetes.default.svc.cluster.local/",
            "https://router.lan/",
            "https://x.intranet/",
            "https://x.corp/",
            "https://x.home/",
            "https://x.localdomain/",
            "https://1.0.0.127.in-addr.arpa/",
            // Punycode that decodes to a name with another encoding, or to nothing.
            "https://xn--localhost-.example.com/",
            "https://xn--127-.0.0.1/",
            "https://xn--/",
            "https://xn--a/",
            // Joiners where no script uses them.
            "https://a\u{200d}b.example.com/",
            "https://a\u{200c}b.example.com/",
            // URLs that look like one host and point to another.
            "https://hooks.example.com:80/",
            "https://hooks.example.com:0/",
            "https://hooks.example.com:65536/",
            "https://hooks.example.com:443@10.0.0.1/",
            "https://hooks.example.com&@10.0.0.1/",
            "https://10.0.0.1#@hooks.example.com/",
            "https://hooks.example.com\u{0}.evil.example/",
            "https://hooks.example.com\u{2028}/",
            "https://hooks.example.com\t/",
            "https://:@hooks.example.com/",
            "//hooks.example.com/",
            "file:///etc/passwd",
            "https+unix://hooks.example.com/",
        ] {
            assert!(WebhookUrl::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn stored_url_is_checked_when_used_not_when_read() {
        for refused in [
            "https://10.0.0.1/",
            "http://hooks.example.com/",
            "https://db.internal/",
            "https://a.example:8443/",
        ] {
            let stored: WebhookUrl = serde_json::from_str(&format!("{refused:?}")).unwrap();
            assert_eq!(stored.as_str(), refused);
            let problem = check(stored.as_url()).unwrap_err();
            assert_eq!(problem, WebhookUrl::parse(refused).unwrap_err(), "one set of rules");
        }
        assert!(serde_json::from_str::<WebhookUrl>("\"no url\"").is_err());
    }

    #[test]
    fn max_length_applies_to_the_normalized_url() {
        // Each of these bytes takes three when escaped.
        let long = |count: usize| format!("https://example.com/{}", "é".repeat(count));
        assert!(WebhookUrl::parse(&long(500)).is_err());
        let kept = WebhookUrl::parse(&long(338)).unwrap();
        assert_eq!(kept.as_str().len(), MAX_URL);
        assert_eq!(WebhookUrl::parse(kept.as_str()).unwrap(), kept);
    }

    proptest! {
        #[test]
        fn accepted_url_is_https_with_a_dotted_name_and_round_trips(text in "(https://)?\\PC{0,40}") {
            if let Ok(url) = WebhookUrl::parse(&text) {
                prop_assert_eq!(url.as_url().scheme(), "https");
                prop_assert!(url.as_url().domain().is_some_and(|name| name.contains('.')));
                prop_assert_eq!(check(url.as_url()), Ok(()));
                prop_assert_eq!(WebhookUrl::parse(url.as_str()).unwrap(), url);
            }
        }

        #[test]
        fn ipv4_address_in_any_spelling_is_refused(address: u32, style in 0..4_u8) {
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
