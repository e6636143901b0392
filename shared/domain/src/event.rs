//! Events as producers publish them: CloudEvents 1.0, the legacy 0.1 object, or the hybrid of both (contract section 3.3).
//!
//! An event is stored as `CloudEvents` 1.0 plus the members that only the legacy form has, so that both forms can be written without loss.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::attributes::{self, LEGACY_NAMES};
use crate::config::Env;
use crate::error::{Invalid, Problems};
use crate::hops::{self, HOPS};
use crate::id::TenantId;
use crate::members::{
    MAX_DEPTH, MAX_MEMBERS, Members, as_text, json_string, minified, written, written_name,
};
use crate::rule::Rule;
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// Maximum number of events in one request or message. Our choice: with 100 webhooks these are 10,000 deliveries, which are queued in time.
pub const MAX_EVENTS: usize = 100;
/// Longest `id`, `source` and `type` of an event, in bytes. Our choice; the specification names no bound.
pub const MAX_ATTRIBUTE: usize = 1024;
/// Largest request body or message with events, in bytes. Our choice; the limit of SQS.
pub const MAX_TEXT: usize = 1024 * 1024;
/// Default for the largest event, in bytes of minified JSON. Our choice; the contract names no bound.
pub const MAX_EVENT: usize = 64 * 1024;
/// Configurable range of the largest event, in KiB. An event and its message must fit into the 256 KiB that every implementation of SQS and
/// the scheduler accept. A history row then fits the 400 KB of `DynamoDB`, even if it does not compress.
pub const EVENT_KIB: RangeInclusive<usize> = 1..=240;

/// Returns the deployment's maximum size of an event in bytes of minified JSON, from the variable `LARGEST_EVENT` (KiB).
pub fn largest_from_env(env: &mut Env) -> usize {
    env.within("LARGEST_EVENT", MAX_EVENT / 1024, &EVENT_KIB) * 1024
}

/// The extension attribute that is `true` on test events and absent on all others. A lower-case name of at most 20 letters with a
/// Boolean value, as `CloudEvents` 1.0 requires.
pub const TEST_ATTRIBUTE: &str = "anzoltest";
/// The `source` of test events. Producers cannot use it.
pub const TEST_SOURCE: &str = "anzol/test";
/// The `source` of operational events. Producers cannot use it.
pub const OPERATIONAL_SOURCE: &str = "anzol";

/// Legacy `extensions` members and the `CloudEvents` attributes they became.
pub(crate) const EXTENSIONS: [(&str, &str); 5] = [
    ("ownerId", "ownerid"),
    ("tenantId", "tenantid"),
    ("userId", "userid"),
    ("spaceId", "spaceid"),
    ("topLevelResourceId", "toplevelresourceid"),
];

/// A checked event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Event {
    /// The `CloudEvents` 1.0 object. In objects that Anzol wrote, `data` is last.
    pub(crate) attributes: Members,
    pub(crate) legacy: Legacy,
    head: Head,
    /// Parsed from `data` when a filter first needs it, because most events meet no filter.
    subject: OnceLock<Subject>,
}

/// The values that filters compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: Option<String>,
    pub(crate) space_id: Option<String>,
    pub(crate) top_level_resource_id: Option<String>,
    pub(crate) status: Option<String>,
}

/// The members that only the legacy form has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Legacy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_type_version: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extensions: Option<Members>,
}

/// The decoded attributes that decide which webhooks match.
#[derive(Debug, Clone, Default)]
struct Head {
    id: String,
    source: String,
    event_type: String,
    tenant: Option<TenantId>,
    user: Option<String>,
    owner: Option<String>,
    hops: u32,
}

/// The writer of an event. Newer rules apply to producers only, not to events that Anzol stored or queued, possibly in an older release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Producer,
    Us,
}

/// An event in the messages of our queues.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    cloud_event: Members,
    #[serde(default)]
    legacy: Legacy,
}

