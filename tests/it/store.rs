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

use crate::cloud::{Cloud, webhook};

#[tokio::test]
async fn webhook_is_read_as_written() {
    let cloud = Cloud::start().await;
    let written = webhook("acme");
    cloud.webhooks.create(&written, 100).await.unwrap();
    let read = cloud.webhooks.get(&written.tenant_id, written.id).await.unwrap().unwrap();
    assert_eq!(read, written);
    assert_eq!(cloud.webhooks.list(&written.tenant_id).await.unwrap(), [written]);
}

/// Covers adding, keeping, changing and removing secrets, each with kept and with reset health.
#[tokio::test]
async fn replace_writes_secrets_and_health() {
    let cloud = Cloud::start().await;
    let sealed = webhook("acme").sealed;
    let other = sealed.clone().map(|sealed| Sealed { header_names: vec!["X-Other".to_owned()], ..sealed });
    for before in [&sealed, &None] {
        for after in [&sealed, &other, &None] {
            for reset in [false, true] {
                let mut written = webhook("acme");
                written.sealed.clone_from(before);
                cloud.webhooks.create(&written, 100).await.unwrap();
                let key = (written.tenant_id.clone(), written.id);
                assert!(cloud.webhooks.set_lane(&key.0, key.1, Lane::Slow).await.unwrap());
                cloud.webhooks.add_failures(&key.0, key.1, 3, now()).await.unwrap();
                let read = cloud.webhooks.get(&key.0, key.1).await.unwrap().unwrap();
                assert_eq!((&read.sealed, read.health.failures, read.health.lane), (before, 3, Lane::Slow));
                let health = if reset { Health::default() } else { read.health.clone() };
                let new = Webhook { sealed: after.clone(), health, version: 2, ..read.clone() };
                cloud.webhooks.replace(&read, &new).await.unwrap();
                assert_eq!(cloud.webhooks.get(&key.0, key.1).await.unwrap().unwrap(), new);
                assert!(matches!(cloud.webhooks.replace(&read, &new).await, Err(StoreError::Changed)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_holds_under_200_parallel_creates() {
    let cloud = Cloud::start().await;
    let created =
        join_all((0..200).map(|_| async { cloud.webhooks.create(&webhook("acme"), 100).await })).await;
    let refused = created.iter().filter(|result| matches!(result, Err(StoreError::CapReached(100)))).count();
    assert_eq!((created.iter().filter(|result| result.is_ok()).count(), refused), (100, 100));
    let tenant = TenantId::parse("acme").unwrap();
    let webhooks = cloud.webhooks.list(&tenant).await.unwrap();
    assert_eq!(webhooks.len(), 100);

    // After one deletion exactly one create succeeds.
    cloud.webhooks.delete(&tenant, webhooks[0].id).await.unwrap();
    cloud.webhooks.create(&webhook("acme"), 100).await.unwrap();
    assert!(matches!(cloud.webhooks.create(&webhook("acme"), 100).await, Err(StoreError::CapReached(_))));
    // Another tenant has its own count.
    cloud.webhooks.create(&webhook("globex"), 100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_deletes_count_once() {
    let cloud = Cloud::start().await;
    let one = webhook("acme");
    cloud.webhooks.create(&one, 1).await.unwrap();
    let deleted = join_all((0..8).map(|_| cloud.webhooks.delete(&one.tenant_id, one.id))).await;
    assert_eq!(deleted.iter().filter(|result| result.is_ok()).count(), 1);
    cloud.webhooks.create(&webhook("acme"), 1).await.unwrap();
    assert!(matches!(cloud.webhooks.create(&webhook("acme"), 1).await, Err(StoreError::CapReached(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_parallel_replacements_wins() {
    let cloud = Cloud::start().await;
    let first = webhook("acme");
    cloud.webhooks.create(&first, 100).await.unwrap();
    let changes = (0..10).map(|n| {
        let mut changed = first.clone();
        changed.spec.name = format!("Change {n}");
        changed.version = 2;
        let webhooks = cloud.webhooks.clone();
        let first = first.clone();
        async move { webhooks.replace(&first, &changed).await }
    });
    let results = join_all(changes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::Changed))).count(), 9);
    assert_eq!(cloud.webhooks.get(&first.tenant_id, first.id).await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn writes_increment_only_the_tenant_revision() {
    let cloud = Cloud::start().await;
    let (tenant, other) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
    assert_eq!(cloud.webhooks.revision(&tenant).await.unwrap(), 0);
    let one = webhook("acme");
    cloud.webhooks.create(&one, 100).await.unwrap();
    assert_eq!(cloud.webhooks.revision(&tenant).await.unwrap(), 1);
    let mut two = one.clone();
    two.version = 2;
    cloud.webhooks.replace(&one, &two).await.unwrap();
    assert_eq!(cloud.webhooks.revision(&tenant).await.unwrap(), 2);
    cloud.webhooks.delete(&tenant, one.id).await.unwrap();
    assert_eq!(cloud.webhooks.revision(&tenant).await.unwrap(), 3);
    assert_eq!(cloud.webhooks.revision(&other).await.unwrap(), 0);
    // Refused writes change nothing.
    assert!(matches!(cloud.webhooks.replace(&one, &two).await, Err(StoreError::Changed)));
    assert!(matches!(cloud.webhooks.delete(&tenant, one.id).await, Err(StoreError::Changed)));
    assert_eq!(cloud.webhooks.revision(&tenant).await.unwrap(), 3);
}

#[tokio::test]
async fn batch_read_omits_missing_webhooks() {
    let cloud = Cloud::start().await;
    let webhooks: Vec<_> = ["acme", "acme", "globex"].map(webhook).into();
    for webhook in &webhooks {
        cloud.webhooks.create(webhook, 100).await.unwrap();
    }
    let mut ids: BTreeSet<_> =
        webhooks.iter().map(|webhook| (webhook.tenant_id.clone(), webhook.id)).collect();
    ids.insert((TenantId::parse("acme").unwrap(), WebhookId::mint(now())));
    // An id under another tenant is not found.
    ids.insert((TenantId::parse("globex").unwrap(), webhooks[0].id));
    let found = cloud.webhooks.get_many(&ids).await.unwrap();
    let found: BTreeSet<_> = found.into_values().map(|webhook| webhook.unwrap().id).collect();
    assert_eq!(found, webhooks.iter().map(|webhook| webhook.id).collect());
}

/// A retried transaction may already have been committed, when its answer was lost.
#[tokio::test]
async fn retried_create_has_the_same_request_token() {
    let cloud = Cloud::start().await;
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
    let config = cloud.config.to_builder().endpoint_url(endpoint).build();

    Webhooks::new(&config, "webhooks").create(&webhook("acme"), 100).await.unwrap();
    let seen = seen.lock().unwrap();
    let tokens: BTreeSet<_> =
        seen.iter().map(|request| request["ClientRequestToken"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), tokens.len()), (2, 1), "{tokens:?}");
}
