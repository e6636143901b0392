//! Names and values of the attributes of an event: `CloudEvents` 1.0.2 (core specification and JSON format), and the legacy names besides.
//!
//! They apply to producers only, not to events that are already stored or queued.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::error::{Invalid, Problems};
use crate::hops::HOPS;
use crate::members::{MAX_MEMBERS, Members, as_text};
use crate::rule::Rule;

/// Members of the legacy 0.1 form that have another name, or none, in `CloudEvents` 1.0. `extensions` is not one of them:
/// data-integration events also have a member of that name in the 1.0 form.
pub const LEGACY_NAMES: [&str; 6] =
    ["cloudEventsVersion", "contentType", "eventId", "eventTime", "eventTypeVersion", "eventType"];

/// Attributes whose values [`crate::Event`] checks when it reads them, in either form.
const CHECKED_LATER: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "tenantid",
    HOPS,
    "cloudEventsVersion",
    "eventId",
    "eventTime",
    "eventType",
];

/// Checks names and values of the members of an event in any form. Members that are null were removed.
pub(crate) fn check(members: &Members) -> Result<(), Invalid> {
    if members.len() > MAX_MEMBERS {
        return Err(Invalid::one("event", Rule::TooManyMembers { max: MAX_MEMBERS }));
    }
    let is_legacy = members.get("specversion").is_none();
    let mut problems = Problems::default();
    for (name, value) in members.iter() {
        match name {
            "data_base64" => {
                if as_text(value).is_none_or(|text| STANDARD.decode(text).is_err()) {
                    problems.add(name, Rule::NotBase64);
                }
                if members.get("data").is_some() {
                    problems.add(name, Rule::NotWith { other: "data" });
                }
            }
            // Not an attribute of CloudEvents 1.0, but Qlik's data-integration events have an object of that name.
            "extensions" if value.get().starts_with('[') => problems.add(name, Rule::NotObject),
            "extensions" => drop(problems.take(tenant_in(value))),
            "data" => {}
            _ if !(is_name(name) || LEGACY_NAMES.contains(&name) || is_legacy && name == "schemaURL") => {
                problems.add(name, Rule::AttributeName);
            }
            _ => {
                let is_string = value.get().starts_with('"');
                if (is_string || !CHECKED_LATER.contains(&name))
                    && let Some(rule) = attribute_rule(value)
                {
                    problems.add(name, rule);
                } else if let Some(rule) = rule_of(name, is_legacy, value) {
                    problems.add(name, rule);
                }
            }
        }
    }
    problems.finish(Some(()))
}

/// Checks that a tenant in `extensions` is a valid attribute. Otherwise it would not become the tenant of the event, and the event would
/// count as one of the caller's tenant.
fn tenant_in(extensions: &RawValue) -> Result<(), Invalid> {
    let members = Members::parse(extensions.get()).unwrap_or_default();
    let mut problems = Problems::default();
    for (name, value) in members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("tenantId")) {
        let is_value = !value.get().starts_with(['{', '[', 'n']);
        if is_value && let Some(rule) = attribute_rule(value) {
            problems.add(format!("extensions.{name}"), rule);
        }
    }
    problems.finish(Some(()))
}

/// Returns the rule that an optional attribute breaks, if any.
fn rule_of(name: &str, is_legacy: bool, value: &RawValue) -> Option<Rule> {
    let broken = |holds: fn(&str) -> bool| as_text(value).is_none_or(|text| !holds(&text));
    match name {
        "subject" => broken(|text| !text.is_empty()).then_some(Rule::Empty),
        "datacontenttype" => broken(is_media_type).then_some(Rule::NotMediaType),
        "contentType" if is_legacy => broken(is_media_type).then_some(Rule::NotMediaType),
        "dataschema" | "schemaURL" => broken(is_uri).then_some(Rule::NotUri),
        _ => None,
    }
}

/// Whether a text is a valid attribute name. (`CloudEvents` 1.0.2, "attribute naming convention".)
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Returns the rule that an attribute value breaks, if any: values are strings, whole numbers of 32 bits or Booleans. (`CloudEvents` 1.0.2,
/// "type system".) Noncharacters in strings are accepted although the specification forbids them, because they do no harm.
pub(crate) fn attribute_rule(value: &RawValue) -> Option<Rule> {
    let text = value.get();
    let broken = match text.bytes().next() {
        // JSON has no unescaped control characters below U+0020.
        Some(b'"') if text.bytes().all(|b| b != b'\\' && b < 0x7f) => return None,
        Some(b'"') => as_text(value).is_none_or(|text| text.chars().any(char::is_control)),
        Some(b't' | b'f') => return None,
        Some(b'-' | b'0'..=b'9') => {
            return text.parse::<i32>().is_err().then_some(Rule::NotInteger);
        }
        _ => return Some(Rule::AttributeValue),
    };
    broken.then_some(Rule::ControlCharacters)
}

/// Whether a text is a media type with its parameters, if any. (RFC 2046; names as in RFC 9110, section 5.6.2.)
pub(crate) fn is_media_type(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().and_then(|kind| kind.split_once('/'));
    let named = |parameter: &str| parameter.split_once('=').is_some_and(|(name, _)| is_token(name));
    // A semicolon may be part of a quoted value, so the parameters are not checked then.
    kind.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && (text.contains('"') || parts.all(|parameter| parameter.is_empty() || named(parameter)))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a text is an absolute URI. (RFC 3986; a fragment is accepted, because many schema names have one.)
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fine = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let mut escapes = rest.split('%').skip(1);
    scheme_fine
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b))
        && escapes.all(|after| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

/// Whether a media type is JSON: its subtype is `json` or ends with `+json`. (JSON format, section 3.1.1.)
pub(crate) fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// Whether data of a media type is text rather than bytes: `text`, XML, and a few others. The type decides, not the bytes, so that one type
/// always uses the same member. For JSON see [`is_json`].
pub(crate) fn is_text(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, subtype)) = kind.split_once('/') else { return false };
    let texts = [
        "xml",
        "yaml",
        "x-yaml",
        "javascript",
        "graphql",
        "sql",
        "toml",
        "x-ndjson",
        "jsonl",
        "x-www-form-urlencoded",
    ];
    kind == "text" || texts.contains(&subtype) || subtype.ends_with("+xml") || subtype.ends_with("+yaml")
}

/// Whether a media type names no other character set than UTF-8 or its subset ASCII.
#[must_use]
pub fn is_utf8(media_type: &str) -> bool {
    let mut parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}
