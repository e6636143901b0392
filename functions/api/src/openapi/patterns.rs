//! Regular expressions of the document (ECMA-262, as JSON Schema has them), made from the constants the checks themselves use.

use anzol_domain::event::LEGACY_NAMES;
use anzol_domain::filter::{Attribute, STATUSES};
use anzol_domain::headers::{RESERVED, RESERVED_PREFIXES};
use anzol_domain::secret::SECRET_CHARS;
use anzol_domain::url::PRIVATE_SUFFIXES;

/// Control characters (Unicode's category Cc), inside a character class.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
/// White space (Unicode's property), inside a character class; `\s` means something else in each engine.
const SPACE: &str = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
/// The characters of a header's name (RFC 9110, token) but for `~`, inside a character class.
const TOKEN: &str = r"-A-Za-z0-9!#$%&'*+.^_`|";
/// The value of a header: visible ASCII, with spaces and tabs inside.
pub(crate) const HEADER_VALUE: &str = r"^(?:[!-~](?:[\t -~]*[!-~])?)?$";
/// A tenant or a user, as the identity provider names it.
pub(crate) const OUTSIDE_ID: &str = r#"^[!"$-~]+$"#;
/// A webhook or a delivery.
pub(crate) const ID: &str = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
/// CloudEvents 1.0, and what would be compatible with it.
pub(crate) const SPEC_VERSION: &str = r"^1\.0(?:\..*)?$";

/// A media type, with parameters or without.
pub(crate) const MEDIA_TYPE: &str = r#"^[-A-Za-z0-9!#$&^_.+]+/[-A-Za-z0-9!#$&^_.+]+(?: *; *[-A-Za-z0-9]+=(?:[-A-Za-z0-9!#$&^_.+]+|"[^";]*"))*$"#;
/// An absolute URI. The server lets more of them through.
pub(crate) const URI: &str =
    r"^[A-Za-z][-A-Za-z0-9+.]*:(?:[-A-Za-z0-9._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$";
/// Bytes in base64, with its padding.
pub(crate) const BASE64: &str =
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// A string that is an attribute of an event.
pub(crate) fn no_control() -> String {
    format!("^[^{CONTROL}]*$")
}

/// The name of a member that an event may have: of an attribute, of the older form, or one of `more`.
pub(crate) fn event_member(more: &[&str]) -> String {
    let older = LEGACY_NAMES.iter().chain(more).copied().collect::<Vec<_>>().join("|");
    format!("^(?:[a-z0-9]+|data_base64|{older})$")
}

/// Characters that turn text round, and noncharacters as far as one unit of UTF-16 goes, inside a character class.
const UNFIT: &str = r"\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff";
/// Characters that nobody sees by themselves, inside a character class: formats, fillers, and the blocks of nothing but marks. Not all: marks
/// of single scripts are refused too when there is nothing else.
const INVISIBLE: &str = r"\u00ad\u0300-\u036f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u2060-\u206f\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffb";

/// A name: no control characters, nothing that turns text round, and something to see.
pub(crate) fn name() -> String {
    format!("^[^{CONTROL}{UNFIT}]*[^{CONTROL}{UNFIT}{SPACE}{INVISIBLE}][^{CONTROL}{UNFIT}]*$")
}

/// A description: no control characters but line ends, and nothing that turns text round.
pub(crate) fn description() -> String {
    format!(r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f{UNFIT}]*$")
}

/// A secret, or none.
pub(crate) fn secret() -> String {
    let (min, max) = (SECRET_CHARS.start(), SECRET_CHARS.end());
    format!("^(?:[^{CONTROL}]{{{min},{max}}})?$")
}

/// A URL that webhooks may post to. The name in ASCII: the server also takes names in other scripts, by their `xn--` form.
pub(crate) fn url() -> String {
    let scheme = any_case("https");
    let inner = "(?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
    let private = alternatives(PRIVATE_SUFFIXES);
    let port = "(?::(?:0*443)?)?";
    format!(
        r"^{scheme}://(?:[A-Za-z0-9_]{inner}\.)+(?!(?:{private})(?:[:/?]|$))[A-Za-z]{inner}{port}(?:[/?][^#\\{CONTROL}{SPACE}]*)?$"
    )
}

/// The name of a header that webhooks may set.
pub(crate) fn header_name() -> String {
    format!("^{}[{TOKEN}~]+$", not_reserved())
}

/// A JSON Pointer to a header that webhooks may set; RFC 6901 writes `~` as `~0`.
pub(crate) fn header_pointer(member: &str) -> String {
    format!("^/{member}/{}(?:[{TOKEN}]|~0)+$", not_reserved())
}

fn not_reserved() -> String {
    format!("(?!(?:{})$)(?!{})", alternatives(RESERVED), alternatives(RESERVED_PREFIXES))
}

/// A filter, or none: the grammar of [`anzol_domain::filter`], which is regular.
pub(crate) fn filter() -> String {
    let hex = "[0-9A-Fa-f]";
    // Halves of surrogate pairs only as pairs.
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

/// Any of these words, in any case.
fn alternatives(words: impl IntoIterator<Item = &'static str>) -> String {
    words.into_iter().map(any_case).collect::<Vec<_>>().join("|")
}

/// A word in any case: there is no flag for that in JSON Schema.
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
