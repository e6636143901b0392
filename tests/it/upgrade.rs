//! Messages and rows during an upgrade (infra/docs/upgrade.md): this release reads the forms of every earlier release and writes forms that
//! they can read, except webhooks: releases from before 25 November 2026 cannot read their current form.
//!
//! Each form is kept here verbatim. When a form changes, the new one is added: old messages are read for as long as queues and the
//! scheduler hold them (14 days), rows for as long as there are webhooks.

use anzol_domain::health::DisablePolicy;
use anzol_domain::{DeliveryId, FailureKind, TenantId, Trigger, Webhook, WebhookId};
use anzol_queue::QueueMessage;
use anzol_runtime::now;
use serde_json::{Value, json};

use crate::kit::queues::{DEAD, SLOW_ARN};
use crate::kit::{Engine, TestContext};

/// An event in a message.
const EVENT: &str = r#"{"cloudEvent":{"specversion":"1.0","id":"e-1","source":"my/system","type":"com.qlik.v1.app.created","time":"2026-11-24T08:00:00Z","tenantid":"acme"},"legacy":{}}"#;

/// Messages of the deliveries queues, oldest form first; `WEBHOOK`, `DELIVERY` and `EVENT` are placeholders.
const MESSAGES: [&str; 2] = [
    // Before messages had the time of acceptance and the trace.
    r#"{"v":1,"task":{"tenantId":"acme","webhookId":"WEBHOOK","deliveryId":"DELIVERY","attempt":1,"trigger":"event","event":EVENT}}"#,
    r#"{"v":1,"task":{"tenantId":"acme","webhookId":"WEBHOOK","deliveryId":"DELIVERY","attempt":1,"trigger":"event","acceptedAt":"2026-11-24T08:00:00Z","trace":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},"event":EVENT}}"#,
];

/// A message for a recovery step.
const STEP: &str = r#"{"v":1,"recovery":{"tenantId":"acme","webhookId":"WEBHOOK","recoveryId":"DELIVERY"}}"#;

/// Details of a history row as compressed by the first release: a failed retry, with the time of the next one.
const DETAILS: &str = "ASi1L/1g6gAVBADkAzIyMzRodHRwXzExLTI0VDA4OjA1OjMwWnJlY2VpdmVyLnRlc3Qvb2xke2UtbXkvc3lzdGVtYXBwLlpcIm5vFQDuS6PX8NAkNogiOkArifFdCxNrgxRyAjhFRlTI9iErz+hADp6gsPG3LIXs5W7ZLjvFXAZrvYw9+DLnwBD34gwE";

fn filled(form: &str, webhook: WebhookId, delivery: DeliveryId) -> String {
    let with_ids = form.replace("WEBHOOK", &webhook.to_string()).replace("DELIVERY", &delivery.to_string());
    with_ids.replace("EVENT", EVENT)
}

/// Returns a webhook's item from before webhooks were JSON in a string, in DynamoDB's JSON. Its seal, if any, was part of `webhook`.
fn old_webhook_item(id: WebhookId) -> Value {
    let id = id.to_string();
    let text = |text: &str| json!({ "S": text });
    json!({
        "pk": text("TENANT#acme"), "sk": text(&format!("WEBHOOK#{id}")), "version": { "N": "1" },
        "webhook": { "M": {
            "id": text(&id), "tenantId": text("acme"), "name": text("Test"), "url": text("https://hooks.receiver.test/old"),
            "eventTypes": { "L": [text("com.qlik.v1.app.created")] }, "level": text("tenant"), "ownerId": text("acme-admin"),
            "headers": { "M": { "X-Key": text("value") } }, "enabled": { "BOOL": true }, "cloudEvents": { "BOOL": false },
            "origin": text("api"), "createdAt": text("2026-11-24T08:00:00Z"), "updatedAt": text("2026-11-24T08:00:00Z"),
            "createdBy": text("acme-admin"), "updatedBy": text("acme-admin"),
        } },
    })
}

/// Returns the webhook's item in the current form.
fn webhook_item(id: WebhookId) -> Value {
    let webhook = r#"{"id":"WEBHOOK","tenantId":"acme","name":"Test","url":"https://hooks.receiver.test/old","eventTypes":["com.qlik.v1.app.created"],"level":"tenant","ownerId":"acme-admin","headers":{"X-Key":"value"},"enabled":true,"cloudEvents":false,"origin":"api","createdAt":"2026-11-24T08:00:00Z","updatedAt":"2026-11-24T08:00:00Z","createdBy":"acme-admin","updatedBy":"acme-admin"}"#;
    json!({
        "pk": { "S": "TENANT#acme" }, "sk": { "S": format!("WEBHOOK#{id}") }, "version": { "N": "1" },
        "webhook": { "S": webhook.replace("WEBHOOK", &id.to_string()) },
    })
}

/// Returns a webhook's seal: part of `webhook` when that was a map, a separate attribute now.
fn seal() -> Value {
    json!({ "M": { "ciphertext": { "B": "c2VhbGVk" }, "hasSecret": { "BOOL": true } } })
}

async fn put(context: &TestContext, table: &str, item: Value) {
    context.dynamodb("PutItem", json!({ "TableName": table, "Item": item })).await;
}

