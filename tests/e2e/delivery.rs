//! Delivery of an event: a signed request, a history row and a resend; and no delivery where none is due.

use anzol_tests::receiver::{Behavior, End, Received};
use serde_json::{Value, json};

use crate::kit::*;

/// Checks the contract's rules for a request on the bytes that arrived.
fn assert_signed_request(request: &Received, secret: &str) {
    let body = request.body().unwrap();
    assert_eq!(request.method, "POST", "{request:?}");
    assert_eq!(request.header("user-agent"), "Qlik Webhook", "{request:?}");
    assert_eq!(request.header("content-type"), "application/json", "{request:?}");
    assert_eq!(request.header("qlik-signature"), qlik_signature(secret, &body), "{request:?}");
    assert_eq!(request.header("content-length"), body.len().to_string(), "{request:?}");
    assert!(!request.headers.contains_key("transfer-encoding"), "{request:?}");
    let parsed: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.len(), parsed.to_string().len(), "not minified: {}", String::from_utf8_lossy(&body));

    // Standard Webhooks, with the bytes of the same secret as the key.
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert!(!id.is_empty(), "{request:?}");
    let age = request.time.unix_timestamp() - timestamp.parse::<i64>().unwrap_or_default();
    assert!((-2..60).contains(&age), "webhook-timestamp {timestamp} on {request:?}");
    let signature = standard_signature(secret, request, &body);
    assert_eq!(request.header("webhook-signature"), signature, "{request:?}");
}

/// Checks a history row's request and response against the receiver's record.
fn assert_row_records(row: &Value, hook: &Hook, request: &Received, answer: &Behavior) {
    assert_eq!(row["webhookId"], hook.id, "{row:#}");
    assert_eq!(row["status"], "success", "{row:#}");
    assert_eq!(row["request"]["url"], hook.created["url"], "{row:#}");
    assert_eq!(row["request"]["body"], body_json(request), "{row:#}");
    let recorded =
        row["request"]["headers"].as_object().unwrap_or_else(|| panic!("no request headers: {row:#}"));
    for (name, value) in recorded {
        assert_eq!(request.header(&name.to_ascii_lowercase()), value, "{name} in {row:#} but {request:?}");
    }
    for needed in ["content-type", "user-agent", "qlik-signature", "x-custom"] {
        assert!(recorded.keys().any(|name| name.eq_ignore_ascii_case(needed)), "{needed} is not in {row:#}");
    }
    assert_eq!(row["response"]["statusCode"], answer.status, "{row:#}");
    assert_eq!(row["response"]["body"], answer.body, "{row:#}");
    let answered =
        row["response"]["headers"].as_object().unwrap_or_else(|| panic!("no response headers: {row:#}"));
    assert!(
        answered.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-answer") && value == "yes"),
        "{row:#}"
    );
}

