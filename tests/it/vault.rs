//! Secrets sealed with KMS: the number of calls, opening only for the webhook's own secrets, and no delivery while they cannot be
//! opened.

use anzol_api::AppState;
use anzol_domain::health::DisablePolicy;
use anzol_domain::{DeliveryTask, FailureKind, Health, Lane, Webhook};
use anzol_tests::receiver::{Behavior, Received};
use anzol_vault::Vault;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::kms::Calls;
use crate::kit::queues::{SLOW, Sent};
use crate::kit::{Api, As, Engine, SECRET, TOKEN, task, webhook, webhook_at, webhook_with};

const WEBHOOKS: &str = "/api/core/webhooks";
const OTHER: &str = "another-secret-of-32-characters!";
const NONE: Calls = Calls { encrypt: 0, decrypt: 0 };
const ENCRYPT: Calls = Calls { encrypt: 1, decrypt: 0 };
const DECRYPT: Calls = Calls { encrypt: 0, decrypt: 1 };
const BOTH: Calls = Calls { encrypt: 1, decrypt: 1 };

async fn engine() -> Engine {
    Engine::start(DisablePolicy::default()).await
}

/// Returns the API in a new execution environment, without opened secrets.
fn api(engine: &Engine) -> Api {
    let state = engine.context.state(&engine.egress);
    Api(anzol_api::router(AppState { vault: engine.context.kms.vault(), ..state }))
}

fn tasks(webhook: &Webhook, count: usize) -> Vec<DeliveryTask> {
    (0..count).map(|_| task(webhook)).collect()
}

fn assert_complete(request: &Received, secret: &str) {
    let expected = hex::encode(anzol_tests::aws::hmac_sha256(secret.as_bytes(), &request.body().unwrap()));
    assert_eq!(request.header("qlik-signature"), expected, "{request:?}");
    assert_eq!(request.header("x-token"), TOKEN, "{request:?}");
}

#[tokio::test]
async fn secrets_are_opened_once_per_environment() {
    let engine = engine().await;
    let (hook, kms) = (engine.create("in").await, engine.context.kms.clone());
    assert!(engine.send(&tasks(&hook, 10)).await.is_empty());
    assert_eq!(kms.take_calls(), DECRYPT, "ten messages at once");
    assert!(engine.send(&tasks(&hook, 10)).await.is_empty());
    assert_eq!(kms.take_calls(), NONE, "ten later messages");
    // A later version of the webhook has the same secrets.
    let (api, admin, path) = (api(&engine), As::admin("acme"), format!("{WEBHOOKS}/{}", hook.id));
    let replace = |path: &str, value: Value| Some(json!([{ "op": "replace", "path": path, "value": value }]));
    assert_eq!(api.call(Some(&admin), "PATCH", &path, replace("/name", json!("Other"))).await.0, 204);
    assert!(engine.send(&tasks(&hook, 10)).await.is_empty());
    assert_eq!(kms.take_calls(), NONE, "another name");
    assert_eq!(api.call(Some(&admin), "PATCH", &path, replace("/secret", json!(OTHER))).await.0, 204);
    assert_eq!(kms.take_calls(), BOTH);
    assert!(engine.send(&tasks(&hook, 10)).await.is_empty());
    assert_eq!(kms.take_calls(), DECRYPT, "another secret");
    let received = engine.requests("in").await;
    assert_eq!(received.len(), 40);
    for request in &received[..30] {
        assert_complete(request, SECRET);
    }
    for request in &received[30..] {
        assert_complete(request, OTHER);
    }
    assert_eq!(
        received[30].header("webhook-signature").split(' ').count(),
        2,
        "the old secret still signs too"
    );

    let (stored, new) = (engine.stored(&hook).await, kms.vault());
    let opened = join_all((0..10).map(|_| new.open(&stored))).await;
    assert!(opened.into_iter().all(|opened| opened.is_ok()));
    assert_eq!(kms.take_calls(), DECRYPT, "ten at once in a new environment");
}

