//! Rules for published events: who may publish them, reserved attributes, and `CloudEvents` 1.0.2 (core specification and JSON format).
//!
//! The rules apply to producers only, not to events that are already stored or queued.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::access::Caller;
use crate::error::{Invalid, Problems};
use crate::event::{Event, LEGACY_NAMES, OPERATIONAL_SOURCE, TEST_ATTRIBUTE, TEST_SOURCE};
use crate::event_type::OPERATIONAL_PREFIX;
use crate::hops::HOPS;
use crate::members::{MAX_MEMBERS, Members, as_text};
use crate::rule::Rule;

/// Attributes whose values [`Event`] checks when it parses them, in either form.
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

/// How an event is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the API.
    Http,
    /// Through the events queue, to which Anzol also sends operational events. Other senders can forge these, but cannot publish a delivery
    /// of one again: its hop count shows that it was delivered.
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

/// Checks that an event sets no reserved value: a type with the prefix `anzol.`, the sources `anzol` and `anzol/test`, or the attribute of
/// test events.
///
/// # Errors
/// One problem for each reserved value.
pub fn check_reserved(event: &Event, way: Way) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let our_type = event.event_type().starts_with(OPERATIONAL_PREFIX);
    let our_source = [OPERATIONAL_SOURCE, TEST_SOURCE].contains(&event.source());
    if event.says_test() {
        problems.add(TEST_ATTRIBUTE, Rule::TestAttributeReserved);
    }
    let operational = way == Way::Queue && our_type && event.source() == OPERATIONAL_SOURCE;
    if operational && event.hops() > 0 {
        problems.add(HOPS, Rule::EventDelivered);
    }
    if our_type && way == Way::Http {
        problems.add("type", Rule::EventTypeReserved);
    }
    if our_source && !operational {
        problems.add("source", Rule::SourceReserved { source: event.source().into() });
    }
    problems.finish(Some(()))
}

/// Why events of a caller are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The caller cannot publish events, or not for one of the tenants.
    Forbidden(Rule),
    /// Events set values that only Anzol can set, or have no tenant.
    Invalid(Invalid),
}

/// Returns the events of a request, each with a tenant. An event that names no tenant gets that of the caller.
///
/// # Errors
/// The caller cannot publish for the tenant of an event, an event has no tenant, or an event breaks [`check_reserved`]. Fields are prefixed
/// with the event's index, like `[2].type`.
pub fn authorize(caller: &Caller, events: Vec<Event>) -> Result<Vec<Event>, Refused> {
    if !caller.may_publish() {
        return Err(Refused::Forbidden(Rule::PublishRoleRequired));
    }
    let mut problems = Problems::default();
    let mut allowed = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let reserved = check_reserved(&event, Way::Http);
        if problems.take(reserved.map_err(|invalid| invalid.within(&format!("[{index}].")))).is_none() {
            continue;
        }
        let event = match (event.tenant(), &caller.tenant) {
            (None, Some(own)) => event.in_tenant(own.clone()),
            (None, None) => {
                problems.add(format!("[{index}].tenantid"), Rule::TenantRequired);
                continue;
            }
            (Some(_), _) => event,
        };
        if !event.tenant().is_some_and(|tenant| caller.may_publish_for(tenant)) {
            return Err(Refused::Forbidden(Rule::OtherTenant { index }));
        }
        allowed.push(event);
    }
    problems.finish(Some(allowed)).map_err(Refused::Invalid)
}

/// Checks the names and values of the members of an event in either form. Null members were removed before.
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
            // Not an attribute of CloudEvents 1.0, but Qlik's data-integration events have an object of this name.
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

/// Checks that a tenant in `extensions` is a valid attribute. Otherwise it would not become the event's tenant, and the event would belong
/// to the caller's tenant.
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

