//! Ingest, fanout, sender and console, invoked with Lambda's events: refused input, reported failures, and unreachable queues.

use anzol_domain::event::MAX_EVENTS;
use anzol_domain::{FailureKind, Status};
use anzol_ingest::MAX_BODY;
use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};

use crate::kit::queues::{FAST, Queues};
use crate::kit::{
    Api, As, TestContext, batch, deadline, failed, fanout, ingest_state, task, webhook, webhook_at,
    webhook_with,
};

const EVENTS: &str = "/api/v1/events";

fn event(tenant: Option<&str>) -> Value {
    let mut event =
        json!({ "specversion": "1.0", "id": "e1", "source": "s", "type": "com.qlik.v1.app.created" });
    if let Some(tenant) = tenant {
        event["tenantid"] = json!(tenant);
    }
    event
}

#[tokio::test]
async fn ingest_is_202_only_when_all_deliveries_are_queued() {
    let context = TestContext::start().await;
    let (api, admin) = (context.ingest(), As::admin("acme"));
    let without_webhooks = api.call(Some(&admin), "POST", EVENTS, Some(event(None))).await;
    assert_eq!(without_webhooks, (202, json!({ "accepted": 1, "deliveries": 0 })));
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    let (status, answer) = api.call(Some(&admin), "POST", EVENTS, Some(event(None))).await;
    assert_eq!((status, &answer["errors"][0]["code"]), (503, &json!("HTTP-503")));
    // Another tenant has no webhook.
    assert_eq!(api.call(Some(&As::admin("globex")), "POST", EVENTS, Some(event(None))).await.0, 202);
}

#[tokio::test]
async fn ingest_refuses_invalid_events_and_publishers() {
    let context = TestContext::start().await;
    let api = context.ingest();
    let admin = As::admin("acme");
    let publisher = As::claims(json!({ "sub": "p", "custom:tenantId": "acme", "scope": "anzol/publish" }));
    let platform = As::claims(json!({ "sub": "p", "client_id": "p", "scope": "openid anzol/publish.any" }));
    let near = As::claims(json!({ "sub": "p", "custom:tenantId": "acme", "scope": "anzol/publish-not" }));
    for (who, body, expected) in [
        (None, event(None), 401),
        (Some(&As::user("acme", "ann")), event(None), 403),
        (Some(&near), event(None), 403),
        (Some(&admin), event(Some("globex")), 403),
        (Some(&publisher), event(Some("globex")), 403),
        (Some(&admin), json!([event(None), event(Some("globex"))]), 403),
        (Some(&platform), event(None), 400),
        (Some(&admin), json!({}), 400),
        (Some(&admin), json!("{"), 400),
        (Some(&admin), json!([event(None), {}]), 400),
        (Some(&admin), Value::Array(vec![event(None); MAX_EVENTS + 1]), 400),
        (Some(&admin), json!(" ".repeat(MAX_BODY + 1)), 413),
        (Some(&publisher), event(None), 202),
        (Some(&publisher), event(Some("acme")), 202),
        (Some(&platform), event(Some("globex")), 202),
        (Some(&admin), Value::Array(vec![event(None); MAX_EVENTS]), 202),
    ] {
        let (status, answer) = api.call(who, "POST", EVENTS, Some(body)).await;
        assert_eq!(status, expected, "{answer}");
        if expected >= 400 {
            assert_eq!(answer["errors"][0]["code"], format!("HTTP-{expected}"), "{answer}");
        }
    }
    let (status, answer) = api.call(Some(&admin), "GET", EVENTS, None).await;
    assert_eq!((status, &answer["errors"][0]["code"]), (405, &json!("HTTP-405")));
}