#[tokio::test]
async fn deliveries_wait_while_secrets_cannot_be_opened() {
    let mut engine = engine().await;
    let hook = engine.create("in").await;
    let mut bare = webhook_at("acme", "bare");
    bare.sealed = None;
    engine.context.webhooks.create(&bare, 100).await.unwrap();
    let mut waiting = tasks(&hook, 3);
    let works = engine.sender.vault.clone();
    let nowhere = engine.context.config.to_builder().endpoint_url("http://127.0.0.1:1").build();
    let mut rounds = 0;
    for code in [
        None,
        Some("ThrottlingException"),
        Some("KMSInternalException"),
        Some("AccessDeniedException"),
        Some("DisabledException"),
        Some("KMSInvalidStateException"),
    ] {
        match code {
            None => engine.sender.vault = Vault::new(&nowhere, "key"),
            Some(code) => {
                engine.sender.vault = works.clone();
                engine.context.kms.refuse(code);
            }
        }
        let with_bare = [waiting.as_slice(), &tasks(&bare, 1)].concat();
        assert!(
            engine.send(&with_bare).await.is_empty(),
            "{code:?}: deleted from the queue, so the receive count does not grow"
        );
        rounds += 1;
        let queued = engine.queues.on(SLOW);
        assert_eq!(queued.len(), 3 * rounds, "{code:?}");
        let again = &queued[3 * (rounds - 1)..];
        assert!(again.iter().all(|sent| sent.delay == 60 && sent.group == "acme"), "{again:?}");
        let ids = |tasks: &[DeliveryTask]| {
            tasks
                .iter()
                .map(|task| (task.delivery_id, task.attempt))
                .collect::<std::collections::BTreeSet<_>>()
        };
        let back: Vec<_> = again.iter().map(Sent::task).collect();
        assert_eq!(ids(&back), ids(&waiting), "{code:?}: the same attempts");
        waiting = back;
    }
    assert_eq!(engine.received("in").await, 0);
    assert_eq!(engine.received("bare").await, rounds, "a webhook without secrets does not wait");
    assert!(engine.history(&hook).await.is_empty());
    assert_eq!(engine.stored(&hook).await, hook, "its health is unchanged too");

    // A message that cannot be queued again is reported as failed.
    engine.queues.refuse(waiting[1].delivery_id.to_string());
    assert_eq!(engine.send(&waiting).await, ["m1"]);
    engine.queues.accept_all();

    engine.context.kms.recover();
    assert!(engine.send(&waiting).await.is_empty());
    let received = engine.requests("in").await;
    assert_eq!(received.len(), 3);
    for request in &received {
        assert_complete(request, SECRET);
    }
    assert_eq!(engine.history(&hook).await.len(), 3);
    assert_eq!(engine.stored(&hook).await.health, Health::default());
}

#[tokio::test]
async fn seal_of_another_webhook_does_not_open() {
    let engine = engine().await;
    let (one, other) = (engine.create("one").await, engine.create("other").await);
    let foreign = webhook("globex");
    engine.context.webhooks.create(&foreign, 100).await.unwrap();
    for (thief, owner) in [(&one, &other), (&other, &one), (&foreign, &one)] {
        let mut swapped = thief.clone();
        swapped.sealed = owner.sealed.clone();
        swapped.version += 1;
        engine.context.webhooks.replace(thief, &swapped).await.unwrap();
        assert!(engine.context.vault.open(&swapped).await.is_err());
        assert!(engine.context.vault.open(owner).await.is_ok());
    }
    assert!(engine.send(&[task(&one), task(&other)]).await.is_empty());
    assert_eq!((engine.received("one").await, engine.received("other").await), (0, 0));
    assert_eq!(engine.queues.on(SLOW).len(), 2, "both wait");

    // The header names beside the seal must match the sealed ones.
    let mut renamed = engine.create("renamed").await;
    renamed.sealed.as_mut().unwrap().header_names.push("X-More".to_owned());
    assert!(engine.context.kms.vault().open(&renamed).await.is_err());
}