/// Returns whether a text is a valid attribute name. (`CloudEvents` 1.0.2, "attribute naming convention".)
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Returns the rule that an attribute value breaks, if any: values are strings, whole numbers of 32 bits or Booleans. (`CloudEvents` 1.0.2,
/// "type system".) Noncharacters in strings are accepted, although the specification forbids them, because they are harmless.
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

/// Returns whether a text is a media type with its parameters, if any. (RFC 2046; names as in RFC 9110, section 5.6.2.)
pub(crate) fn is_media_type(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().and_then(|kind| kind.split_once('/'));
    let named = |parameter: &str| parameter.split_once('=').is_some_and(|(name, _)| is_token(name));
    // A quoted value can contain semicolons, so its parameters are not checked.
    kind.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && (text.contains('"') || parts.all(|parameter| parameter.is_empty() || named(parameter)))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Returns whether a text is an absolute URI. (RFC 3986; a fragment is accepted, because many schema names have one.)
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

/// Returns whether a media type is JSON: its subtype is `json` or ends with `+json`. (JSON format, section 3.1.1.)
pub(crate) fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// Returns whether data of a media type is text rather than bytes: `text`, XML, and a few others. The type decides, not the bytes, so that
/// data of one type is always in the same member. For JSON see [`is_json`].
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

/// Returns whether a media type names no character set other than UTF-8 or its subset ASCII.
#[must_use]
pub fn is_utf8(media_type: &str) -> bool {
    let mut parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;
    use crate::access::Roles;
    use crate::id::{TenantId, UserId};

    const TENANTS: [Option<&str>; 3] = [None, Some("acme"), Some("globex")];

    fn tenant(name: Option<&str>) -> Option<TenantId> {
        name.map(|name| TenantId::parse(name).unwrap())
    }

    fn event(tenant: Option<&str>, reserved: bool) -> Event {
        let mut json = serde_json::json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "t" });
        if let Some(tenant) = tenant {
            json["tenantid"] = tenant.into();
        }
        if reserved {
            json["type"] = "anzol.webhook.disabled".into();
        }
        Event::parse(&json.to_string(), OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    fn any_caller() -> impl Strategy<Value = Caller> {
        let roles = any::<(bool, bool, bool)>();
        let roles = roles.prop_map(|(admin, publisher, platform)| Roles { admin, publisher, platform });
        (roles, proptest::sample::select(&TENANTS[..])).prop_map(|(roles, name)| Caller {
            tenant: tenant(name),
            user: UserId::parse("u").unwrap(),
            roles,
        })
    }

    proptest! {
        #[test]
        fn authorized_events_belong_to_an_allowed_tenant(
            caller in any_caller(),
            events in proptest::collection::vec((proptest::sample::select(&TENANTS[..]), any::<bool>()), 0..4),
        ) {
            let all: Vec<_> = events.iter().map(|(tenant, reserved)| event(*tenant, *reserved)).collect();
            let own = caller.tenant.clone();
            let of = |event: &Event| event.tenant().cloned().or(own.clone());
            let reserved = |index: usize| events[index].1;
            match authorize(&caller, all.clone()) {
                Ok(allowed) => {
                    prop_assert!(caller.may_publish());
                    prop_assert_eq!(allowed.len(), all.len());
                    for (index, (allowed, given)) in allowed.iter().zip(&all).enumerate() {
                        prop_assert!(!reserved(index));
                        prop_assert_eq!(allowed.tenant().cloned(), of(given));
                        prop_assert!(allowed.tenant().is_some_and(|tenant| caller.may_publish_for(tenant)));
                    }
                }
                Err(Refused::Forbidden(Rule::PublishRoleRequired)) => {
                    prop_assert!(caller.roles == Roles::default());
                }
                Err(Refused::Forbidden(rule)) => {
                    let foreign = |index: usize| {
                        !reserved(index) && of(&all[index]).is_some_and(|tenant| !caller.may_publish_for(&tenant))
                    };
                    let index = (0..all.len()).find(|index| foreign(*index)).unwrap();
                    prop_assert_eq!(rule, Rule::OtherTenant { index });
                }
                Err(Refused::Invalid(Invalid(problems))) => {
                    let expected = (0..all.len()).filter_map(|index| match of(&all[index]) {
                        _ if reserved(index) => Some((format!("[{index}].type"), Rule::EventTypeReserved)),
                        None => Some((format!("[{index}].tenantid"), Rule::TenantRequired)),
                        Some(_) => None,
                    });
                    let found = problems.into_iter().map(|problem| (problem.field, problem.rule));
                    prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                }
            }
        }

        #[test]
        fn caller_with_a_publish_right_may_publish(caller in any_caller()) {
            let some = TENANTS.iter().flatten().any(|name| caller.may_publish_for(&TenantId::parse(name).unwrap()));
            prop_assert!(!some || caller.may_publish());
        }
    }
}
