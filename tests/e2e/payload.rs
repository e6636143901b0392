//! Input and output forms of an event, and the publisher's response.

use serde_json::json;

use crate::kit::*;

const LEGACY_NAMES: [&str; 7] = [
    "cloudEventsVersion",
    "contentType",
    "eventId",
    "eventTime",
    "eventTypeVersion",
    "eventType",
    "extensions",
];

#[test]
fn cloudevent_is_sent_in_both_forms_by_default() {
    let hook = Hook::new(&context().admin, "hybrid", &[APP_CREATED], &json!({}));
    let (id, event) = cloud_event(APP_CREATED, &context().acme);
    publish(&context().publisher, &event);
    let body = body_json(&hook.await_received(&id, 1)[0]);
    for (name, value) in event.as_object().unwrap() {
        assert_eq!(&body[name], value, "{name} in {body:#}");
    }
    for (name, value) in [
        ("cloudEventsVersion", json!("0.1")),
        ("contentType", json!("application/json")),
        ("eventId", json!(id)),
        ("eventTime", event["time"].clone()),
        ("eventTypeVersion", json!("1.0.0")),
        ("eventType", json!(APP_CREATED)),
    ] {
        assert_eq!(body[name], value, "{name} in {body:#}");
    }
    assert_eq!(body["extensions"]["tenantId"], context().acme, "{body:#}");
    assert_eq!(body["extensions"]["userId"], "user-1", "{body:#}");
}

#[test]
fn cloudevent_webhook_gets_pure_cloudevents() {
    let more = json!({ "enableCloudEventDelivery": true });
    let hook = Hook::new(&context().admin, "pure", &[APP_CREATED, APP_DELETED], &more);
    let (id, event) = cloud_event(APP_CREATED, &context().acme);
    publish(&context().publisher, &event);
    let received = hook.await_received(&id, 1);
    assert_eq!(received[0].header("content-type"), "application/json", "{received:#?}");
    let mut body = body_json(&received[0]);
    assert_eq!(body.as_object_mut().unwrap().remove("anzolhop"), Some(json!(1)), "{body:#}");
    assert_eq!(body, event, "unchanged");

    let (id, event) = legacy_event(&context().acme);
    publish(&context().publisher, &event);
    let body = body_json(&hook.await_received(&id, 1)[0]);
    assert_eq!(body["specversion"], "1.0", "{body:#}");
    assert_eq!(body["type"], APP_DELETED, "{body:#}");
    assert_eq!(body["time"], event["eventTime"], "{body:#}");
    assert_eq!(body["tenantid"], context().acme, "{body:#}");
    assert_eq!(body["data"], event["data"], "{body:#}");
    for name in LEGACY_NAMES {
        assert!(body.get(name).is_none(), "{name} in {body:#}");
    }
}

#[test]
fn publisher_gets_event_and_delivery_counts() {
    let _alone = globex_alone();
    let both = Hook::new(&context().globex_admin, "both", &[APP_CREATED, APP_EXPORTED], &json!({}));
    let one = Hook::new(&context().globex_admin, "one", &[APP_CREATED], &json!({}));
    let (created, first) = cloud_event(APP_CREATED, &context().globex);
    let (exported, second) = cloud_event(APP_EXPORTED, &context().globex);
    let (unmatched, third) = cloud_event(APP_RELOAD_FINISHED, &context().globex);

    let counts = publish(&context().platform, &json!([first, second, third]));
    assert_eq!(counts["accepted"], 3, "{counts}");
    assert_eq!(counts["deliveries"], 3, "{counts}");
    both.await_received(&created, 1);
    both.await_received(&exported, 1);
    one.await_received(&created, 1);
    one.assert_not_received(&exported);
    assert!(both.received(&unmatched).is_empty() && one.received(&unmatched).is_empty());

    let (_, unmatched) = cloud_event(APP_RELOAD_FINISHED, &context().globex);
    let counts = publish(&context().platform, &unmatched);
    assert_eq!(counts["accepted"], 1, "{counts}");
    assert_eq!(counts["deliveries"], 0, "{counts}");
}

#[test]
fn invalid_event_is_refused_with_a_reason() {
    let (_, event) = cloud_event(APP_CREATED, &context().acme);
    let without = |member: &str| {
        let mut event = event.clone();
        event.as_object_mut().unwrap().remove(member);
        event
    };
    for (wrong, named) in [
        (without("id"), "id"),
        (without("type"), "type"),
        (without("source"), "source"),
        (without("specversion"), "specversion"),
        (json!("not an event"), ""),
        (json!(7), ""),
    ] {
        let answer = context().publisher.post_as(EVENTS, "application/cloudevents+json", &wrong).unwrap();
        assert_refused(&answer, 400, named);
    }
    let batch = json!([event, without("id")]);
    let answer = context().publisher.post_as(EVENTS, "application/cloudevents-batch+json", &batch).unwrap();
    assert_refused(&answer, 400, "id");
}
