//! Test events: example events of a webhook's types, for testing a receiver. An Anzol extension.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::error::Invalid;
use crate::event::{Event, TEST_ATTRIBUTE, TEST_SOURCE, rfc3339};
use crate::event_type::{self, RELOAD_FINISHED};
use crate::id::DeliveryId;
use crate::operational::OperationalEvent;
use crate::rule::Rule;
use crate::webhook::Webhook;

/// Returns the event type to test: the one of the webhook's types that `wanted` names, or the first if `wanted` is `None`.
///
/// # Errors
/// The webhook does not subscribe to `wanted`, or subscribes to no type.
pub fn choose<'a>(webhook: &'a Webhook, wanted: Option<&str>) -> Result<&'a str, Invalid> {
    let types = &webhook.spec.event_types;
    match wanted {
        None => {
            let first = types.first().map(String::as_str);
            first.ok_or_else(|| Invalid::one("eventTypes", Rule::NoEventTypes))
        }
        Some(wanted) => {
            let name = event_type::canonical(wanted);
            let found = types.iter().find(|known| *known == name).map(String::as_str);
            found.ok_or_else(|| Invalid::one("eventType", Rule::NotEventTypeOfWebhook))
        }
    }
}

/// Returns a test event of a type for a webhook. `id` makes the event unique, so that no receiver drops it as a duplicate.
///
/// # Errors
/// Never, because all parts are valid; the type is that of [`Event::parse`].
pub fn event(
    webhook: &Webhook,
    event_type: &str,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<Event, Invalid> {
    let event = json!({
        "specversion": "1.0",
        "id": format!("test-{id}"),
        "source": TEST_SOURCE,
        "type": event_type,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "tenantid": webhook.tenant_id,
        "userid": webhook.spec.owner_id,
        "ownerid": webhook.spec.owner_id,
        (TEST_ATTRIBUTE): true,
        "data": data(webhook, event_type),
    });
    Event::parse(&event.to_string(), now)
}

/// Example data of event types.
struct Example {
    /// Prefix of the types.
    types: &'static str,
    name: &'static str,
    /// A further member of `data` that is typical of these types.
    more: Option<(&'static str, &'static str)>,
}

const fn example(
    types: &'static str,
    name: &'static str,
    more: Option<(&'static str, &'static str)>,
) -> Example {
    Example { types, name, more }
}

/// Examples by prefix of the event type. The first match applies.
const EXAMPLES: [Example; 7] = [
    example(RELOAD_FINISHED, "Test application", Some(("status", "ok"))),
    example("com.qlik.v1.reload.", "Test reload", Some(("status", "SUCCEEDED"))),
    example("com.qlik.v1.user.", "Test user", Some(("email", "test@example.com"))),
    example("com.qlik.v1.api-key.", "Test API key", Some(("reason", "expired"))),
    example("com.qlik.v1.automation.", "Test automation", Some(("status", "finished"))),
    example("com.qlik.v1.di-projects.", "Test data task", Some(("projectId", "test-project"))),
    example("", "Test application", None),
];

fn data(webhook: &Webhook, event_type: &str) -> Value {
    if let Some(event) = OperationalEvent::find(event_type) {
        return json!({
            "id": webhook.id,
            "name": webhook.spec.name,
            "healthState": event.health_state(),
            "consecutiveFailures": webhook.health.failures,
        });
    }
    let mut data = json!({ "id": "00000000-0000-4000-8000-000000000000" });
    let example = EXAMPLES.iter().find(|example| event_type.starts_with(example.types));
    if let (Some(data), Some(Example { name, more, .. })) = (data.as_object_mut(), example) {
        data.insert("name".to_owned(), json!(name));
        data.extend(more.map(|(name, value)| (name.to_owned(), json!(value))));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_type::{EVENT_TYPES, OPERATIONAL_PREFIX};
    use crate::id::{TenantId, UserId, WebhookId};
    use crate::webhook::{Defaults, WebhookInput};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn webhook(event_types: &[&str]) -> Webhook {
        let user = UserId::parse("user-1").unwrap();
        let input = WebhookInput {
            name: Some("Orders".to_owned()),
            url: Some("https://hooks.example.com/x".to_owned()),
            event_types: Some(event_types.iter().map(|name| (*name).to_owned()).collect()),
            enabled: Some(false),
            ..WebhookInput::default()
        };
        let (spec, tenant) =
            (input.check(&Defaults::creation(&user)).unwrap().0, TenantId::parse("acme").unwrap());
        Webhook::new(WebhookId::mint(NOW), tenant, spec, user, NOW)
    }

    #[test]
    fn every_type_has_a_test_event_in_both_forms() {
        for known in EVENT_TYPES {
            let webhook = webhook(&[known.name]);
            let event = event(&webhook, known.name, DeliveryId::mint(NOW), NOW).unwrap();
            assert!(event.is_test() && event.event_type() == known.name);
            assert_eq!(event.tenant(), Some(&webhook.tenant_id));
            for cloud_events in [false, true] {
                let payload = event.outgoing(cloud_events);
                assert!(Event::from_payload(&payload, NOW).unwrap().is_test(), "also in a resend");
                let payload: Value = serde_json::from_str(&payload).unwrap();
                assert_eq!(payload[TEST_ATTRIBUTE], true);
                for member in ["id", "name"] {
                    assert!(
                        payload["data"][member].as_str().is_some_and(|text| !text.is_empty()),
                        "{payload}"
                    );
                }
            }
        }
    }

    #[test]
    fn operational_test_event_has_the_members_of_a_real_one() {
        for known in EVENT_TYPES.iter().filter(|known| known.name.starts_with(OPERATIONAL_PREFIX)) {
            let webhook = webhook(&[known.name]);
            let real = OperationalEvent::find(known.name).unwrap().to_event(&webhook, NOW).unwrap();
            let test = event(&webhook, known.name, DeliveryId::mint(NOW), NOW).unwrap();
            let data =
                |event: &Event| serde_json::from_str::<Value>(&event.payload(true)).unwrap()["data"].clone();
            assert_eq!(data(&test), data(&real), "{}", known.name);
        }
    }

    #[test]
    fn tested_type_is_one_of_the_webhooks_types() {
        let hook = webhook(&["com.qlik.v1.app.deleted", "com.qlik.v1.app.created"]);
        assert_eq!(choose(&hook, None).unwrap(), "com.qlik.v1.app.deleted");
        assert_eq!(choose(&hook, Some("com.qlik.v1.app.created")).unwrap(), "com.qlik.v1.app.created");
        assert_eq!(choose(&hook, Some("com.qlik.app.created")).unwrap(), "com.qlik.v1.app.created");
        for (hook, wanted, field) in [
            (&hook, Some("com.qlik.v1.app.exported"), "eventType"),
            (&hook, Some(""), "eventType"),
            (&webhook(&[]), Some("com.qlik.v1.app.created"), "eventType"),
            (&webhook(&[]), None, "eventTypes"),
        ] {
            assert_eq!(choose(hook, wanted).unwrap_err().0[0].field, field);
        }
    }

    #[test]
    fn anzoltest_with_other_values_is_not_a_test() {
        for value in ["false", "\"true\"", "1"] {
            let json =
                format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","anzoltest":{value}}}"#);
            assert!(!Event::parse(&json, NOW).unwrap().is_test(), "{value}");
        }
    }
}
