//! Payloads of deliveries: the hybrid object, with legacy names beside `CloudEvents` names, or pure `CloudEvents` 1.0.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::event::{EXTENSIONS, Event, attribute_of};
use crate::hops::HOPS;
use crate::members::{Members, json_string};

/// Legacy names whose values repeat an attribute.
const DERIVED: [&str; 5] = ["cloudEventsVersion", "contentType", "eventId", "eventTime", "eventType"];

/// Members that are serialized with this hop count in place of the one they contain.
struct WithHops<'a>(&'a Members, u32);

impl Serialize for WithHops<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(members, hops) = self;
        let (mut map, mut counted) = (serializer.serialize_map(None)?, false);
        for (name, value) in members.iter().filter(|(name, _)| *name != HOPS) {
            if !counted && ["data", "data_base64"].contains(&name) {
                map.serialize_entry(HOPS, hops)?;
                counted = true;
            }
            map.serialize_entry(name, value)?;
        }
        if !counted {
            map.serialize_entry(HOPS, hops)?;
        }
        map.end()
    }
}

impl Event {
    /// Returns the event as it was published, as minified JSON: pure `CloudEvents` 1.0, or the hybrid of contract section 3.3 (b).
    #[must_use]
    pub fn payload(&self, cloud_events: bool) -> String {
        if cloud_events { json(&self.attributes) } else { json(&self.hybrid()) }
    }

    /// Returns the body of a delivery: [`Event::payload`] with one more hop, before `data`. [`Event::from_payload`] parses it.
    #[must_use]
    pub fn outgoing(&self, cloud_events: bool) -> String {
        let hops = self.hops().saturating_add(1);
        if cloud_events {
            json(&WithHops(&self.attributes, hops))
        } else {
            json(&WithHops(&self.hybrid(), hops))
        }
    }

    /// Returns the hybrid: legacy names in the order of the contract's example, then `CloudEvents` names, then `data`.
    fn hybrid(&self) -> Members {
        let mut hybrid = Members::default();
        let attribute = |name: &str| self.attributes.get(name).map(RawValue::to_owned);
        let mut put = |name: &str, value: Option<Box<RawValue>>| {
            if let Some(value) = value {
                hybrid.set(name, value);
            }
        };
        put("cloudEventsVersion", Some(json_string("0.1")));
        put("source", attribute("source"));
        put("contentType", attribute("datacontenttype").or_else(|| Some(json_string("application/json"))));
        put("eventId", attribute("id"));
        put("eventTime", attribute("time"));
        put(
            "eventTypeVersion",
            self.legacy.event_type_version.clone().or_else(|| Some(json_string("1.0.0"))),
        );
        put("eventType", attribute("type"));
        put("extensions", Some(self.extensions()));
        for (name, value) in self.attributes.iter() {
            // A 1.0 event can have members with legacy names, which have no meaning there.
            if !["data", "extensions"].contains(&name) && !DERIVED.contains(&name) {
                put(name, Some(value.to_owned()));
            }
        }
        put("data", attribute("data"));
        hybrid
    }

    /// Returns the legacy `extensions`. Routing attributes override members of the same name.
    fn extensions(&self) -> Box<RawValue> {
        let own = || self.attributes.get("extensions").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let mut extensions: Members = self.legacy.extensions.clone().or_else(own).unwrap_or_default();
        let spellings: Vec<_> = extensions
            .iter()
            .filter_map(|(name, _)| Some((name.to_owned(), self.attributes.get(attribute_of(name)?)?)))
            .collect();
        for (name, value) in spellings {
            extensions.set(&name, value.to_owned());
        }
        for (old, new) in EXTENSIONS {
            if let Some(value) = self.attributes.get(new) {
                extensions.set(old, value.to_owned());
            }
        }
        raw(&extensions)
    }
}

const INFALLIBLE: &str = "members are names and values in JSON";

#[expect(
    clippy::expect_used,
    reason = "members are names and values in JSON, and writing to a string cannot fail"
)]
fn json(members: &impl Serialize) -> String {
    serde_json::to_string(members).expect(INFALLIBLE)
}