#[tokio::test]
async fn ingest_reads_binary_mode_and_refuses_reserved_types() {
    let context = TestContext::start().await;
    let queues = Queues::start(&context.config).await;
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    let api = Api(anzol_ingest::router(ingest_state(context.dispatcher(queues.both()))));
    let admin = As::admin("acme");
    let head = [
        ("ce-specversion", "1.0"),
        ("ce-id", "b1"),
        ("ce-source", "com.example/s%C3%A3o"),
        ("ce-type", "com.qlik.v1.app.created"),
        ("ce-spaceid", "space-1"),
    ];
    let with = |kind| head.into_iter().chain([("content-type", kind)]).collect::<Vec<_>>();
    for (kind, body, data) in [
        ("application/json", "{ \"id\": 1.0 }", json!({ "id": 1.0 })),
        ("text/plain", "plain", json!("plain")),
    ] {
        let answer = api.exchange_with(Some(&admin), "POST", EVENTS, &with(kind), Some(json!(body))).await;
        assert_eq!((answer.status, &answer.body["deliveries"]), (202, &json!(1)), "{answer:?}");
        let sent = queues.on(FAST).pop().unwrap().task();
        let payload: Value = serde_json::from_str(&sent.event.payload(true)).unwrap();
        assert_eq!((&payload["data"], &payload["datacontenttype"]), (&data, &json!(kind)));
        assert_eq!((&payload["source"], &payload["spaceid"]), (&json!("com.example/são"), &json!("space-1")));
        assert_eq!(payload["tenantid"], "acme");
    }
    let mut lacking = with("application/json");
    lacking.retain(|(name, _)| *name != "ce-id");
    let answer = api.exchange_with(Some(&admin), "POST", EVENTS, &lacking, Some(json!("{}"))).await;
    assert_eq!((answer.status, answer.rules()), (400, vec![("ce-id", "attribute_required")]));
    let plain = [("content-type", "text/plain")];
    assert_eq!(api.exchange_with(Some(&admin), "POST", EVENTS, &plain, Some(event(None))).await.status, 415);

    let mut ours = event(None);
    ours["type"] = json!("anzol.webhook.disabled");
    let (status, answer) = api.call(Some(&admin), "POST", EVENTS, Some(ours)).await;
    assert_eq!(status, 400);
    let error = &answer["errors"][0];
    assert_eq!((&error["field"], &error["rule"]), (&json!("[0].type"), &json!("event_type_reserved")));
}

#[tokio::test]
async fn fanout_reports_only_unqueued_messages() {
    let context = TestContext::start().await;
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    let dispatcher = context.dispatcher(context.unreachable_queues.clone());
    let fanout = fanout(dispatcher, context.unreachable_queue.clone());
    let messages = [
        "not an event".to_owned(),
        event(None).to_string(),
        event(Some("globex")).to_string(),
        json!([event(Some("globex")), event(Some("initech"))]).to_string(),
        // Acme has a webhook for this event, and the queue is unreachable.
        event(Some("acme")).to_string(),
    ];
    let response = fanout.handle(batch(&messages)).await;
    assert_eq!(failed(response), ["m0", "m1", "m4"]);
}

#[tokio::test]
async fn sender_reports_only_unsettled_messages() {
    let (context, egress) = TestContext::with_egress().await;
    let disabled = webhook_with("acme", |webhook| webhook.spec.enabled = false);
    let (good, deleted) = (webhook("acme"), webhook("acme"));
    for webhook in [&good, &disabled] {
        context.webhooks.create(webhook, 100).await.unwrap();
    }
    // An id of acme under another tenant is not found.
    let mut foreign = task(&good);
    foreign.tenant_id = anzol_domain::TenantId::parse("globex").unwrap();
    let tasks = [task(&good), task(&disabled), task(&deleted), foreign];
    let mut messages: Vec<_> = tasks.iter().map(anzol_queue::encode).collect();
    messages.push("poison".to_owned());
    messages.push(messages[0].clone()); // a duplicate in the batch
    let response = context.sender_without_queues(&egress).handle(batch(&messages), deadline()).await;
    assert_eq!(failed(response), ["m4"]);

    let rows = context.history(&good).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.id, row.status, row.attempt), (tasks[0].delivery_id, Status::Success, 1));
    let rows = context.history(&disabled).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.failure, &row.response), (Some(FailureKind::Disabled), &None));
    assert!(context.history(&deleted).await.is_empty());
    let requests = egress.control(|receiver| receiver.all_requests()).await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(
        (requests.len(), ids.len()),
        (2, 1),
        "the duplicate is sent again with the same webhook-id: {requests:?}"
    );
}

#[tokio::test]
async fn unreadable_webhook_delays_only_its_messages() {
    let (context, egress) = TestContext::with_egress().await;
    let (broken, good) = (webhook("acme"), webhook("globex"));
    for webhook in [&good, &broken] {
        context.webhooks.create(webhook, 100).await.unwrap();
    }
    let mut update = context.webhook_key("acme", broken.id);
    update["UpdateExpression"] = json!("REMOVE webhook");
    context.dynamodb("UpdateItem", update).await;
    let messages = [&good, &broken].map(|webhook| anzol_queue::encode(&task(webhook)));
    let back = failed(context.sender_without_queues(&egress).handle(batch(&messages), deadline()).await);
    assert_eq!(back, ["m1"], "the webhook may be fixed later");
    assert_eq!(context.history(&good).await[0].status, Status::Success);
    assert!(context.history(&broken).await.is_empty());
}

