//! Regular expressions for JSON Schema (ECMA-262), built from the constants that the checks use.

use crate::attributes::LEGACY_NAMES;
use crate::filter::{Attribute, STATUSES};
use crate::headers::{RESERVED, RESERVED_PREFIXES};
use crate::secret::SECRET_CHARS;
use crate::url::PRIVATE_SUFFIXES;

/// Control characters (Unicode's category Cc), inside a character class.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
/// White space (the Unicode property), inside a character class. Engines disagree on `\s`.
const SPACE: &str = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
/// The characters of a header name (RFC 9110, token) except `~`, inside a character class.
const TOKEN: &str = r"-A-Za-z0-9!#$%&'*+.^_`|";
/// The value of a header: visible ASCII, with spaces and tabs inside.
pub const HEADER_VALUE: &str = r"^(?:[!-~](?:[\t -~]*[!-~])?)?$";
/// A tenant or user ID of the identity provider.
pub const OUTSIDE_ID: &str = r#"^[!"$-~]+$"#;
/// The ID of a webhook, delivery or recovery.
pub const ID: &str = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
/// `CloudEvents` 1.0 and its compatible revisions.
pub const SPEC_VERSION: &str = r"^1\.0(?:\..*)?$";

/// A media type, with or without parameters.
pub const MEDIA_TYPE: &str = r#"^[-A-Za-z0-9!#$&^_.+]+/[-A-Za-z0-9!#$&^_.+]+(?: *; *[-A-Za-z0-9]+=(?:[-A-Za-z0-9!#$&^_.+]+|"[^";]*"))*$"#;
/// An absolute URI. The server accepts more than this pattern.
pub const URI: &str = r"^[A-Za-z][-A-Za-z0-9+.]*:(?:[-A-Za-z0-9._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$";
/// Padded base64.
pub const BASE64: &str =
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// Returns the pattern of a string attribute of an event.
#[must_use]
pub fn no_control() -> String {
    format!("^[^{CONTROL}]*$")
}

/// Returns the pattern of a member name of an event: an attribute, a member of the legacy form, or one of `more`.
#[must_use]
pub fn event_member(more: &[&str]) -> String {
    let older = LEGACY_NAMES.iter().chain(more).copied().collect::<Vec<_>>().join("|");
    format!("^(?:[a-z0-9]+|data_base64|{older})$")
}

/// Characters that change the direction of text, and the noncharacters of one UTF-16 unit, inside a character class.
const UNFIT: &str = r"\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff";
/// Invisible characters, inside a character class: formats, fillers, and the blocks that contain only marks. Incomplete: the server also
/// rejects text that consists only of the marks of a single script.
const INVISIBLE: &str = r"\u00ad\u0300-\u036f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u2060-\u206f\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffb";

/// Returns the pattern of a webhook name: no control characters, no direction overrides, at least one visible character.
#[must_use]
pub fn name() -> String {
    format!("^[^{CONTROL}{UNFIT}]*[^{CONTROL}{UNFIT}{SPACE}{INVISIBLE}][^{CONTROL}{UNFIT}]*$")
}

/// Returns the pattern of a description: no control characters except line feeds, no direction overrides.
#[must_use]
pub fn description() -> String {
    format!(r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f{UNFIT}]*$")
}

/// Returns the pattern of a secret or an empty string.
#[must_use]
pub fn secret() -> String {
    let (min, max) = (SECRET_CHARS.start(), SECRET_CHARS.end());
    format!("^(?:[^{CONTROL}]{{{min},{max}}})?$")
}

/// Returns the pattern of a webhook URL with an ASCII host name. The server also accepts names in other scripts, and stores their `xn--`
/// form.
#[must_use]
pub fn url() -> String {
    let scheme = any_case("https");
    let inner = "(?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
    let private = alternatives(PRIVATE_SUFFIXES);
    let port = "(?::(?:0*443)?)?";
    format!(
        r"^{scheme}://(?:[A-Za-z0-9_]{inner}\.)+(?!(?:{private})(?:[:/?]|$))[A-Za-z]{inner}{port}(?:[/?][^#\\{CONTROL}{SPACE}]*)?$"
    )
}

/// Returns the pattern of a header name that a webhook can set.
#[must_use]
pub fn header_name() -> String {
    format!("^{}[{TOKEN}~]+$", not_reserved())
}

/// Returns the pattern of a JSON Pointer to a header that a webhook can set. RFC 6901 writes `~` as `~0`.
#[must_use]
pub fn header_pointer(member: &str) -> String {
    format!("^/{member}/{}(?:[{TOKEN}]|~0)+$", not_reserved())
}

fn not_reserved() -> String {
    format!("(?!(?:{})$)(?!{})", alternatives(RESERVED), alternatives(RESERVED_PREFIXES))
}

/// Returns the pattern of a filter or an empty string. The grammar of [`crate::filter`] is regular.
#[must_use]
pub fn filter() -> String {
    let hex = "[0-9A-Fa-f]";
    // Surrogates only in pairs.
    let escape = format!(
        "\\\\(?:[\"\\\\/bfnrt]|u(?:[0-9A-CE-Fa-ce-f]{hex}{{3}}|[Dd][0-7]{hex}{{2}}|[Dd][89ABab]{hex}{{2}}\\\\u[Dd][C-Fc-f]{hex}{{2}}))"
    );
    let string = format!("\"(?:[^\"\\\\\\u0000-\\u001f]|{escape})*\"");
    let equal = any_case("eq");
    let differs = any_case("ne");
    let operator = format!("(?:{equal}|{differs})");
    let (statuses, others): (Vec<_>, Vec<_>) =
        Attribute::ALL.into_iter().partition(|attribute| *attribute == Attribute::Status);
    let names = |attributes: Vec<Attribute>| alternatives(attributes.into_iter().map(Attribute::name));
    let (status, others) = (names(statuses), names(others));
    let values = STATUSES.join("|");
    let comparison = format!("(?:(?:{others}) +{operator} *{string}|{status} +{operator} *\"(?:{values})\")");
    let join = alternatives(["and", "or"]);
    format!("^(?: *{comparison}(?: *(?:{join}) +{comparison})* *|[{SPACE}]*)$")
}

/// Returns a pattern that matches any of these words, in any case.
fn alternatives(words: impl IntoIterator<Item = &'static str>) -> String {
    words.into_iter().map(any_case).collect::<Vec<_>>().join("|")
}

/// Returns a pattern that matches a word in any case. JSON Schema has no flag for this.
fn any_case(word: &str) -> String {
    let mut pattern = String::new();
    for c in word.chars() {
        if c.is_ascii_alphabetic() {
            pattern.extend(['[', c.to_ascii_uppercase(), c.to_ascii_lowercase(), ']']);
        } else if c == '.' {
            pattern.push_str("\\.");
        } else {
            pattern.push(c);
        }
    }
    pattern
}
