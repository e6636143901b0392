//! Limits per caller: concurrent tests and resends, webhooks of a tenant; and limits that must not reveal secrets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anzol_domain::{TenantId, UserId};
use anzol_runtime::now;
use anzol_store::{LEASE_TIME, LeaseError, TENANT_LEASES, USER_LEASES};
use anzol_tests::receiver::Behavior;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::{Answer, Api, As, TestContext};

const WEBHOOKS: &str = "/api/v1/webhooks";

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn user(name: impl std::fmt::Display) -> UserId {
    UserId::parse(&name.to_string()).unwrap()
}

async fn create(api: &Api, who: &As, name: &str) -> Answer {
    let body = json!({
        "name": name, "url": format!("https://hooks.receiver.test/{name}"), "level": "user",
        "eventTypes": ["com.qlik.v1.app.created"],
    });
    api.exchange(Some(who), "POST", WEBHOOKS, Some("application/json"), Some(body)).await
}

fn path(created: &Answer) -> String {
    assert_eq!(created.status, 201, "{created:?}");
    format!("{WEBHOOKS}/{}", created.body["id"].as_str().unwrap())
}

/// Returns the item with the leases as stored in the database.
async fn leases(context: &TestContext, tenant: &str) -> Value {
    context.dynamodb("GetItem", leases_key(context, tenant)).await["Item"].clone()
}

fn leases_key(context: &TestContext, tenant: &str) -> Value {
    let key = json!({ "pk": { "S": format!("TENANT#{tenant}") }, "sk": { "S": "LEASES" } });
    json!({ "TableName": context.webhooks_table, "Key": key })
}