#[expect(clippy::expect_used, reason = "members are names and values in JSON")]
fn raw(members: &Members) -> Box<RawValue> {
    serde_json::value::to_raw_value(members).expect(INFALLIBLE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;
    use crate::id::TenantId;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);
    const SEED: &str = include_str!("../../../tests/events/app-deleted.json");

    fn payload(json: &str, cloud_events: bool) -> Value {
        serde_json::from_str(&Event::parse(json, NOW).unwrap().payload(cloud_events)).unwrap()
    }

    #[test]
    fn hybrid_keeps_legacy_members_and_adds_cloudevents_names() {
        let seed: Value = serde_json::from_str(SEED).unwrap();
        let hybrid = payload(SEED, false);
        for (name, value) in seed.as_object().unwrap() {
            assert_eq!(&hybrid[name], value, "{name}");
        }
        assert_eq!(hybrid["specversion"], "1.0");
        for (new, old) in [
            ("id", "eventId"),
            ("type", "eventType"),
            ("time", "eventTime"),
            ("datacontenttype", "contentType"),
        ] {
            assert_eq!(hybrid[new], seed[old], "{new}");
        }
        assert_eq!(hybrid["tenantid"], seed["extensions"]["tenantId"]);
        assert_eq!(hybrid["ownerid"], seed["extensions"]["ownerId"]);
    }

    #[test]
    fn pure_form_of_legacy_event_has_no_legacy_names() {
        let seed: Value = serde_json::from_str(SEED).unwrap();
        let pure = payload(SEED, true);
        assert_eq!(
            pure,
            json!({
                "specversion": "1.0", "id": seed["eventId"], "source": seed["source"], "type": seed["eventType"],
                "time": seed["eventTime"], "datacontenttype": "application/json",
                "tenantid": seed["extensions"]["tenantId"], "userid": seed["extensions"]["userId"],
                "ownerid": seed["extensions"]["ownerId"], "data": seed["data"],
            })
        );
    }

    #[test]
    fn hybrid_of_cloudevent_has_every_legacy_member() {
        let event = json!({"specversion":"1.0","id":"e1","source":"com.qlik/engine","type":"com.qlik.v1.app.created",
            "tenantid":"acme","spaceid":"s1","myown":"kept","data":{"id":"a"}});
        assert_eq!(payload(&event.to_string(), true)["myown"], "kept");
        let hybrid = payload(&event.to_string(), false);
        for (name, value) in
            json!({"cloudEventsVersion":"0.1","source":"com.qlik/engine","contentType":"application/json",
            "eventId":"e1","eventTime":"2026-11-24T10:00:00Z","eventTypeVersion":"1.0.0",
            "eventType":"com.qlik.v1.app.created","extensions":{"tenantId":"acme","spaceId":"s1"},
            "specversion":"1.0","id":"e1","myown":"kept","data":{"id":"a"}})
            .as_object()
            .unwrap()
        {
            assert_eq!(&hybrid[name], value, "{name}");
        }
    }

    #[test]
    fn extensions_member_of_cloudevent_is_kept_in_both_forms() {
        let event = json!({"specversion":"1.0","id":"e1","source":"s","type":"t","tenantid":"acme",
            "extensions":{"actor":{"id":"u"},"updates":[]}})
        .to_string();
        assert_eq!(payload(&event, true)["extensions"], json!({"actor":{"id":"u"},"updates":[]}));
        assert_eq!(
            payload(&event, false)["extensions"],
            json!({"actor":{"id":"u"},"updates":[],"tenantId":"acme"})
        );
    }

    #[test]
    fn hybrid_parsed_again_is_the_same_hybrid() {
        let first = Event::parse(SEED, NOW).unwrap().payload(false);
        assert_eq!(Event::parse(&first, NOW).unwrap().payload(false), first);
        assert_eq!(payload(&first, true), payload(SEED, true));
    }

    #[test]
    fn tenant_of_publisher_is_in_both_forms() {
        let event = json!({"specversion":"1.0","id":"e1","source":"s","type":"t"}).to_string();
        let event = Event::parse(&event, NOW).unwrap().in_tenant(TenantId::parse("acme").unwrap());
        let hybrid: Value = serde_json::from_str(&event.payload(false)).unwrap();
        assert_eq!(
            (&hybrid["tenantid"], &hybrid["extensions"]["tenantId"]),
            (&json!("acme"), &json!("acme"))
        );
    }
}