/// Starts an engine with a webhook in its table that an earlier release wrote.
async fn upgraded() -> (Engine, WebhookId) {
    let (engine, id) = (Engine::start(DisablePolicy::default()).await, WebhookId::mint(now()));
    put(&engine.context, &engine.context.webhooks_table, old_webhook_item(id)).await;
    (engine, id)
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

#[tokio::test]
async fn messages_of_every_release_are_delivered() {
    let (engine, id) = upgraded().await;
    let bodies = MESSAGES.map(|form| filled(form, id, DeliveryId::mint(now())));
    assert_eq!(engine.handle(&bodies, SLOW_ARN).await, [""; 0]);
    assert_eq!(engine.received("old").await, bodies.len());
    assert_eq!(engine.queues.on(DEAD).len(), 0);
    let webhook = engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap();
    assert_eq!(engine.history(&webhook).await.len(), bodies.len());
}

#[tokio::test]
async fn history_of_every_release_is_shown() {
    let (engine, id) = upgraded().await;
    let delivery = DeliveryId::mint(now());
    let pk = json!({ "S": format!("acme#{id}") });
    let item = json!({
        "pk": pk, "sk": { "S": delivery.to_string() }, "failedOf": pk, "eventType": { "S": "com.qlik.v1.app.created" },
        "expiresAt": { "N": (now().unix_timestamp() + 600_000).to_string() }, "z": { "B": DETAILS },
    });
    put(&engine.context, &engine.context.deliveries_table, item).await;
    let webhook = engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap();
    let [row] = &engine.history(&webhook).await[..] else { panic!("one row") };
    assert_eq!((row.id, row.attempt, row.trigger, row.duration_ms), (delivery, 2, Trigger::Retry, 1234));
    assert_eq!(
        (row.failure, row.request.url.as_str()),
        (Some(FailureKind::HttpStatus), "https://hooks.receiver.test/old")
    );
    let response = row.response.as_ref().unwrap();
    assert_eq!((response.status_code, response.body.as_str()), (500, "no"));
}

#[tokio::test]
async fn written_forms_are_the_newest_ones_listed() {
    let (engine, id) = upgraded().await;
    // Messages are decoded and encoded again.
    let delivery = DeliveryId::mint(now());
    let newest = filled(MESSAGES[MESSAGES.len() - 1], id, delivery);
    let QueueMessage::Delivery(task) = anzol_queue::decode(&newest).unwrap() else { panic!("a delivery") };
    assert_eq!(anzol_queue::encode(&task), newest);
    let step = filled(STEP, id, delivery);
    let QueueMessage::Recovery(task) = anzol_queue::decode(&step).unwrap() else { panic!("a step") };
    assert_eq!(anzol_queue::encode_recovery(&task), step);
    // The webhook is deleted and created again.
    let webhook = engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap();
    let place = engine.context.webhook_key("acme", id);
    engine.context.dynamodb("DeleteItem", place.clone()).await;
    engine.context.webhooks.create(&webhook, 100).await.unwrap();
    assert_eq!(engine.context.dynamodb("GetItem", place).await["Item"], webhook_item(id));
}

#[tokio::test]
async fn earlier_webhook_is_rewritten_in_the_current_form() {
    let (engine, id) = upgraded().await;
    let mut old = old_webhook_item(id);
    old["webhook"]["M"]["sealed"] = seal();
    put(&engine.context, &engine.context.webhooks_table, old).await;
    let read = engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap();
    assert!(read.has_secret());

    let same = Webhook { version: 2, ..read.clone() };
    engine.context.webhooks.replace(&read, &same).await.unwrap();
    let mut new = webhook_item(id);
    new["version"] = json!({ "N": "2" });
    new["sealed"] = seal();
    assert_eq!(engine.context.dynamodb("GetItem", engine.context.webhook_key("acme", id)).await["Item"], new);
    assert_eq!(engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap(), same);

    let bare = Webhook { version: 3, sealed: None, ..same.clone() };
    engine.context.webhooks.replace(&same, &bare).await.unwrap();
    assert_eq!(engine.context.webhooks.get(&acme(), id).await.unwrap().unwrap(), bare);
    assert_eq!(
        engine.context.dynamodb("GetItem", engine.context.webhook_key("acme", id)).await["Item"]
            .get("sealed"),
        None
    );
}

#[tokio::test]
async fn members_of_a_later_release_are_ignored() {
    let (engine, id) = upgraded().await;
    let newest = filled(MESSAGES[MESSAGES.len() - 1], id, DeliveryId::mint(now()));
    let later = newest.replacen(r#""attempt":1"#, r#""later":{"a":1},"attempt":1"#, 1);
    assert_ne!(later, newest);
    let mut old = old_webhook_item(id);
    old["webhook"]["M"]["later"] = json!({ "S": "x" });
    let mut new = webhook_item(id);
    let body = new["webhook"]["S"].as_str().unwrap().replacen('{', r#"{"later":{"a":1},"#, 1);
    new["webhook"]["S"] = json!(body);
    for (count, mut item) in (1..).zip([old, new]) {
        item["later"] = json!({ "S": "x" });
        put(&engine.context, &engine.context.webhooks_table, item).await;
        assert_eq!(engine.handle(std::slice::from_ref(&later), SLOW_ARN).await, [""; 0]);
        assert_eq!(engine.received("old").await, count);
    }
}

#[tokio::test]
async fn message_of_a_later_release_stays_in_the_queue() {
    let (engine, id) = upgraded().await;
    let later = filled(MESSAGES[0], id, DeliveryId::mint(now())).replacen(r#""v":1"#, r#""v":2"#, 1);
    assert_eq!(engine.handle(&[later], SLOW_ARN).await, ["m0"]);
    assert_eq!((engine.received("old").await, engine.queues.on(DEAD).len()), (0, 0));
}