fn held(item: &Value) -> usize {
    item.as_object().map_or(0, |item| item.keys().filter(|name| name.starts_with("lease")).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h3_leases_never_exceed_their_limits() {
    let context = Arc::new(TestContext::start().await);
    let (under_way, most, taken) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let users: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let callers = (0..60_usize).map(|n| {
        let (context, under_way, most, taken, users) = (
            Arc::clone(&context),
            Arc::clone(&under_way),
            Arc::clone(&most),
            Arc::clone(&taken),
            Arc::clone(&users),
        );
        tokio::spawn(async move {
            for _ in 0..3 {
                let lease = match context.webhooks.lease(&acme(), &user(n % 4), now()).await {
                    Ok(lease) => lease,
                    Err(LeaseError::TenantFull | LeaseError::UserFull | LeaseError::Store(_)) => continue,
                };
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                *users.lock().unwrap().entry(n % 4).or_default() += 1;
                assert!(users.lock().unwrap()[&(n % 4)] <= USER_LEASES);
                taken.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                *users.lock().unwrap().entry(n % 4).or_default() -= 1;
                under_way.fetch_sub(1, Ordering::SeqCst);
                context.webhooks.release(&lease).await.unwrap();
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    let (most, taken) = (most.load(Ordering::SeqCst), taken.load(Ordering::SeqCst));
    assert!(most <= TENANT_LEASES && most > 1 && taken >= TENANT_LEASES, "{most} at once, {taken} in all");
    assert_eq!(held(&leases(&context, "acme").await), 0, "all leases were released");
    let again = join_all((0..30).map(|n| {
        let context = Arc::clone(&context);
        async move { context.webhooks.lease(&acme(), &user(n), now()).await }
    }));
    let mut granted = again.await.iter().filter(|lease| lease.is_ok()).count();
    // Callers may have given up under this much contention.
    while granted < TENANT_LEASES && context.webhooks.lease(&acme(), &user(100), now()).await.is_ok() {
        granted += 1;
    }
    assert_eq!((granted, held(&leases(&context, "acme").await)), (TENANT_LEASES, TENANT_LEASES));
}

#[tokio::test]
async fn h3_leases_expire_and_only_holders_release_them() {
    let context = TestContext::start().await;
    let start = now();
    let take = |who: &'static str, at| {
        let context = &context;
        async move { context.webhooks.lease(&acme(), &user(who), at).await }
    };
    let mut first = Vec::new();
    for _ in 0..USER_LEASES {
        first.push(take("ann", start).await.unwrap());
    }
    assert!(matches!(take("ann", start).await, Err(LeaseError::UserFull)));
    for _ in USER_LEASES..TENANT_LEASES {
        take("bob", start).await.unwrap();
    }
    assert!(matches!(take("root", start).await, Err(LeaseError::TenantFull)));
    // Another tenant has its own leases.
    context.webhooks.lease(&TenantId::parse("globex").unwrap(), &user("ann"), start).await.unwrap();
    let before = start + LEASE_TIME - Duration::from_millis(1);
    assert!(matches!(take("ann", before).await, Err(LeaseError::TenantFull)));
    let after = start + LEASE_TIME;
    for _ in 0..USER_LEASES {
        take("ann", after).await.unwrap();
    }
    assert_eq!(held(&leases(&context, "acme").await), USER_LEASES, "expired leases are removed");
    // Releasing an expired lease does not release another caller's.
    for lease in &first {
        context.webhooks.release(lease).await.unwrap();
    }
    assert_eq!(held(&leases(&context, "acme").await), USER_LEASES);
    assert_eq!(context.webhooks.revision(&acme()).await.unwrap(), 0, "leases do not change the revision");
    // A lease that ends later than any valid one does not count.
    take("root", start + Duration::from_hours(1)).await.unwrap();
    take("ann", start).await.unwrap();
    // Releasing a lease does not recreate a deleted item.
    context.webhooks.release(&first[0]).await.unwrap();
    let gone = TenantId::parse("gone").unwrap();
    let lease = context.webhooks.lease(&gone, &user("ann"), start).await.unwrap();
    context.dynamodb("DeleteItem", leases_key(&context, "gone")).await;
    context.webhooks.release(&lease).await.unwrap();
    assert_eq!(leases(&context, "gone").await, Value::Null);
}

#[tokio::test]
async fn h3_user_limit_leaves_leases_for_admins() {
    let (context, egress, api) = TestContext::with_api().await;
    let (ann, admin) = (As::user("acme", "ann"), As::admin("acme"));
    let created = create(&api, &ann, "slow").await;
    let test = format!("{}/actions/test", path(&created));
    // The delay is longer than all callers take to request their lease, even on a busy machine.
    let slow = Behavior { delay_ms: 9_000, ..Behavior::default() };
    egress.control(move |receiver| receiver.behave("/slow", &slow)).await.unwrap();
    let post = |who: As| {
        let (api, test) = (&api, test.clone());
        async move { api.exchange(Some(&who), "POST", &test, None, None).await }
    };
    let anns = join_all((0..24).map(|_| post(ann.clone())));
    let admins = async {
        // Waits until the users' leases are taken; none has been released.
        while held(&leases(&context, "acme").await) < USER_LEASES {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut answer = post(admin.clone()).await;
        while answer.status == 429 && answer.rules() == [("", "rate_limit")] {
            answer = post(admin.clone()).await; // its write lost against those of other callers
        }
        answer
    };
    let (anns, admins) = futures::join!(anns, admins);
    let (sent, refused): (Vec<_>, Vec<_>) = anns.into_iter().partition(|answer| answer.status == 201);
    assert!((1..=USER_LEASES).contains(&sent.len()), "{}", sent.len());
    for answer in &refused {
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["code"]),
            (429, &json!("HTTP-429")),
            "{answer:?}"
        );
        assert!(answer.header("retry-after").parse::<u16>().unwrap() >= 1);
    }
    let full = refused.iter().find(|answer| answer.rules() == [("", "too_many_under_way_of_user")]).unwrap();
    assert_eq!(full.params()["max"], 5);
    assert_eq!(admins.status, 201, "{admins:?}");
    let requests = egress.control(|receiver| receiver.all_requests()).await.unwrap().len();
    assert_eq!(requests, sent.len() + 1, "refused calls send nothing");
    assert_eq!(held(&leases(&context, "acme").await), 0);

    // A resend takes a lease too; calls that send nothing take none.
    let version = leases(&context, "acme").await["version"].clone();
    let delivery = sent[0].body["id"].as_str().unwrap();
    let history = format!("{}/deliveries/{delivery}", path(&created));
    let none = format!("{}/deliveries/none/actions/resend", path(&created));
    for (method, path) in [("GET", history.as_str()), ("GET", WEBHOOKS), ("POST", none.as_str())] {
        api.call(Some(&ann), method, path, None).await;
    }
    assert_eq!(leases(&context, "acme").await["version"], version);
    egress.control(|receiver| receiver.behave("/slow", &Behavior::default())).await.unwrap();
    let resend = format!("{history}/actions/resend");
    assert_eq!(api.call(Some(&ann), "POST", &resend, None).await.0, 201);
    assert_ne!(leases(&context, "acme").await["version"], version);
    assert_eq!(held(&leases(&context, "acme").await), 0);
}

#[tokio::test]
async fn h3_lease_of_an_aborted_call_expires() {
    let (context, egress, api) = TestContext::with_api().await;
    let ann = As::user("acme", "ann");
    let created = create(&api, &ann, "stuck").await;
    let test = format!("{}/actions/test", path(&created));
    let slow = Behavior { delay_ms: 5_000, ..Behavior::default() };
    egress.control(move |receiver| receiver.behave("/stuck", &slow)).await.unwrap();
    let call = api.exchange(Some(&ann), "POST", &test, None, None);
    let broken_off = async {
        while held(&leases(&context, "acme").await) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    futures::future::select(Box::pin(call), Box::pin(broken_off)).await;
    let item = leases(&context, "acme").await;
    assert_eq!(held(&item), 1, "{item}");
    let lease = item.as_object().unwrap().iter().find(|(name, _)| name.starts_with("lease")).unwrap().1;
    let end: i128 = lease["M"]["end"]["N"].as_str().unwrap().parse().unwrap();
    let left = end - now().unix_timestamp_nanos() / 1_000_000;
    assert!((30_000..=35_000).contains(&left), "{left}");
    assert_eq!(lease["M"]["user"]["S"], "ann");
}

#[tokio::test]
async fn l3_last_ten_webhooks_are_reserved_for_admins() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (ann, bob, admin) = (As::user("acme", "ann"), As::user("acme", "bob"), As::admin("acme"));
    let anns = join_all((0..98).map(|n| create(&api, if n % 2 == 0 { &ann } else { &bob }, "mine"))).await;
    let (made, refused): (Vec<_>, Vec<_>) = anns.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (90, 8), "exact under concurrency");
    for answer in refused {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.rules(), [("", "webhook_cap_for_users_reached")]);
        assert_eq!(*answer.params(), json!({ "max": 90, "reserved": 10, "cap": 100 }));
    }
    let admins = join_all((0..12).map(|_| create(&api, &admin, "ours"))).await;
    assert_eq!(admins.iter().filter(|answer| answer.status == 201).count(), 10);
    let full = admins.iter().find(|answer| answer.status == 403).unwrap();
    assert_eq!((full.rules(), full.params()), (vec![("", "webhook_cap_reached")], &json!({ "max": 100 })));
    // A deletion frees a webhook for admins only: with 99 left, users still get none.
    assert_eq!(api.call(Some(&ann), "DELETE", &path(&made[0]), None).await.0 / 100, 2);
    assert_eq!(create(&api, &bob, "mine").await.status, 403);
    assert_eq!(create(&api, &admin, "ours").await.status, 201);
}

#[expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "callers build the value in the call, for an optional parameter"
)]
fn patch(op: &str, path: &str, value: Value) -> Option<Value> {
    Some(json!([{ "op": op, "path": path, "value": value }]))
}

#[tokio::test]
async fn l8_patch_errors_do_not_reveal_value_lengths() {
    let (_context, egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let mut answers = Vec::new();
    for length in [0, 1, 37, 1500, 2000] {
        let body = json!({
            "name": "long", "url": "https://hooks.receiver.test/long", "eventTypes": ["com.qlik.v1.app.created"],
            "encryptedHeaders": { "Authorization": "v".repeat(length) },
        });
        let created =
            api.exchange(Some(&admin), "POST", WEBHOOKS, Some("application/json"), Some(body)).await;
        let path = path(&created);
        let mut series = Vec::new();
        for size in [1, 500, 1000, 1500, 2000, 2044, 2045, 2046, 3000] {
            let op = patch("add", "/encryptedHeaders/X-P", json!("p".repeat(size)));
            series.push(api.call(Some(&admin), "PATCH", &path, op).await);
        }
        for n in 0..12 {
            let op = patch("add", &format!("/encryptedHeaders/X-{n}"), json!("p".repeat(2040)));
            series.push(api.call(Some(&admin), "PATCH", &path, op).await);
        }
        series.push(
            api.call(Some(&admin), "PATCH", &path, patch("remove", "/encryptedHeaders/X-P", json!(0))).await,
        );
        let traces: Vec<_> =
            series.iter().map(|(status, body)| (*status, body["errors"].to_string())).collect();
        answers.push(traces);
        // A delivery contains all resulting headers, of any size.
        let (status, sent) = api.call(Some(&admin), "POST", &format!("{path}/actions/test"), None).await;
        assert_eq!((status, &sent["status"]), (201, &json!("success")), "{sent}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let statuses: Vec<_> = answers[0].iter().map(|(status, _)| *status).collect();
    assert_eq!(
        statuses[..9],
        [204, 204, 204, 204, 204, 204, 204, 400, 400].map(|status| if status == 204 { 204 } else { 400 })
    );
    assert_eq!(
        statuses.iter().skip(9).take(12).filter(|status| **status == 204).count(),
        6,
        "eight in total"
    );
    let requests = egress.control(|receiver| receiver.requests("/long")).await.unwrap();
    assert_eq!(requests.last().unwrap().header("authorization").len(), 2000);
}

#[tokio::test]
async fn info_header_reserved_later_is_kept_and_sent() {
    let (context, egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let created = create(&api, &admin, "forwarded").await;
    let path = path(&created);
    // Stores the header as the previous release did.
    let key = context.webhook_key("acme", created.body["id"].as_str().unwrap());
    let mut item = context.dynamodb("GetItem", key).await["Item"].clone();
    let stored = item["webhook"]["S"].as_str().unwrap();
    let stored = stored.replace(r#""headers":{}"#, r#""headers":{"X-Real-IP":"10.0.0.1"}"#);
    assert!(stored.contains("X-Real-IP"), "{stored}");
    item["webhook"]["S"] = json!(stored);
    context.dynamodb("PutItem", json!({ "TableName": context.webhooks_table, "Item": item })).await;
    let get = || api.call(Some(&admin), "GET", &path, None);
    assert_eq!(get().await.1["headers"], json!({ "X-Real-IP": "10.0.0.1" }));
    let (_, sent) = api.call(Some(&admin), "POST", &format!("{path}/actions/test"), None).await;
    assert_eq!(sent["status"], "success", "{sent}");
    let requests = egress.control(|receiver| receiver.requests("/forwarded")).await.unwrap();
    assert_eq!(requests[0].header("x-real-ip"), "10.0.0.1");
    assert_eq!(
        api.call(Some(&admin), "PATCH", &path, patch("replace", "/name", json!("Other"))).await.0,
        204
    );
    let (status, answer) =
        api.call(Some(&admin), "PATCH", &path, patch("add", "/headers/Forwarded", json!("for=x"))).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(
        api.call(Some(&admin), "PATCH", &path, patch("remove", "/headers/X-Real-IP", json!(0))).await.0,
        204
    );
    assert_eq!(
        api.call(Some(&admin), "PATCH", &path, patch("add", "/headers/X-Real-IP", json!("1"))).await.0,
        400
    );
}

#[tokio::test]
async fn info_tenant_answers_are_not_cacheable() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    for (who, path) in [(Some(&admin), WEBHOOKS), (Some(&admin), "/api/core/webhooks/none"), (None, WEBHOOKS)]
    {
        let answer = api.exchange(who, "GET", path, None, None).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("strict-transport-security").starts_with("max-age="));
    }
}