impl Event {
    /// Parses one event from its JSON text. A missing `time` becomes `now`.
    ///
    /// # Errors
    /// Every problem, with the name of its member (`eventId`, `type`, …), or `event` for the whole object.
    pub fn parse(json: &str, now: OffsetDateTime) -> Result<Self, Invalid> {
        Self::parse_within(json, now, MAX_EVENT)
    }

    /// Parses like [`Event::parse`], with another maximum size in bytes of minified JSON.
    fn parse_within(json: &str, now: OffsetDateTime, largest: usize) -> Result<Self, Invalid> {
        Self::read(json, now, Writer::Producer)?.bounded(largest)
    }

    fn bounded(self, largest: usize) -> Result<Self, Invalid> {
        if self.size() > largest {
            return Err(Invalid::one("event", Rule::EventTooLarge { max: largest }));
        }
        Ok(self)
    }

    /// Parses an event in binary mode (`CloudEvents` 1.0, HTTP protocol binding, section 3.1): headers such as `ce-id` are its attributes,
    /// passed here decoded and without `ce-`; the body is its data. A missing `time` becomes `now`. The event can have at most `largest`
    /// bytes as minified JSON.
    ///
    /// # Errors
    /// As [`Event::parse`]; fields have the names of the headers.
    pub fn from_binary<'a>(
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
        content_type: Option<&str>,
        body: &[u8],
        now: OffsetDateTime,
        largest: usize,
    ) -> Result<Self, Invalid> {
        let (mut members, mut problems) = (Members::default(), Problems::default());
        let own = ["datacontenttype", "data", "data_base64"];
        for (name, value) in attributes {
            if own.contains(&name) {
                problems.add(format!("ce-{name}"), Rule::AttributeNotHeader);
            } else if !attributes::is_name(name) || members.get(name).is_some() {
                problems.add(format!("ce-{name}"), Rule::AttributeHeader);
            } else {
                members.set(name, json_string(value));
            }
        }
        problems.take(attributes::check(&members).map_err(|invalid| invalid.within("ce-")));
        if let Some(content_type) = content_type {
            if !attributes::is_media_type(content_type) {
                problems.add("content-type", Rule::NotMediaType);
            }
            members.set("datacontenttype", json_string(content_type));
        }
        // Text in another character set stays bytes; `datacontenttype` names the character set.
        let (is_json, is_utf8, is_text) = content_type.map_or((true, true, true), |content_type| {
            let is_utf8 = attributes::is_utf8(content_type);
            (attributes::is_json(content_type), is_utf8, is_utf8 && attributes::is_text(content_type))
        });
        if is_json && !is_utf8 {
            problems.add("content-type", Rule::CharsetNotUtf8);
        }
        let body = if is_json { without_mark(body)? } else { body };
        match std::str::from_utf8(body) {
            Ok("") => {}
            Ok(text) if is_json => match serde_json::from_str::<Box<RawValue>>(text) {
                Ok(data) => {
                    let data = minified(data, MAX_DEPTH).map_err(|rule| Invalid::one("body", rule))?;
                    members.set("data", data);
                }
                Err(error) => problems.add("body", Rule::from(&error)),
            },
            Ok(text) if is_text => members.set("data", json_string(text)),
            Err(error) if is_json => {
                problems.add("body", Rule::NotUtf8 { position: error.valid_up_to() });
            }
            Ok(_) | Err(_) => members.set("data_base64", json_string(&STANDARD.encode(body))),
        }
        problems.finish(Some(()))?;
        let names = &["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"];
        Self::checked(members, Legacy::default(), names, now, Writer::Producer)?.bounded(largest)
    }

    /// Parses an event from the body of a delivery. The body counts one more hop than the event. There is no maximum size, because the
    /// hybrid repeats values.
    ///
    /// # Errors
    /// As [`Event::parse`], without the rules that apply to producers only.
    pub fn from_payload(json: &str, now: OffsetDateTime) -> Result<Self, Invalid> {
        let mut event = Self::read(json, now, Writer::Us)?;
        match event.head.hops.saturating_sub(1) {
            // The first delivery of the event, or one by a release that did not count hops.
            0 => drop(event.attributes.take(HOPS)),
            hops => event.attributes.set(HOPS, hops::json(hops)),
        }
        event.head.hops = event.head.hops.saturating_sub(1);
        Ok(event)
    }

    fn read(json: &str, now: OffsetDateTime, writer: Writer) -> Result<Self, Invalid> {
        let mut members = Members::parse(json).map_err(|rule| Invalid::one("event", rule))?;
        unset_nulls(&mut members);
        let mut problems = Problems::default();
        if writer == Writer::Producer {
            problems.take(attributes::check(&members));
        }
        let event = if members.get("specversion").is_some() {
            Self::from_cloudevent(members, now, writer)
        } else if members.get("cloudEventsVersion").is_some() {
            Self::from_legacy(members, now, writer)
        } else {
            Err(Invalid::one("specversion", Rule::SpecVersionRequired))
        };
        let event = problems.take(event);
        problems.finish(event)
    }

    fn from_cloudevent(mut members: Members, now: OffsetDateTime, writer: Writer) -> Result<Self, Invalid> {
        let mut legacy = Legacy::default();
        let is_hybrid = members.get("cloudEventsVersion").is_some();
        // The 1.0 attributes repeat the legacy members, except for the version of the type.
        legacy.event_type_version = members.take("eventTypeVersion");
        for name in LEGACY_NAMES {
            members.take(name);
        }
        if is_hybrid {
            legacy.extensions = members.take("extensions").map(|raw| read_extensions(&raw)).transpose()?;
            if let Some(extensions) = &legacy.extensions {
                agree(extensions, &members)?;
                adopt(extensions, &mut members, |_| true);
            }
        } else if let Some(Ok(own)) = members.get("extensions").map(read_extensions) {
            // This is the producer's own member, but receivers of the hybrid read these values from it.
            if writer == Writer::Producer {
                agree(&own, &members)?;
            }
            if let Ok(without_nulls) = serde_json::value::to_raw_value(&own) {
                members.set("extensions", without_nulls);
            }
            adopt(&own, &mut members, |name| attribute_of(name).is_some());
        }
        Self::checked(members, legacy, &["specversion", "id", "source", "type", "time"], now, writer)
    }

    fn from_legacy(mut members: Members, now: OffsetDateTime, writer: Writer) -> Result<Self, Invalid> {
        let mut problems = Problems::default();
        match members.take("cloudEventsVersion").as_deref().and_then(as_text).as_deref() {
            Some("0.1") => {}
            _ => problems.add("cloudEventsVersion", Rule::MustBe { value: "0.1" }),
        }
        let extensions = match members.take("extensions") {
            Some(raw) => problems.take(read_extensions(&raw)),
            None => Some(Members::default()),
        };
        let extensions = problems.finish(extensions)?;
        agree(&extensions, &members)?;

        let mut attributes = Members::default();
        attributes.set("specversion", json_string("1.0"));
        for (old, new) in [
            ("eventId", "id"),
            ("source", "source"),
            ("eventType", "type"),
            ("eventTime", "time"),
            ("contentType", "datacontenttype"),
            ("schemaURL", "dataschema"),
        ] {
            if let Some(value) = members.take(old) {
                attributes.set(new, value);
            }
        }
        // The hop count is an attribute and takes precedence over `extensions`.
        if let Some(hops) = members.take(HOPS) {
            attributes.set(HOPS, hops);
        }
        adopt(&extensions, &mut attributes, |_| true);
        let data = members.take("data");
        let legacy =
            Legacy { event_type_version: members.take("eventTypeVersion"), extensions: Some(extensions) };
        for (name, value) in members.iter() {
            if attributes.get(name).is_none() {
                attributes.set(name, value.to_owned());
            }
        }
        if let Some(data) = data {
            attributes.set("data", data);
        }
        Self::checked(
            attributes,
            legacy,
            &["cloudEventsVersion", "eventId", "source", "eventType", "eventTime"],
            now,
            writer,
        )
    }

    /// Checks the required attributes. `names` are the client's names of specversion, id, source, type and time.
    fn checked(
        mut attributes: Members,
        legacy: Legacy,
        names: &[&str; 5],
        now: OffsetDateTime,
        writer: Writer,
    ) -> Result<Self, Invalid> {
        let mut problems = Problems::default();
        let [specversion, id, source, event_type, time] = *names;
        match attributes.get("specversion").and_then(as_text) {
            Some(version) if version == "1.0" || version.starts_with("1.0.") => {}
            _ => problems.add(specversion, Rule::MustBe { value: "1.0" }),
        }
        attributes.set("specversion", json_string("1.0"));
        let mut needed = |name: &str, field: &str| {
            let text = attributes.get(name).and_then(as_text);
            let text = text.filter(|text| (1..=MAX_ATTRIBUTE).contains(&text.len()));
            if text.is_none() {
                problems.add(field, Rule::AttributeRequired { max: MAX_ATTRIBUTE });
            }
            text.unwrap_or_default()
        };
        let (id, source, event_type) =
            (needed("id", id), needed("source", source), needed("type", event_type));
        match attributes.get("time").map(as_text) {
            None => attributes.set("time", json_string(&rfc3339(now))),
            Some(Some(text)) if OffsetDateTime::parse(&text, &Rfc3339).is_ok() => {}
            Some(_) => {
                problems.add(time, Rule::NotDateTime);
            }
        }
        let tenant = attributes.get("tenantid").map(|raw| {
            as_text(raw)
                .ok_or_else(|| Invalid::one("tenantid", Rule::NotString))
                .and_then(|text| TenantId::parse(&text))
        });
        let tenant = problems.take(tenant.transpose());
        let optional = |name| attributes.get(name).and_then(as_text);
        let (user, owner) = (optional("userid"), optional("ownerid"));
        let hops = hops::read(attributes.get(HOPS));
        // The maximum applies to producers only. Events that Anzol wrote are not checked again.
        let hops = match writer {
            Writer::Producer => problems.take(hops.and_then(hops::check)).unwrap_or_default(),
            Writer::Us => hops.unwrap_or_default(),
        };
        let head = tenant.map(|tenant| Head { id, source, event_type, tenant, user, owner, hops });
        let head = problems.finish(head)?;
        Ok(Self { attributes, legacy, head, subject: OnceLock::new() })
    }

    /// Returns the producer's id of the event, unique together with [`Event::source`].
    #[must_use]
    pub fn id(&self) -> &str {
        &self.head.id
    }

    /// Returns the system that published the event.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.head.source
    }

    /// Returns the event type, e.g. `com.qlik.v1.app.created`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.head.event_type
    }

    /// Returns the tenant, if the event names one.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.head.tenant.as_ref()
    }

    /// Returns the user who caused the event, if it names one.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.head.user.as_deref()
    }

    /// Returns the user who owns the resource, if the event names one.
    #[must_use]
    pub fn owner_id(&self) -> Option<&str> {
        self.head.owner.as_deref()
    }

    /// Returns how often a delivery of the event was published again; see [`crate::hops`].
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.head.hops
    }

    /// Returns the trace, if the event names one (`CloudEvents` extension "distributed tracing").
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        let text = |name| self.attributes.get(name).and_then(as_text);
        TraceContext::parse(&text(TRACEPARENT)?, text(TRACESTATE).as_deref())
    }

    /// Returns whether the event is a test event; see [`crate::test_event`].
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.attributes.get(TEST_ATTRIBUTE).is_some_and(|value| value.get() == "true")
    }

    /// Returns whether the event has the attribute of test events, with any value.
    pub(crate) fn says_test(&self) -> bool {
        self.attributes.get(TEST_ATTRIBUTE).is_some()
    }

    /// Returns the values that filters compare. Older events have the resource in `data.attributes`, newer ones in `data` itself.
    pub(crate) fn subject(&self) -> &Subject {
        self.subject.get_or_init(|| {
            let data = self.attributes.get("data").map(members_of).unwrap_or_default();
            let inner = data.get("attributes").map(|raw| members_of(raw)).unwrap_or_default();
            let in_data = |name: &str| data.get(name).or(inner.get(name)).and_then(|raw| as_text(raw));
            let attribute = |name: &str| self.attributes.get(name).and_then(as_text);
            Subject {
                id: in_data("id"),
                space_id: in_data("spaceId").or_else(|| attribute("spaceid")),
                top_level_resource_id: attribute("toplevelresourceid"),
                status: in_data("status"),
            }
        })
    }

    /// Returns the event with `tenant` as its tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: TenantId) -> Self {
        self.attributes.set("tenantid", json_string(tenant.as_str()));
        self.head.tenant = Some(tenant);
        self
    }

    /// Returns the time of the event, from its `time` attribute.
    #[must_use]
    pub fn happened_at(&self) -> Option<OffsetDateTime> {
        let text: String = serde_json::from_str(self.attributes.get("time")?.get()).ok()?;
        OffsetDateTime::parse(&text, &Rfc3339).ok()
    }

    /// Returns the size of the event in a message, in bytes. As a payload the event has about the same size. A message is at most a few
    /// hundred bytes larger.
    #[must_use]
    pub fn size(&self) -> usize {
        let members = |members: &Members| -> usize {
            members.iter().map(|(name, value)| written_name(name) + written(value.get()) + 4).sum()
        };
        let version = self.legacy.event_type_version.as_ref().map_or(0, |version| written(version.get()));
        members(&self.attributes) + self.legacy.extensions.as_ref().map_or(0, members) + version
    }
}