/// Follows one legacy event from `send` to a resend.
fn assert_delivered_recorded_resent(word: &str, send: impl FnOnce(&Value)) {
    let more = json!({ "secret": SECRET, "headers": { "X-Custom": "custom" } });
    let hook = Hook::new(&context().admin, word, &[APP_DELETED], &more);
    let answer = Behavior {
        status: 202,
        headers: [("X-Answer".to_owned(), "yes".to_owned())].into(),
        body: "obrigado".to_owned(),
        ..Behavior::default()
    };
    hook.receiver_behaves(&answer);

    let (event_id, event) = legacy_event(&context().acme);
    send(&event);

    // Request.
    let received = hook.await_received(&event_id, 1);
    let first = &received[0];
    assert_signed_request(first, SECRET);
    assert_eq!(first.header("x-custom"), "custom", "{first:?}");
    assert_eq!(format!("https://{}", first.host), context().stack.receiver.url, "{first:?}");
    let body = body_json(first);
    for (member, value) in event.as_object().unwrap() {
        assert_eq!(&body[member], value, "legacy {member} in {body:#}");
    }
    for (name, value) in [
        ("specversion", json!("1.0")),
        ("id", event["eventId"].clone()),
        ("type", event["eventType"].clone()),
        ("time", event["eventTime"].clone()),
        ("datacontenttype", event["contentType"].clone()),
        ("tenantid", event["extensions"]["tenantId"].clone()),
        ("userid", event["extensions"]["userId"].clone()),
        ("ownerid", event["extensions"]["ownerId"].clone()),
    ] {
        assert_eq!(body[name], value, "CloudEvents {name} in {body:#}");
    }

    // History.
    let rows = hook.await_rows(&event_id, 1, SOON);
    let row = &rows[0];
    assert_row_records(row, &hook, first, &answer);
    assert_eq!(row["eventType"], APP_DELETED, "{row:#}");
    assert_eq!(row["attempt"], 1, "{row:#}");
    assert!(row["durationMs"].as_u64().is_some_and(|ms| ms < 10_000), "{row:#}");
    let delivery_id = row["id"].as_str().unwrap_or_else(|| panic!("no id in {row:#}"));
    let at = format!("{}/deliveries/{delivery_id}", hook.at());
    let one = context().admin.get(&at).unwrap().expect_status(200).unwrap().json().unwrap();
    assert_eq!(&one, row, "a single read returns the row of the list");

    // Resend.
    let resent =
        context().admin.post_nothing(&format!("{at}/actions/resend")).unwrap().expect_status(201).unwrap();
    let resent = resent.json().unwrap();
    assert_ne!(resent["id"], row["id"], "{resent:#}");
    assert_eq!(resent["trigger"], "resend", "{resent:#}");
    let received = hook.await_received(&event_id, 2);
    let second = &received[1];
    assert_signed_request(second, SECRET);
    assert_eq!(second.body().unwrap(), first.body().unwrap());
    assert_eq!(
        second.header("webhook-id"),
        first.header("webhook-id"),
        "receivers recognize a repetition by its id"
    );
    assert_row_records(&resent, &hook, second, &answer);
    let rows = hook.await_rows(&event_id, 2, SOON);
    assert_eq!(rows[0], resent, "the newest row is the resent one");
    assert_eq!(&rows[1], row, "the first row is unchanged");
}

#[test]
fn event_over_http_is_signed_recorded_and_resent() {
    assert_delivered_recorded_resent("http", |event| {
        let counts = publish(&context().publisher, event);
        assert_eq!(counts["accepted"], 1, "{counts}");
        assert!(counts["deliveries"].as_u64() >= Some(1), "{counts}");
    });
}

#[test]
fn event_on_the_queue_is_signed_recorded_and_resent() {
    assert_delivered_recorded_resent("queue", |event| {
        context().aws.send_message(&context().stack.queues.events, &event.to_string()).unwrap();
    });
}

#[test]
fn cloudevents_on_the_queue_arrive_alone_and_in_a_batch() {
    let hook = Hook::new(&context().admin, "queue-ce", &[APP_EXPORTED], &json!({ "secret": SECRET }));
    let (alone, event) = cloud_event(APP_EXPORTED, &context().acme);
    context().aws.send_message(&context().stack.queues.events, &event.to_string()).unwrap();
    let (one, first) = cloud_event(APP_EXPORTED, &context().acme);
    let (two, second) = cloud_event(APP_EXPORTED, &context().acme);
    context().aws.send_message(&context().stack.queues.events, &json!([first, second]).to_string()).unwrap();
    for id in [alone, one, two] {
        assert_signed_request(&hook.await_received(&id, 1)[0], SECRET);
    }
}

