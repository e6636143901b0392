//! Validation rules of a webhook, and the errors that name the violated field.

use serde_json::{Value, json};

use crate::kit::*;

fn good() -> Value {
    json!({ "name": "n", "url": "https://hooks.receiver.test/n", "eventTypes": [APP_CREATED], "enabled": false })
}

/// Returns a valid request with one member changed, or removed by `null`.
fn with(member: &str, value: Value) -> Value {
    let mut request = good();
    if value.is_null() {
        request.as_object_mut().unwrap().remove(member);
    } else {
        request[member] = value;
    }
    request
}

#[test]
fn invalid_input_is_refused_with_the_field() {
    let hook = Hook::new(&context().admin, "valid", &[APP_CREATED], &json!({}));
    let before = context().admin.get(&hook.at()).unwrap().json().unwrap();
    for (wrong, field) in [
        (with("name", Value::Null), "name"),
        (with("name", json!("")), "name"),
        (with("name", json!(7)), "name"),
        (with("name", json!("n".repeat(513))), "name"),
        (with("description", json!("d".repeat(1025))), "description"),
        (with("url", Value::Null), "url"),
        (with("url", json!("http://hooks.receiver.test/n")), "url"),
        (with("url", json!("https://192.0.2.7/n")), "url"),
        (with("url", json!("https://127.0.0.1/n")), "url"),
        (with("url", json!("https://[2001:db8::1]/n")), "url"),
        (with("url", json!("https://2130706433/n")), "url"),
        (with("url", json!("https://localhost/n")), "url"),
        (with("url", json!("https://user:password@hooks.receiver.test/n")), "url"),
        (with("url", json!("hooks.receiver.test/n")), "url"),
        (with("url", json!(format!("https://hooks.receiver.test/{}", "u".repeat(2048)))), "url"),
        (with("secret", json!("s".repeat(31))), "secret"),
        (with("secret", json!("s".repeat(65))), "secret"),
        (with("headers", json!({ "Content-Type": "text/plain" })), "headers"),
        (with("headers", json!({ "qlik-signature": "mine" })), "headers"),
        (with("headers", json!({ "Webhook-Id": "mine" })), "headers"),
        (with("headers", json!({ "Host": "elsewhere" })), "headers"),
        (with("headers", json!({ "not a name": "x" })), "headers"),
        (with("headers", json!({ "X-Split": "a\r\nX-Evil: b" })), "headers"),
        (with("headers", json!({ "X-Same": "a", "x-same": "b" })), "headers"),
        (with("headers", json!({ "X-Large": "v".repeat(2048) })), "headers"),
        (with("headers", json!(["X-List"])), "headers"),
        (with("eventTypes", json!(["com.qlik.v1.app.imagined"])), "eventTypes"),
        (with("eventTypes", json!(APP_CREATED)), "eventTypes"),
        (with("level", json!("planet")), "level"),
        (with("enabled", json!("maybe")), "enabled"),
    ] {
        assert_refused(&context().admin.post(WEBHOOKS, &wrong).unwrap(), 400, field);
        assert_refused(&context().admin.put(&hook.at(), &wrong).unwrap(), 400, field);
    }
    let mut without_types = good();
    without_types["eventTypes"] = json!([]);
    without_types["enabled"] = json!(true);
    assert_refused(&context().admin.post(WEBHOOKS, &without_types).unwrap(), 400, "eventTypes");
    for not_an_object in [json!([]), json!("webhook"), json!(null)] {
        assert_refused(&context().admin.post(WEBHOOKS, &not_an_object).unwrap(), 400, "");
    }
    assert_eq!(
        context().admin.get(&hook.at()).unwrap().json().unwrap(),
        before,
        "a refused PUT changes nothing"
    );
}