/// Returns the routing attribute for a legacy extension. Compares names case-insensitively.
pub(crate) fn attribute_of(extension: &str) -> Option<&'static str> {
    EXTENSIONS.iter().map(|(_, new)| *new).find(|new| extension.eq_ignore_ascii_case(new))
}

/// Checks that the extensions repeat no routing attribute with a conflicting value.
fn agree(extensions: &Members, attributes: &Members) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let mut said: BTreeMap<_, _> =
        EXTENSIONS.iter().filter_map(|(_, new)| Some((*new, attributes.get(new)?))).collect();
    for (name, value) in extensions.iter() {
        let Some(attribute) = attribute_of(name) else { continue };
        let other = *said.entry(attribute).or_insert(value);
        if value.get() != other.get() && as_text(value).is_none_or(|text| as_text(other) != Some(text)) {
            problems.add(format!("extensions.{name}"), Rule::NotEqual { other: attribute });
        }
    }
    problems.finish(Some(()))
}

/// Adds the `wanted` extensions of the legacy form as attributes, unless an attribute of that name exists.
fn adopt(extensions: &Members, attributes: &mut Members, wanted: impl Fn(&str) -> bool) {
    for (name, value) in extensions.iter().filter(|(name, _)| wanted(name)) {
        let name = name.to_ascii_lowercase();
        // An extension that is not a valid attribute of CloudEvents 1.0 stays in `extensions` only.
        let fits = attributes::is_name(&name) && attributes::attribute_rule(value).is_none();
        if fits && attributes.get(&name).is_none() && name != "data" {
            attributes.set(&name, value.to_owned());
        }
    }
}