#[tokio::test]
async fn only_the_webhook_violating_newer_rules_is_blocked() {
    let (context, egress) = TestContext::with_egress().await;
    let good = webhook("acme");
    let mut refused = webhook("acme");
    refused.spec.url = serde_json::from_value(json!("https://169.254.169.254/latest/meta-data/")).unwrap();
    for webhook in [&good, &refused] {
        context.webhooks.create(webhook, 100).await.unwrap();
    }
    let messages = [&good, &refused].map(|webhook| anzol_queue::encode(&task(webhook)));
    assert!(
        failed(context.sender_without_queues(&egress).handle(batch(&messages), deadline()).await).is_empty()
    );
    assert_eq!(context.history(&good).await[0].status, Status::Success);
    let rows = context.history(&refused).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.failure, row.next_attempt), (Some(FailureKind::Blocked), None));
    assert_eq!(
        row.status_message.as_deref(),
        Some("not sent: `url` must have a domain name, not an IP address")
    );
    // The tenant can read and fix the webhook.
    let api = context.api(&egress);
    let at = format!("/api/core/webhooks/{}", refused.id);
    let admin = As::admin("acme");
    assert_eq!(api.call(Some(&admin), "GET", &at, None).await.0, 200);
    let rename = json!([{ "op": "replace", "path": "/name", "value": "still wrong" }]);
    assert_eq!(api.call(Some(&admin), "PATCH", &at, Some(rename)).await.0, 400);
    let patch = json!([
        { "op": "replace", "path": "/url", "value": "https://hooks.receiver.test/in" },
        { "op": "remove", "path": "/encryptedHeaders" },
    ]);
    assert_eq!(api.call(Some(&admin), "PATCH", &at, Some(patch)).await.0, 204);
}

#[tokio::test]
async fn failure_without_queued_retry_is_recorded_and_reported() {
    let (context, egress) = TestContext::with_egress().await;
    let (failing, gone) = (webhook("acme"), webhook_at("acme", "gone"));
    for webhook in [&failing, &gone] {
        context.webhooks.create(webhook, 100).await.unwrap();
    }
    for (path, status) in [("/in", 500), ("/gone", 410)] {
        let behavior = Behavior { status, ..Behavior::default() };
        egress.control(move |receiver| receiver.behave(path, &behavior)).await.unwrap();
    }
    let messages = [anzol_queue::encode(&task(&failing)), anzol_queue::encode(&task(&gone))];
    let response = context.sender_without_queues(&egress).handle(batch(&messages), deadline()).await;
    // 410 is not retried, so nothing had to be queued.
    assert_eq!(failed(response), ["m0"]);
    let rows = context.history(&failing).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.status, row.response.as_ref().map(|r| r.status_code)), (Status::Fail, Some(500)));
    let wait = row.next_attempt.unwrap().at - row.triggered_at();
    assert!(wait >= time::Duration::seconds(5) && wait < time::Duration::seconds(8), "{wait}");
    assert_eq!(context.history(&gone).await[0].next_attempt, None);
}

#[tokio::test]
async fn console_serves_only_its_files() {
    let config = anzol_console::Config {
        sign_in_url: Some("https://cognito-idp.us-east-1.amazonaws.com/".to_owned()),
        hosted_ui_url: None,
        client_id: Some("client".to_owned()),
        issuer: "https://issuer.example".to_owned(),
        tenant_claim: "custom:tenantId".to_owned(),
        roles_claim: "cognito:groups".to_owned(),
        admin_role: "TenantAdmin".to_owned(),
        webhook_cap: 7,
    };
    let api = Api(anzol_console::router(config).unwrap());
    let (status, answer) = api.call(None, "GET", "/console/config.json", None).await;
    assert_eq!((status, &answer["clientId"], &answer["webhookCap"]), (200, &json!("client"), &json!(7)));
    for path in ["/console/none.js", "/console/..%2Fmain.rs", "/elsewhere"] {
        let (status, answer) = api.call(None, "GET", path, None).await;
        assert_eq!((status, &answer["errors"][0]["code"]), (404, &json!("HTTP-404")), "{path}");
    }
}