#[test]
fn webhook_without_secret_sends_no_signature() {
    let hook = Hook::new(&context().admin, "unsigned", &[APP_EXPORTED], &json!({}));
    let (id, event) = cloud_event(APP_EXPORTED, &context().acme);
    publish(&context().publisher, &event);
    let received = hook.await_received(&id, 1);
    for absent in ["qlik-signature", "webhook-signature"] {
        assert!(!received[0].headers.contains_key(absent), "{absent} in {received:#?}");
    }
    assert!(!received[0].header("webhook-id").is_empty(), "{received:#?}");
}

#[test]
fn disabled_webhook_gets_no_events_until_enabled() {
    let sentinel = Hook::new(&context().admin, "sentinel", &[APP_PUBLISHED], &json!({}));
    let hook = Hook::new(&context().admin, "disabled", &[APP_PUBLISHED], &json!({ "enabled": false }));
    let (missed, event) = cloud_event(APP_PUBLISHED, &context().acme);
    publish(&context().publisher, &event);
    sentinel.await_received(&missed, 1);
    hook.assert_not_received(&missed);
    assert_eq!(hook.rows(&missed), Vec::<Value>::new());

    hook.patch("/enabled", &json!(true)).expect_status(204).unwrap();
    let (id, event) = cloud_event(APP_PUBLISHED, &context().acme);
    publish(&context().publisher, &event);
    hook.await_received(&id, 1);
    assert!(hook.received(&missed).is_empty(), "a missed event is not delivered later");

    hook.patch("/enabled", &json!(false)).expect_status(204).unwrap();
    let (missed, event) = cloud_event(APP_PUBLISHED, &context().acme);
    publish(&context().publisher, &event);
    sentinel.await_received(&missed, 1);
    hook.assert_not_received(&missed);
}

#[test]
fn webhook_gets_only_subscribed_event_types() {
    let created = Hook::new(&context().admin, "subscribed", &[USER_CREATED], &json!({}));
    let deleted = Hook::new(&context().admin, "not-subscribed", &[USER_DELETED], &json!({}));
    let (id, event) = cloud_event(USER_CREATED, &context().acme);
    publish(&context().publisher, &event);
    created.await_received(&id, 1);
    deleted.assert_not_received(&id);
}

#[test]
fn event_reaches_only_its_tenant() {
    let _alone = globex_alone();
    let acme = Hook::new(&context().admin, "of-acme", &[APP_DATA_UPDATED], &json!({}));
    let globex = Hook::new(&context().globex_admin, "of-globex", &[APP_DATA_UPDATED], &json!({}));
    let (of_acme, event) = cloud_event(APP_DATA_UPDATED, &context().acme);
    publish(&context().publisher, &event);
    let (of_globex, event) = cloud_event(APP_DATA_UPDATED, &context().globex);
    publish(&context().platform, &event);
    acme.await_received(&of_acme, 1);
    globex.await_received(&of_globex, 1);
    acme.assert_not_received(&of_globex);
    globex.assert_not_received(&of_acme);
}

#[test]
fn signature_matches_the_contract_example() {
    let body = br#"{"specversion":"1.0","id":"e1","source":"com.qlik/engine","type":"com.qlik.v1.app.deleted","data":{"id":"a1"}}"#;
    assert_eq!(body.len(), 110);
    assert_eq!(
        qlik_signature(SECRET, body),
        "04d0cb10af02069aabc4eb1b185d379574f9cc812bb3e4a346d4f6e1271e1805"
    );
}

#[test]
fn raw_answer_is_recorded_unchanged() {
    let hook = Hook::new(&context().admin, "raw", &[APP_DELETED], &json!({}));
    let answer = "HTTP/1.1 201 Yes\r\nx-ANSWER:raw\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsure";
    hook.receiver_writes(answer, End::Close);
    let (id, event) = cloud_event(APP_DELETED, &context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    assert_eq!((&row["status"], &row["response"]["statusCode"]), (&json!("success"), &json!(201)), "{row:#}");
    assert_eq!(row["response"]["headers"]["x-answer"], "raw", "{row:#}");
    assert_eq!(row["response"]["body"], "sure", "{row:#}");
}