/// Formats a time for the `time` attribute.
#[expect(clippy::expect_used, reason = "no clock shows a year before 0, the only moments without this form")]
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a moment of this era has an RFC 3339 form")
}

/// Returns the members of a JSON object, or none for any other value.
fn members_of(raw: &RawValue) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn read_extensions(raw: &RawValue) -> Result<Members, Invalid> {
    let mut extensions = Members::parse(raw.get()).map_err(|rule| Invalid::one("extensions", rule))?;
    extensions.retain(|_, value| value.get() != "null");
    if extensions.len() > MAX_MEMBERS {
        return Err(Invalid::one("extensions", Rule::TooManyMembers { max: MAX_MEMBERS }));
    }
    Ok(extensions)
}

/// Removes attributes that are null, which means not set (`CloudEvents` 1.0.2, JSON format, section 2.2). `data` is not an attribute: null
/// data differs from no data (section 3.1.1).
fn unset_nulls(members: &mut Members) {
    members.retain(|name, value| name == "data" || value.get() != "null");
}

impl From<Event> for Wire {
    fn from(event: Event) -> Self {
        Self { cloud_event: event.attributes, legacy: event.legacy }
    }
}

impl TryFrom<Wire> for Event {
    type Error = Invalid;
    fn try_from(mut wire: Wire) -> Result<Self, Invalid> {
        unset_nulls(&mut wire.cloud_event);
        // The time is never used, because events in messages always have one.
        let names = &["specversion", "id", "source", "type", "time"];
        Self::checked(wire.cloud_event, wire.legacy, names, OffsetDateTime::UNIX_EPOCH, Writer::Us)
    }
}

