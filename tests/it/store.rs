//! The webhooks table: the cap under concurrency, lost updates, revisions, isolation of tenants.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anzol_domain::{Health, Lane, Sealed, TenantId, Webhook, WebhookId};
use anzol_runtime::now;
use anzol_store::{StoreError, Webhooks};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::{TestContext, webhook};

#[tokio::test]
async fn webhook_is_read_as_written() {
    let context = TestContext::start().await;
    let written = webhook("acme");
    context.webhooks.create(&written, 100).await.unwrap();
    let read = context.webhooks.get(&written.tenant_id, written.id).await.unwrap().unwrap();
    assert_eq!(read, written);
    assert_eq!(context.webhooks.list(&written.tenant_id).await.unwrap(), [written]);
}

/// Covers adding, keeping, changing and removing secrets, each with kept and with reset health.
#[tokio::test]
async fn replace_writes_secrets_and_health() {
    let context = TestContext::start().await;
    let sealed = webhook("acme").sealed;
    let other = sealed.clone().map(|sealed| Sealed { header_names: vec!["X-Other".to_owned()], ..sealed });
    for before in [&sealed, &None] {
        for after in [&sealed, &other, &None] {
            for reset in [false, true] {
                let mut written = webhook("acme");
                written.sealed.clone_from(before);
                context.webhooks.create(&written, 100).await.unwrap();
                let key = (written.tenant_id.clone(), written.id);
                assert!(context.webhooks.set_lane(&key.0, key.1, Lane::Slow).await.unwrap());
                context.webhooks.add_failures(&key.0, key.1, 3, now()).await.unwrap();
                let read = context.webhooks.get(&key.0, key.1).await.unwrap().unwrap();
                assert_eq!((&read.sealed, read.health.failures, read.health.lane), (before, 3, Lane::Slow));
                let health = if reset { Health::default() } else { read.health.clone() };
                let new = Webhook { sealed: after.clone(), health, version: 2, ..read.clone() };
                context.webhooks.replace(&read, &new).await.unwrap();
                assert_eq!(context.webhooks.get(&key.0, key.1).await.unwrap().unwrap(), new);
                assert!(matches!(context.webhooks.replace(&read, &new).await, Err(StoreError::Changed)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_holds_under_200_parallel_creates() {
    let context = TestContext::start().await;
    let created =
        join_all((0..200).map(|_| async { context.webhooks.create(&webhook("acme"), 100).await })).await;
    let refused = created.iter().filter(|result| matches!(result, Err(StoreError::CapReached(100)))).count();
    assert_eq!((created.iter().filter(|result| result.is_ok()).count(), refused), (100, 100));
    let tenant = TenantId::parse("acme").unwrap();
    let webhooks = context.webhooks.list(&tenant).await.unwrap();
    assert_eq!(webhooks.len(), 100);

    // After one deletion exactly one create succeeds.
    context.webhooks.delete(&tenant, webhooks[0].id).await.unwrap();
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    assert!(matches!(context.webhooks.create(&webhook("acme"), 100).await, Err(StoreError::CapReached(_))));
    // Another tenant has its own count.
    context.webhooks.create(&webhook("globex"), 100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_deletes_count_once() {
    let context = TestContext::start().await;
    let one = webhook("acme");
    context.webhooks.create(&one, 1).await.unwrap();
    let deleted = join_all((0..8).map(|_| context.webhooks.delete(&one.tenant_id, one.id))).await;
    assert_eq!(deleted.iter().filter(|result| result.is_ok()).count(), 1);
    context.webhooks.create(&webhook("acme"), 1).await.unwrap();
    assert!(matches!(context.webhooks.create(&webhook("acme"), 1).await, Err(StoreError::CapReached(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_parallel_replacements_wins() {
    let context = TestContext::start().await;
    let first = webhook("acme");
    context.webhooks.create(&first, 100).await.unwrap();
    let changes = (0..10).map(|n| {
        let mut changed = first.clone();
        changed.spec.name = format!("Change {n}");
        changed.version = 2;
        let webhooks = context.webhooks.clone();
        let first = first.clone();
        async move { webhooks.replace(&first, &changed).await }
    });
    let results = join_all(changes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::Changed))).count(), 9);
    assert_eq!(context.webhooks.get(&first.tenant_id, first.id).await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn writes_increment_only_the_tenant_revision() {
    let context = TestContext::start().await;
    let (tenant, other) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
    assert_eq!(context.webhooks.revision(&tenant).await.unwrap(), 0);
    let one = webhook("acme");
    context.webhooks.create(&one, 100).await.unwrap();
    assert_eq!(context.webhooks.revision(&tenant).await.unwrap(), 1);
    let mut two = one.clone();
    two.version = 2;
    context.webhooks.replace(&one, &two).await.unwrap();
    assert_eq!(context.webhooks.revision(&tenant).await.unwrap(), 2);
    context.webhooks.delete(&tenant, one.id).await.unwrap();
    assert_eq!(context.webhooks.revision(&tenant).await.unwrap(), 3);
    assert_eq!(context.webhooks.revision(&other).await.unwrap(), 0);
    // Refused writes change nothing.
    assert!(matches!(context.webhooks.replace(&one, &two).await, Err(StoreError::Changed)));
    assert!(matches!(context.webhooks.delete(&tenant, one.id).await, Err(StoreError::Changed)));
    assert_eq!(context.webhooks.revision(&tenant).await.unwrap(), 3);
}

#[tokio::test]
async fn batch_read_omits_missing_webhooks() {
    let context = TestContext::start().await;
    let webhooks: Vec<_> = ["acme", "acme", "globex"].map(webhook).into();
    for webhook in &webhooks {
        context.webhooks.create(webhook, 100).await.unwrap();
    }
    let mut ids: BTreeSet<_> =
        webhooks.iter().map(|webhook| (webhook.tenant_id.clone(), webhook.id)).collect();
    ids.insert((TenantId::parse("acme").unwrap(), WebhookId::mint(now())));
    // An id under another tenant is not found.
    ids.insert((TenantId::parse("globex").unwrap(), webhooks[0].id));
    let found = context.webhooks.get_many(&ids).await.unwrap();
    let found: BTreeSet<_> = found.into_values().map(|webhook| webhook.unwrap().id).collect();
    assert_eq!(found, webhooks.iter().map(|webhook| webhook.id).collect());
}

/// A retried transaction may already have been committed if its answer was lost.
#[tokio::test]
async fn retried_create_has_the_same_request_token() {
    let context = TestContext::start().await;
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let asked = Arc::clone(&seen);
    let answer = move |body: String| {
        let mut seen = asked.lock().unwrap();
        seen.push(serde_json::from_str(&body).unwrap());
        let first = seen.len() == 1;
        async move {
            if first {
                let error = json!({ "__type": "TransactionInProgressException", "message": "still at it" });
                (StatusCode::BAD_REQUEST, error.to_string())
            } else {
                (StatusCode::OK, "{}".to_owned())
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
    let config = context.config.to_builder().endpoint_url(endpoint).build();

    Webhooks::new(&config, "webhooks").create(&webhook("acme"), 100).await.unwrap();
    let seen = seen.lock().unwrap();
    let tokens: BTreeSet<_> =
        seen.iter().map(|request| request["ClientRequestToken"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), tokens.len()), (2, 1), "{tokens:?}");
}
