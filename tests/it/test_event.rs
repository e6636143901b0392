//! Test events: sent at once by `actions/test`, signed and recorded like any other event.

use anzol_domain::health::DisablePolicy;
use anzol_domain::{Health, Lane};
use anzol_tests::aws::hmac_sha256;
use serde_json::{Value, json};

use crate::kit::queues::SLOW;
use crate::kit::{Answer, Api, As, Engine, SECRET, webhook};

const BASES: [&str; 2] = ["/api/v1/webhooks", "/api/core/webhooks"];
const CREATED: &str = "com.qlik.v1.app.created";

async fn start() -> (Engine, Api) {
    let engine = Engine::start(DisablePolicy::default()).await;
    let api = engine.context.api(&engine.egress);
    (engine, api)
}

async fn test(api: &Api, at: &str, content_type: Option<&str>, body: Option<Value>) -> Answer {
    let path = format!("{at}/actions/test");
    api.exchange(Some(&As::admin("acme")), "POST", &path, content_type, body).await
}

#[tokio::test]
async fn test_event_is_signed_marked_and_recorded() {
    let (engine, api) = start().await;
    let hook = engine.create("tested").await;
    let mut rows = Vec::new();
    for base in BASES {
        let at = format!("{base}/{}", hook.id);
        for (content_type, body) in [
            (None, None),
            (Some("text/plain"), None),
            (Some("application/json"), Some(json!({}))),
            (Some("application/json"), Some(json!({ "eventType": null }))),
            (Some("application/json"), Some(json!({ "eventType": CREATED }))),
            (Some("application/json"), Some(json!({ "eventType": "com.qlik.app.created" }))),
        ] {
            let answer = test(&api, &at, content_type, body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let row = answer.body;
            assert_eq!(
                (&row["trigger"], &row["status"], &row["attempt"], &row["eventType"]),
                (&json!("test"), &json!("success"), &json!(1), &json!(CREATED))
            );
            let path = format!("{at}/deliveries/{}", row["id"].as_str().unwrap());
            assert_eq!(api.call(Some(&As::admin("acme")), "GET", &path, None).await, (200, row.clone()));
            rows.push(row);
        }
    }
    insta::assert_json_snapshot!("test_event_row", rows[0], {
        ".id" => "[id]", ".webhookId" => "[id]", ".triggeredAt" => "[time]", ".durationMs" => "[ms]",
        ".request.headers[\"webhook-id\"]" => "[id]", ".request.headers[\"webhook-timestamp\"]" => "[time]",
        ".request.headers[\"webhook-signature\"]" => "[signature]", ".request.headers[\"Qlik-Signature\"]" => "[signature]",
        ".request.headers.traceparent" => "[trace]", ".request.body.id" => "[id]", ".request.body.eventId" => "[id]",
        ".request.body.time" => "[time]", ".request.body.eventTime" => "[time]", ".request.body.data" => "[data]",
        ".response.headers.date" => "[time]",
    });
    let requests = engine.requests("tested").await;
    assert_eq!(requests.len(), rows.len());
    let secret = SECRET.as_bytes();
    for (request, row) in requests.iter().zip(&rows) {
        let body = request.body().unwrap();
        assert_eq!(request.header("qlik-signature"), hex::encode(hmac_sha256(secret, &body)));
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event, row["request"]["body"]);
        assert_eq!((&event["anzoltest"], &event["eventType"]), (&json!(true), &json!(CREATED)));
        assert!(event["data"]["id"].is_string() && event["data"]["name"].is_string(), "{event}");
    }
    let mut ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "receivers see different events");
    assert_eq!(engine.stored(&hook).await, hook, "success costs no write");
}

#[tokio::test]
async fn test_event_of_unsubscribed_type_is_refused() {
    let (engine, api) = start().await;
    let hook = engine.create("tested").await;
    let mut none = hook.clone();
    none.id = anzol_domain::WebhookId::mint(anzol_runtime::now());
    (none.spec.event_types, none.spec.enabled) = (Vec::new(), false);
    engine.context.webhooks.create(&none, 100).await.unwrap();
    let other = ("eventType", "event_type_of_webhook");
    for (webhook, body, problem) in [
        (&hook, Some(json!({ "eventType": "com.qlik.v1.app.deleted" })), other),
        (&hook, Some(json!({ "eventType": "no such type" })), other),
        (&hook, Some(json!({ "eventType": 1 })), ("eventType", "unreadable")),
        (&hook, Some(json!([])), ("body", "object")),
        (&hook, Some(json!("{")), ("body", "json")),
        (&none, Some(json!({ "eventType": CREATED })), other),
        (&none, None, ("eventTypes", "no_event_types")),
    ] {
        let at = format!("{}/{}", BASES[0], webhook.id);
        let answer = test(&api, &at, Some("application/json"), body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.rules(), [problem]);
    }
    let at = format!("{}/{}", BASES[0], hook.id);
    assert_eq!(test(&api, &at, Some("text/plain"), Some(json!("hello"))).await.status, 415);
    assert_eq!(engine.received("tested").await, 0);
}

#[tokio::test]
async fn failed_test_event_affects_health_without_retry() {
    let (engine, api) = start().await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let at = format!("{}/{}", BASES[0], hook.id);
    let answer = test(&api, &at, None, None).await;
    assert_eq!((answer.status, &answer.body["status"]), (201, &json!("fail")), "{answer:?}");
    assert_eq!(answer.body["nextAttemptAt"], Value::Null);
    let health = engine.stored(&hook).await.health;
    assert_eq!((health.failures, health.lane), (1, Lane::Slow));
    assert!(engine.queues.on(SLOW).is_empty());

    // A disabled webhook can be tested too, without an effect on its health. Its filter is ignored.
    let mut disabled = webhook("acme");
    disabled.spec.url = hook.spec.url.clone();
    disabled.spec.enabled = false;
    disabled.spec.filter = Some(anzol_domain::Filter::parse("id eq \"another\"").unwrap());
    engine.context.webhooks.create(&disabled, 100).await.unwrap();
    let at = format!("{}/{}", BASES[0], disabled.id);
    let answer = test(&api, &at, None, None).await;
    assert_eq!((answer.status, &answer.body["status"]), (201, &json!("fail")), "{answer:?}");
    assert_eq!(engine.stored(&disabled).await.health, Health::default());
    assert_eq!(engine.received("down").await, 2);
}