#[test]
fn invalid_patch_result_is_refused() {
    let hook = Hook::new(&context().admin, "patched", &[APP_CREATED], &json!({}));
    let before = context().admin.get(&hook.at()).unwrap().json().unwrap();
    for (patch, field) in [
        (json!([{ "op": "replace", "path": "/url", "value": "http://hooks.receiver.test/n" }]), "url"),
        (json!([{ "op": "replace", "path": "/secret", "value": "short" }]), "secret"),
        (json!([{ "op": "remove", "path": "/name" }]), "name"),
        (
            json!([{ "op": "replace", "path": "/name", "value": "half done" },
                   { "op": "replace", "path": "/eventTypes", "value": ["nope"] }]),
            "eventTypes",
        ),
        (json!([{ "op": "replace", "path": "/enabled" }]), ""),
        (json!([{ "op": "test", "path": "/name", "value": "n" }]), ""),
        (json!([{ "op": "replace", "path": "/id", "value": "mine" }]), ""),
        (json!({ "name": "not a patch" }), ""),
    ] {
        assert_refused(&context().admin.patch(&hook.at(), &patch).unwrap(), 400, field);
        assert_eq!(context().admin.get(&hook.at()).unwrap().json().unwrap(), before, "after {patch}");
    }
}

#[test]
fn webhook_reads_back_without_its_secret() {
    let more = json!({ "description": "Ação", "secret": SECRET, "headers": { "X-Custom": "custom" } });
    let hook = Hook::new(&context().admin, "read-back", &[APP_CREATED, USER_DELETED], &more);
    let read = context().admin.get(&hook.at()).unwrap().expect_status(200).unwrap();
    assert!(!read.text.contains(SECRET), "{read}");
    let webhook = read.json().unwrap();
    assert_eq!(webhook, hook.created, "create and read agree");
    assert_eq!(webhook["url"], format!("{}{}", context().stack.receiver.url, hook.path));
    for (member, value) in [
        ("description", json!("Ação")),
        ("headers", json!({ "X-Custom": "custom" })),
        ("eventTypes", json!([APP_CREATED, USER_DELETED])),
        ("secretKeyAdded", json!(true)),
        ("enabled", json!(true)),
        ("level", json!("tenant")),
        ("origin", json!("api")),
    ] {
        assert_eq!(webhook[member], value, "{member} in {webhook:#}");
    }
    for member in ["createdAt", "updatedAt", "createdByUserId", "updatedByUserId"] {
        assert!(webhook[member].is_string(), "{member} in {webhook:#}");
    }

    // PUT replaces the webhook: omitted members are reset, `enabled` included.
    let put = context()
        .admin
        .put(&hook.at(), &json!({ "name": "new", "url": "https://hooks.receiver.test/new" }))
        .unwrap();
    let put = put.expect_status(200).unwrap().json().unwrap();
    assert_eq!(put, context().admin.get(&hook.at()).unwrap().json().unwrap());
    assert_eq!(
        (&put["name"], &put["enabled"], &put["secretKeyAdded"]),
        (&json!("new"), &json!(false), &json!(false))
    );
    assert_eq!(put["eventTypes"], json!([]), "{put:#}");

    context().admin.delete(&hook.at()).unwrap().expect_status(204).unwrap();
    assert_refused(&context().admin.get(&hook.at()).unwrap(), 404, "");
    assert_refused(&context().admin.delete(&hook.at()).unwrap(), 404, "");
}

#[test]
fn required_event_types_can_be_subscribed_to() {
    let listed = context()
        .admin
        .get(&format!("{WEBHOOKS}/event-types"))
        .unwrap()
        .expect_status(200)
        .unwrap()
        .json()
        .unwrap();
    let names: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|event_type| &event_type["name"]).collect();
    for event_type in EVENT_TYPES {
        assert!(names.contains(&&json!(event_type)), "{event_type} is not in {listed:#}");
    }
    Hook::new(&context().admin, "all-types", &EVENT_TYPES, &json!({ "enabled": false }));
}