#[tokio::test]
async fn m2_encoded_echo_of_a_secret_is_redacted() {
    let engine = engine().await;
    let hook = engine.create("echo").await;
    let percent = TOKEN.replace(' ', "%20");
    engine
        .behaves(
            "echo",
            Behavior {
                status: 308,
                headers: [
                    ("location".to_owned(), format!("https://hooks.receiver.test/?t={percent}")),
                    ("x-other".to_owned(), hex::encode(TOKEN)),
                    ("x-plain".to_owned(), "kept".to_owned()),
                ]
                .into(),
                body: format!("<p>{}</p>", TOKEN.to_uppercase().replace(' ', "&#32;")),
                ..Behavior::default()
            },
        )
        .await;
    assert!(engine.send(&[task(&hook)]).await.is_empty());
    let row = engine.history(&hook).await.remove(0);
    let response = row.response.unwrap();
    let header = |name: &str| {
        response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(response.body, "**OMITTED**");
    assert_eq!((header("location"), header("x-other")), (Some("**OMITTED**"), Some("**OMITTED**")));
    assert_eq!(header("x-plain"), Some("kept"));
    let said = row.status_message.unwrap();
    assert!(said.contains("a redirect to **OMITTED**;"), "{said}");
}

#[tokio::test]
async fn disabled_webhook_is_skipped_without_kms() {
    let engine = engine().await;
    let hook = webhook_with("acme", |webhook| webhook.spec.enabled = false);
    engine.context.webhooks.create(&hook, 100).await.unwrap();
    assert!(engine.send(&[task(&hook)]).await.is_empty());
    assert_eq!(engine.context.kms.take_calls(), NONE);
    let rows = engine.history(&hook).await;
    let header = |name: &str| {
        let mut headers = rows[0].request.headers.iter();
        headers.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(rows[0].failure, Some(FailureKind::Disabled));
    assert_eq!((header("X-Token"), header("X-Key")), (Some("**OMITTED**"), Some("value")));
    assert_eq!((header("Qlik-Signature"), header("webhook-signature")), (None, None));
}

#[tokio::test]
async fn api_calls_kms_only_when_secrets_change() {
    let engine = engine().await;
    let (admin, kms) = (As::admin("acme"), engine.context.kms.clone());
    let first = api(&engine);
    let bare = json!({ "name": "n", "url": "https://hooks.receiver.test/in", "eventTypes": ["com.qlik.v1.app.created"] });
    let with = |more: Value| {
        let mut all = bare.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(all)
    };
    let headers = json!({ "X-Token": TOKEN, "X-Other": "o" });
    assert_eq!(first.call(Some(&admin), "POST", WEBHOOKS, Some(bare.clone())).await.0, 201);
    assert_eq!(kms.take_calls(), NONE);
    let all = json!({ "secret": SECRET, "encryptedHeaders": headers });
    let (status, created) = first.call(Some(&admin), "POST", WEBHOOKS, with(all.clone())).await;
    assert_eq!((status, kms.take_calls()), (201, ENCRYPT));
    assert_eq!(created["encryptedHeaders"], json!(["X-Other", "X-Token"]));
    let path = format!("{WEBHOOKS}/{}", created["id"].as_str().unwrap());
    let test = format!("{path}/actions/test");
    let operation = |op: &str, path: &str, value: Value| {
        let mut one = json!({ "op": op, "path": path });
        if !value.is_null() {
            one["value"] = value;
        }
        Some(json!([one]))
    };
    let moved = json!([
        { "op": "replace", "path": "/url", "value": "https://hooks.receiver.test/moved" },
        { "op": "remove", "path": "/encryptedHeaders/X-Other" },
        { "op": "replace", "path": "/encryptedHeaders/X-Token", "value": TOKEN },
    ]);
    // Each call runs in a new environment without opened secrets, so these are upper bounds.
    for (method, path, body, status, calls) in [
        ("GET", &path, None, 200, NONE),
        ("GET", &WEBHOOKS.to_owned(), None, 200, NONE),
        ("PATCH", &path, operation("replace", "/name", json!("Other")), 204, NONE),
        ("PATCH", &path, operation("replace", "/headers", json!({ "X-Plain": "1" })), 204, NONE),
        // Conflicting header names are known without a call.
        ("PATCH", &path, operation("replace", "/headers", json!({ "x-token": "1" })), 400, NONE),
        ("PATCH", &path, operation("replace", "/url", json!("https://hooks.receiver.test/moved")), 400, NONE),
        ("PATCH", &path, operation("replace", "/enabled", json!(false)), 204, NONE),
        ("PATCH", &path, operation("replace", "/enabled", json!(true)), 204, NONE),
        ("PATCH", &path, operation("replace", "/secret", json!(SECRET)), 204, DECRYPT),
        ("PUT", &path, with(all), 200, DECRYPT), // the secrets are unchanged
        ("PATCH", &path, operation("replace", "/secret", json!(OTHER)), 204, BOTH),
        ("PATCH", &path, operation("add", "/encryptedHeaders/X-Third", json!("3")), 204, BOTH),
        ("PATCH", &path, operation("add", "/encryptedHeaders/X-Fourth", json!(true)), 400, DECRYPT),
        ("PATCH", &path, operation("remove", "/encryptedHeaders/X-Third", Value::Null), 204, BOTH),
        ("PATCH", &path, Some(moved), 204, BOTH),
        (
            "PUT",
            &path,
            with(json!({ "enabled": true, "encryptedHeaders": { "X-Token": TOKEN } })),
            200,
            ENCRYPT,
        ),
        (
            "PUT",
            &path,
            with(json!({ "enabled": true, "secret": SECRET, "encryptedHeaders": { "X-Token": TOKEN } })),
            200,
            ENCRYPT,
        ),
        ("POST", &test, None, 201, DECRYPT),
        ("PUT", &path, with(json!({ "enabled": true })), 200, NONE),
        ("POST", &test, None, 201, NONE),
        ("DELETE", &path, None, 204, NONE),
    ] {
        let (got, answer) = api(&engine).call(Some(&admin), method, path, body.clone()).await;
        assert_eq!((got, kms.take_calls()), (status, calls), "{method} {path} {body:?}: {answer}");
    }
    let received = engine.requests("in").await;
    assert_complete(&received[0], SECRET);
    assert!(
        !received[1].headers.contains_key("qlik-signature") && !received[1].headers.contains_key("x-token")
    );
}

#[tokio::test]
async fn api_without_kms_is_503_and_changes_nothing() {
    let engine = engine().await;
    let (hook, admin) = (engine.create("in").await, As::admin("acme"));
    assert!(engine.send(&[task(&hook)]).await.is_empty());
    let [row] = engine.history(&hook).await.try_into().unwrap();
    let path = format!("{WEBHOOKS}/{}", hook.id);
    let new = json!({ "name": "n", "url": "https://hooks.receiver.test/in", "eventTypes": [], "enabled": false, "secret": OTHER });
    let secret = json!([{ "op": "replace", "path": "/secret", "value": OTHER }]);
    for code in ["ThrottlingException", "DisabledException"] {
        engine.context.kms.refuse(code);
        for (method, path, body) in [
            ("POST", WEBHOOKS.to_owned(), Some(new.clone())),
            ("PUT", path.clone(), Some(new.clone())),
            ("PATCH", path.clone(), Some(secret.clone())),
            ("POST", format!("{path}/actions/test"), None),
            ("POST", format!("{path}/deliveries/{}/actions/resend", row.id), None),
        ] {
            let answer =
                api(&engine).exchange(Some(&admin), method, &path, Some("application/json"), body).await;
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (503, "1"),
                "{method} {path}: {answer:?}"
            );
            assert_eq!(answer.body["errors"][0]["code"], "HTTP-503", "{answer:?}");
        }
    }
    let stored = engine.context.webhooks.list(&hook.tenant_id).await.unwrap();
    assert_eq!(stored, std::slice::from_ref(&hook));
    assert_eq!(stored[0].health.lane, Lane::Fast);
    assert_eq!(engine.history(&hook).await.len(), 1);
    assert_eq!(engine.received("in").await, 1);
    let name = json!([{ "op": "replace", "path": "/name", "value": "Other" }]);
    assert_eq!(api(&engine).call(Some(&admin), "PATCH", &path, Some(name)).await.0, 204);
}