/// Removes the byte order mark of UTF-8, which some editors and libraries add.
///
/// # Errors
/// The text begins with the byte order mark of UTF-16 or UTF-32.
pub fn without_mark(body: &[u8]) -> Result<&[u8], Invalid> {
    let encoding = match body {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        [0xef, 0xbb, 0xbf, text @ ..] | text => return Ok(text),
    };
    Err(Invalid::one("body", Rule::ByteOrderMark { encoding }))
}

/// Parses a request body or queue message: one event, or an array of events (the `CloudEvents` JSON batch format), each of at most
/// `largest` bytes as minified JSON.
///
/// # Errors
/// The problems of all events. Fields of an array are prefixed by the event's index, like `[2].type`.
pub fn parse_one_or_many(json: &str, now: OffsetDateTime, largest: usize) -> Result<Vec<Event>, Invalid> {
    if json.len() > MAX_TEXT {
        return Err(Invalid::one("body", Rule::MaxBytes { max: MAX_TEXT }));
    }
    let json = json.strip_prefix('\u{feff}').unwrap_or(json); // the byte order mark
    if !json.trim_start().starts_with('[') {
        return Event::parse_within(json, now, largest).map(|event| vec![event]);
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|error| Invalid::one("body", Rule::from(&error)))?;
    if items.is_empty() {
        return Err(Invalid::one("body", Rule::NoEvents));
    }
    if items.len() > MAX_EVENTS {
        return Err(Invalid::one("body", Rule::TooManyEvents { max: MAX_EVENTS }));
    }
    let mut problems = Problems::default();
    let events: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(index, raw)| {
            problems.take(
                Event::parse_within(raw.get(), now, largest)
                    .map_err(|invalid| invalid.within(&format!("[{index}]."))),
            )
        })
        .collect();
    problems.finish(Some(events))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);

    fn problem_fields(json: &str) -> Vec<String> {
        let Err(Invalid(problems)) = parse_one_or_many(json, NOW, MAX_EVENT) else {
            panic!("accepted {json}")
        };
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn cloudevent_is_parsed() {
        let json = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme","userid":"u","data":{"x":1}}"#;
        let event = Event::parse(json, NOW).unwrap();
        assert_eq!((event.id(), event.source(), event.event_type()), ("1", "s", "t"));
        assert_eq!(
            (event.tenant().unwrap().as_str(), event.user_id(), event.owner_id()),
            ("acme", Some("u"), None)
        );
        assert_eq!(event.attributes.get("time").unwrap().get(), "\"2026-11-24T10:00:00Z\"");
    }

    #[test]
    fn binary_mode_event_equals_structured_event() {
        let attributes =
            [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "t"), ("tenantid", "acme")];
        let read =
            |content_type, body: &[u8]| Event::from_binary(attributes, content_type, body, NOW, MAX_EVENT);
        let payload = |content_type, body: &[u8]| read(content_type, body).unwrap().payload(true);
        let head = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme""#;
        assert_eq!(
            payload(Some("application/json"), b"{ \"n\": 1.50 }"),
            format!(
                r#"{head},"datacontenttype":"application/json","data":{{"n":1.50}},"time":"2026-11-24T10:00:00Z"}}"#
            )
        );
        assert!(payload(None, b"[1]").contains(r#""data":[1]"#));
        assert!(payload(Some("application/vnd.x+json; charset=utf-8"), b"null").contains(r#""data":null"#));
        assert!(payload(Some("text/plain"), b"a \"b\"").contains(r#""data":"a \"b\"""#));
        assert!(payload(Some("image/png"), &[0xff, 0x00]).contains(r#""data_base64":"/wA=""#));
        assert!(!payload(None, b"").contains("\"data"));
        assert_eq!(read(None, b"{").unwrap_err().0[0].field, "body");
        assert!(read(Some("text/plain"), &vec![b'x'; MAX_EVENT]).is_err());

        let fields = |attributes: &[(&str, &str)]| -> Vec<String> {
            let invalid =
                Event::from_binary(attributes.iter().copied(), None, b"", NOW, MAX_EVENT).unwrap_err();
            invalid.0.into_iter().map(|problem| problem.field).collect()
        };
        assert_eq!(fields(&[("specversion", "1.0")]), ["ce-id", "ce-source", "ce-type"]);
        assert_eq!(fields(&[("specversion", "1.0"), ("a-b", "1"), ("data", "1")]), ["ce-a-b", "ce-data"]);
    }

    #[test]
    fn hybrid_event_has_the_tenant_of_either_form() {
        let both = |more: &str| {
            let json = format!(
                r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","cloudEventsVersion":"0.1"{more},
                    "extensions":{{"tenantId":"acme","userId":"u","spaceId":"sp"}}}}"#
            );
            Event::parse(&json, NOW)
        };
        let event = both("").unwrap();
        assert_eq!((event.tenant().unwrap().as_str(), event.user_id()), ("acme", Some("u")));
        assert_eq!(event.subject().space_id.as_deref(), Some("sp"));
        assert!(event.payload(true).contains(r#""spaceid":"sp""#));
        assert!(both(r#","tenantid":"acme""#).is_ok());
        assert!(both(r#","tenantid":"\u0061cme""#).is_ok());
        for (other, field) in [
            (r#","tenantid":"globex""#, "extensions.tenantId"),
            (r#","userid":"v""#, "extensions.userId"),
            (r#","userid":1"#, "extensions.userId"),
            (r#","spaceid":"elsewhere""#, "extensions.spaceId"),
        ] {
            assert_eq!(both(other).unwrap_err().0[0].field, field);
        }
    }

    #[test]
    fn repeated_extensions_must_agree() {
        let legacy = |extensions: &str| {
            let json = format!(
                r#"{{"cloudEventsVersion":"0.1","eventId":"1","source":"s","eventType":"t","extensions":{extensions}}}"#
            );
            Event::parse(&json, NOW)
        };
        assert!(legacy(r#"{"tenantid":"acme","tenantId":"acme"}"#).is_ok());
        for other in ["tenantid", "TenantId", "TENANTID"] {
            let error = legacy(&format!(r#"{{"{other}":"globex","tenantId":"acme"}}"#)).unwrap_err();
            assert_eq!(error.0[0].field, "extensions.tenantId");
        }
    }

    #[test]
    fn legacy_members_equal_the_matched_attributes() {
        let json = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme","eventId":"2","eventType":"other",
            "eventTime":"never","contentType":"x","cloudeventsversion":"9","extensions":{"tenantId":"acme","actor":{}}}"#;
        let event = Event::parse(json, NOW).unwrap();
        let hybrid: serde_json::Value = serde_json::from_str(&event.payload(false)).unwrap();
        assert_eq!((&hybrid["eventId"], &hybrid["eventType"]), (&"1".into(), &"t".into()), "{hybrid:#}");
        assert_eq!(hybrid["eventTime"], hybrid["time"]);
        assert_eq!(hybrid["extensions"], serde_json::json!({ "tenantId": "acme", "actor": {} }));
        let again = Event::from_payload(&event.payload(false), NOW).unwrap();
        assert_eq!(again.payload(false), event.payload(false));

        // Values that only the extensions have are matched, too, because receivers of the hybrid read them there.
        let json = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","extensions":{"UserId":"u","actor":"a"}}"#;
        let event = Event::parse(json, NOW).unwrap();
        assert_eq!(event.user_id(), Some("u"));
        assert!(
            event.payload(true).contains(r#""userid":"u""#)
                && !event.payload(true).contains(r#","actor":"a","#)
        );
    }

    #[test]
    fn text_over_max_size_is_refused() {
        assert_eq!(problem_fields(&" ".repeat(MAX_TEXT + 1)), ["body"]);
        assert_eq!(problem_fields(&"[".repeat(MAX_TEXT)), ["body"]);
    }

    #[test]
    fn missing_attribute_has_the_clients_name() {
        assert_eq!(problem_fields("{}"), ["specversion"]);
        assert_eq!(problem_fields(r#"{"specversion":"1.0"}"#), ["id", "source", "type"]);
        assert_eq!(problem_fields(r#"{"cloudEventsVersion":"0.1"}"#), ["eventId", "source", "eventType"]);
        assert_eq!(problem_fields(r#"{"cloudEventsVersion":"0.2"}"#), ["cloudEventsVersion"]);
        assert_eq!(
            problem_fields(
                r#"{"specversion":"2","id":1,"source":"s","type":"t","time":"now","tenantid":"a b"}"#
            ),
            ["specversion", "id", "time", "tenantid"]
        );
        assert_eq!(problem_fields("[]"), ["body"]);
        assert_eq!(problem_fields(&format!("[{}{{}}]", "{},".repeat(MAX_EVENTS))), ["body"]);
        assert_eq!(
            problem_fields(r#"[{"specversion":"1.0","id":"1","source":"s","type":"t"},{}]"#),
            ["[1].specversion"]
        );
        assert_eq!(problem_fields("nonsense"), ["event"]);
    }

    #[test]
    fn event_over_max_size_is_refused() {
        let event = |n| {
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":"{}"}}"#, "x".repeat(n))
        };
        assert!(Event::parse(&event(MAX_EVENT - 200), NOW).is_ok());
        assert_eq!(problem_fields(&event(MAX_EVENT)), ["event"]);
        // Deployments configure the maximum, which applies to one event and to several.
        for json in [event(MAX_EVENT), format!("[{}]", event(MAX_EVENT))] {
            assert!(parse_one_or_many(&json, NOW, 2 * MAX_EVENT).is_ok());
            assert!(parse_one_or_many(&json, NOW, MAX_EVENT).is_err());
        }
    }

    #[test]
    fn event_round_trips_through_the_queue() {
        let json = r#"{"cloudEventsVersion":"0.1","eventId":"1","source":"s","eventType":"t","eventTypeVersion":"2.0.0",
            "extensions":{"tenantId":"acme","odd":{"a":1}},"data":[1.0]}"#;
        let event = Event::parse(json, NOW).unwrap();
        let text = serde_json::to_string(&event).unwrap();
        let back: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert_eq!(back.tenant().unwrap().as_str(), "acme");
    }

    proptest! {
        #[test]
        fn any_text_parses_without_panic(text in "\\PC{0,60}|[\\[\\]{}\":,a0 ]{0,60}") {
            let _ = parse_one_or_many(&text, NOW, MAX_EVENT);
        }
    }
}
