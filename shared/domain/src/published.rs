//! Rules for what producers publish, beyond what we need of it: `CloudEvents` 1.0.2, core specification and JSON format. What is stored or
//! queued is not judged by them again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Invalid, Problems};
use crate::event::{Event, LEGACY_NAMES};
use crate::hops::HOPS;
use crate::members::{MAX_MEMBERS, Members, as_text};
use crate::operational;
use crate::test_event::{self, ATTRIBUTE};

/// The rule of [`is_media_type`].
pub(crate) const MEDIA_TYPE: &str = "must be a media type, like application/json";

/// Attributes whose values are judged where they are read, in either form.
const JUDGED: [&str; 11] = [
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

/// The way by which an event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A call of the API.
    Http,
    /// The events queue, on which we put events of our own, too. Whoever may send to it can forge them; but for what was delivered,
    /// which says so by its hops.
    Queue,
}

/// The response to published events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Published {
    /// The number of accepted events.
    #[schemars(with = "u64")]
    pub accepted: usize,
    /// The number of deliveries queued for them.
    #[schemars(with = "u64")]
    pub deliveries: usize,
}

/// Checks that an event says nothing that only we may say: types that begin with `anzol.`, `source` `anzol`, the mark of test events.
///
/// # Errors
/// Each attribute that is not the producer's to set.
pub fn check_reserved(event: &Event, way: Way) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let our_type = event.event_type().starts_with(operational::PREFIX);
    let our_source = [operational::SOURCE, test_event::SOURCE].contains(&event.source());
    if event.says_test() {
        problems.add(ATTRIBUTE, "must not be set: it marks test events, which are our own");
    }
    let news = way == Way::Queue && our_type && event.source() == operational::SOURCE;
    if news && event.hops() > 0 {
        problems.add(HOPS, "must not be set on an event of our own: it was delivered, and is not taken back");
    }
    if our_type && way == Way::Http {
        problems.add("type", "must not begin with `anzol.`: those events are our own");
    }
    if our_source && !news {
        problems.add("source", format!("must not be `{}`: those events are our own", event.source()));
    }
    problems.finish(Some(()))
}

/// Checks names and values of the members that an event came with, nulls left out; in either form, or both at once.
pub(crate) fn check(members: &Members) -> Result<(), Invalid> {
    if members.len() > MAX_MEMBERS {
        return Err(Invalid::one("event", format!("must have at most {MAX_MEMBERS} members")));
    }
    let is_legacy = members.get("specversion").is_none();
    let mut problems = Problems::default();
    for (name, value) in members.iter() {
        match name {
            "data_base64" => {
                if as_text(value).is_none_or(|text| STANDARD.decode(text).is_err()) {
                    problems.add(name, "must be a string of base64 (RFC 4648, section 4)");
                }
                if members.get("data").is_some() {
                    problems.add(name, "must not stand beside `data`: an event has one or the other");
                }
            }
            // Not an attribute of CloudEvents 1.0; but Qlik's data-integration events have an object of that name.
            "extensions" if value.get().starts_with('[') => problems.add(name, "must be an object"),
            "extensions" => drop(problems.take(tenant_in(value))),
            "data" => {}
            _ if !(is_name(name) || LEGACY_NAMES.contains(&name) || is_legacy && name == "schemaURL") => {
                problems.add(name, "must be a name of lower-case letters and digits, as all attributes have");
            }
            _ => {
                let is_string = value.get().starts_with('"');
                if let Some(rule) = attribute_rule(value).filter(|_| is_string || !JUDGED.contains(&name)) {
                    problems.add(name, rule);
                } else if let Some(rule) = rule_of(name, is_legacy, value) {
                    problems.add(name, rule);
                }
            }
        }
    }
    problems.finish(Some(()))
}

/// Checks that the tenant in `extensions` can be an attribute, if there is one that is a value. What cannot would be left where it is, and the
/// event be taken for the caller's own tenant.
fn tenant_in(extensions: &RawValue) -> Result<(), Invalid> {
    let members: Members = serde_json::from_str(extensions.get()).unwrap_or_default();
    let mut problems = Problems::default();
    for (name, value) in members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("tenantId")) {
        let is_value = !value.get().starts_with(['{', '[', 'n']);
        if let Some(rule) = attribute_rule(value).filter(|_| is_value) {
            problems.add(format!("extensions.{name}"), rule);
        }
    }
    problems.finish(Some(()))
}

/// The rule that one of the optional attributes breaks.
fn rule_of(name: &str, is_legacy: bool, value: &RawValue) -> Option<&'static str> {
    let broken = |holds: fn(&str) -> bool| as_text(value).is_none_or(|text| !holds(&text));
    match name {
        "subject" => {
            broken(|text| !text.is_empty()).then_some("must be a string that is not empty, or left out")
        }
        "datacontenttype" => broken(is_media_type).then_some(MEDIA_TYPE),
        "contentType" if is_legacy => broken(is_media_type).then_some(MEDIA_TYPE),
        "dataschema" | "schemaURL" => {
            broken(is_uri).then_some("must be a URI, like https://example.com/schema")
        }
        _ => None,
    }
}

/// Whether it can be the name of an attribute. (`CloudEvents` 1.0.2, "attribute naming convention".)
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The rule that a value breaks as an attribute, which is a string, a whole number of 32 bits or a Boolean. (`CloudEvents` 1.0.2, "type
/// system".) Unicode's noncharacters, which that forbids in strings, too, are let pass: they do no harm on the way.
pub(crate) fn attribute_rule(value: &RawValue) -> Option<&'static str> {
    let text = value.get();
    let broken = match text.bytes().next() {
        // As it stands, JSON has no control characters below U+0020.
        Some(b'"') if text.bytes().all(|b| b != b'\\' && b < 0x7f) => return None,
        Some(b'"') => as_text(value).is_none_or(|text| text.chars().any(char::is_control)),
        Some(b't' | b'f') => return None,
        Some(b'-' | b'0'..=b'9') => {
            return text.parse::<i32>().is_err().then_some("must be a whole number of 32 bits, if a number");
        }
        _ => return Some("must be a string, a whole number or a Boolean, as all attributes are"),
    };
    broken.then_some("must not contain control characters")
}

/// Whether a text is a media type with its parameters, if any. (RFC 2046; names as in RFC 9110, section 5.6.2.)
pub(crate) fn is_media_type(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().and_then(|kind| kind.split_once('/'));
    let named = |parameter: &str| parameter.split_once('=').is_some_and(|(name, _)| is_token(name));
    // A semicolon may be part of a quoted value: then what follows is not looked at.
    kind.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && (text.contains('"') || parts.all(|parameter| parameter.is_empty() || named(parameter)))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a text is an absolute URI. (RFC 3986; a fragment is let pass, as schemas are often named by one.)
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

/// Whether a media type says that the data is JSON: its subtype is `json` or ends with `+json`. (JSON format, section 3.1.1.)
pub(crate) fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// Whether data of this media type is text rather than bytes, so that it has one member whatever its bytes happen to be: `text`, XML, and
/// the few others that are. JSON is for [`is_json`].
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

/// Whether a text of this media type is UTF-8, of which ASCII is a part: it names no other character set.
#[must_use]
pub fn is_utf8(media_type: &str) -> bool {
    let mut parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}
