//! The router of `api`, called with the gateway's events: life cycle of a webhook, visibility, paging, history and resend.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kit::{Api, As, TestContext};

const WEBHOOKS: &str = "/api/v1/webhooks";

fn body(name: &str) -> Value {
    json!({ "name": name, "url": "https://hooks.receiver.test/in", "eventTypes": ["com.qlik.v1.app.created"] })
}

async fn create(api: &Api, who: &As, body: Value) -> Value {
    let (status, created) = api.call(Some(who), "POST", WEBHOOKS, Some(body)).await;
    assert_eq!(status, 201, "{created}");
    created
}

fn path(webhook: &Value) -> String {
    format!("{WEBHOOKS}/{}", webhook["id"].as_str().unwrap())
}

/// Creates a webhook with a secret and a header.
async fn create_full(api: &Api, who: &As) -> Value {
    let mut wanted = body("First");
    wanted["secret"] = json!("s".repeat(40));
    wanted["headers"] = json!({ "X-Key": "v" });
    create(api, who, wanted).await
}

/// Compares a webhook as the API shows it with a snapshot.
macro_rules! assert_webhook_snapshot {
    ($name:literal, $webhook:expr) => {
        insta::assert_json_snapshot!($name, $webhook, {
            ".id" => "[id]", ".createdAt" => "[time]", ".updatedAt" => "[time]",
        })
    };
}

#[tokio::test]
async fn created_webhook_is_shown_without_its_secret() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let created = create_full(&api, &admin).await;
    assert_webhook_snapshot!("webhook_created", &created);
    assert_eq!(api.call(Some(&admin), "GET", &path(&created), None).await, (200, created));
}

#[tokio::test]
async fn patch_changes_only_the_named_members() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let path = path(&create_full(&api, &admin).await);
    let change = json!([
        { "op": "replace", "path": "/enabled", "value": false },
        { "op": "add", "path": "/headers/X-More", "value": "w" },
        { "op": "replace", "path": "/description", "value": "Now described" },
    ]);
    assert_eq!(api.call(Some(&admin), "PATCH", &path, Some(change)).await, (204, Value::Null));
    let (_, patched) = api.call(Some(&admin), "GET", &path, None).await;
    assert_webhook_snapshot!("webhook_patched", patched);
}

#[tokio::test]
async fn put_resets_all_omitted_members() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let created = create_full(&api, &admin).await;
    let (status, replaced) = api.call(Some(&admin), "PUT", &path(&created), Some(body("Second"))).await;
    assert_eq!(status, 200, "{replaced}");
    assert_eq!(replaced["createdAt"], created["createdAt"]);
    assert_webhook_snapshot!("webhook_replaced", replaced);
}

#[tokio::test]
async fn deleted_webhook_is_404() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let path = path(&create_full(&api, &admin).await);
    assert_eq!(api.call(Some(&admin), "DELETE", &path, None).await, (204, Value::Null));
    assert_eq!(api.call(Some(&admin), "DELETE", &path, None).await.0, 404);
    assert_eq!(api.call(Some(&admin), "GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn invalid_patch_is_refused_and_changes_nothing() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let created = create(&api, &admin, body("Kept")).await;
    for (patch, field) in [
        (
            json!([{ "op": "replace", "path": "/name", "value": "x" }, { "op": "replace", "path": "/url", "value": "http://a.b" }]),
            "url",
        ),
        (
            json!([{ "op": "replace", "path": "/name", "value": "x" }, { "op": "remove", "path": "/headers/None" }]),
            "[1]",
        ),
        (json!([{ "op": "replace", "path": "/id", "value": "x" }]), "[0].path"),
        (json!([{ "op": "move", "from": "/name", "path": "/description" }]), "[0].op"),
        (json!([{ "op": "replace", "path": "/enabled" }]), "[0].value"),
        (json!([{ "op": "replace", "path": "/enabled", "value": "yes" }]), "enabled"),
        (json!({ "op": "replace", "path": "/name", "value": "x" }), "body"),
        (json!([{ "op": "replace", "path": "/eventTypes", "value": [] }]), "eventTypes"),
    ] {
        let (status, answer) = api.call(Some(&admin), "PATCH", &path(&created), Some(patch)).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        assert_eq!(api.call(Some(&admin), "GET", &path(&created), None).await.1, created);
    }
}

/// Returns a webhook's members as an array: derived deserializers accept an array for a struct, and the API must not.
fn members_by_position() -> Value {
    let mut members = vec![Value::Null; 14];
    (members[0], members[2], members[8]) = (json!("n"), json!("https://a.example"), json!(false));
    Value::Array(members)
}

#[tokio::test]
async fn errors_have_the_contract_shape() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    for (method, path, body, expected) in [
        ("POST", WEBHOOKS, Some(json!("{\"name\": ")), 400),
        ("POST", WEBHOOKS, Some(json!({})), 400),
        ("POST", WEBHOOKS, Some(json!([])), 400),
        ("POST", WEBHOOKS, Some(members_by_position()), 400),
        ("POST", WEBHOOKS, Some(json!({ "name": 7, "url": "https://a.example" })), 400),
        ("GET", "/api/v1/webhooks?limit=0", None, 400),
        ("GET", "/api/v1/webhooks?sort=secret", None, 400),
        ("GET", "/api/v1/webhooks?next=%%%", None, 400),
        ("GET", "/api/v1/webhooks/none", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("DELETE", WEBHOOKS, None, 405),
        ("POST", WEBHOOKS, Some(json!(" ".repeat(70_000))), 413),
    ] {
        let (status, answer) = api.call(Some(&admin), method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert_eq!(answer["errors"][0]["code"], format!("HTTP-{expected}"), "{answer}");
        assert!(answer["errors"][0]["title"].is_string(), "{answer}");
        assert!(answer["errors"][0]["rule"].is_string(), "{answer}");
    }
    let (_, answer) = api
        .call(Some(&admin), "POST", WEBHOOKS, Some(json!({ "name": 7, "url": "https://a.example" })))
        .await;
    assert_eq!(answer["errors"][0]["field"], "name", "{answer}");
    let (_, answer) = api
        .call(Some(&admin), "POST", WEBHOOKS, Some(json!({ "url": "http://1.2.3.4", "secret": "short" })))
        .await;
    assert_eq!(answer["errors"].as_array().unwrap().len(), 4, "{answer}");
}

#[tokio::test]
async fn request_without_verified_claims_is_refused() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let tenantless = As::claims(json!({ "sub": "someone" }));
    let odd = As::claims(json!({ "sub": "someone", "custom:tenantId": "a#b" }));
    let nameless = As::claims(json!({ "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" }));
    for (method, path) in [("GET", WEBHOOKS), ("POST", WEBHOOKS), ("GET", "/api/v1/webhooks/x/deliveries")] {
        let body = (method == "POST").then(|| body("x"));
        assert_eq!(api.call(None, method, path, body.clone()).await.0, 401, "{method} {path}");
        assert_eq!(api.call(Some(&nameless), method, path, body.clone()).await.0, 401, "{method} {path}");
        assert_eq!(api.call(Some(&tenantless), method, path, body.clone()).await.0, 403, "{method} {path}");
        assert_eq!(api.call(Some(&odd), method, path, body).await.0, 403, "{method} {path}");
    }
    assert_eq!(api.call(None, "GET", "/api/v1/webhooks/event-types", None).await.0, 401);
}

#[tokio::test]
async fn webhooks_are_visible_to_owner_and_tenant_admins_only() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (admin, ann, bob, foreign) =
        (As::admin("acme"), As::user("acme", "ann"), As::user("acme", "bob"), As::admin("globex"));
    let mut own = body("Ann's");
    own["level"] = json!("user");
    let anns = create(&api, &ann, own.clone()).await;
    // Only admins may use the level `tenant` or another owner.
    assert_eq!(api.call(Some(&ann), "POST", WEBHOOKS, Some(body("All"))).await.0, 403);
    own["ownerId"] = json!("bob");
    assert_eq!(api.call(Some(&ann), "POST", WEBHOOKS, Some(own.clone())).await.0, 403);
    let bobs = create(&api, &admin, own).await;

    for (who, sees_anns, sees_bobs) in
        [(&admin, 200, 200), (&ann, 200, 404), (&bob, 404, 200), (&foreign, 404, 404)]
    {
        for (webhook, expected) in [(&anns, sees_anns), (&bobs, sees_bobs)] {
            let path = path(webhook);
            assert_eq!(api.call(Some(who), "GET", &path, None).await.0, expected);
            assert_eq!(api.call(Some(who), "GET", &format!("{path}/deliveries"), None).await.0, expected);
            if expected == 404 {
                let mut whole = body("Stolen");
                whole["level"] = json!("user");
                let part = json!([{ "op": "replace", "path": "/name", "value": "Stolen" }]);
                let resend = format!("{path}/deliveries/{}/actions/resend", webhook["id"].as_str().unwrap());
                for (method, path, body) in [
                    ("PUT", path.as_str(), Some(whole)),
                    ("PATCH", path.as_str(), Some(part)),
                    ("DELETE", path.as_str(), None),
                    ("POST", resend.as_str(), None),
                ] {
                    assert_eq!(api.call(Some(who), method, path, body).await.0, 404, "{method} {path}");
                }
            }
        }
        let (_, list) = api.call(Some(who), "GET", WEBHOOKS, None).await;
        assert_eq!(
            list["data"].as_array().unwrap().len(),
            [sees_anns, sees_bobs].iter().filter(|s| **s == 200).count()
        );
    }
}

#[tokio::test]
async fn list_is_filtered_sorted_and_paged() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    for n in 0..7 {
        let mut one = body(&format!("Hook {}", (n * 3) % 7));
        one["enabled"] = json!(n % 2 == 0);
        create(&api, &admin, one).await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut url = format!("{WEBHOOKS}?sort=%2Bname&limit=3");
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let (status, page) = api.call(Some(&admin), "GET", &url, None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(names(&page));
        pages += 1;
        let Some(next) = page["links"]["next"]["href"].as_str() else {
            break;
        };
        let relative = next.strip_prefix("https://hooks.example.com").expect("an absolute link");
        assert!(relative.contains("limit=3") && relative.contains("sort=%2Bname"), "{relative}");
        url = relative.to_owned();
    }
    assert_eq!(seen, (0..7).map(|n| format!("Hook {n}")).collect::<Vec<_>>());
    assert_eq!(pages, 3);

    let (_, page) = api.call(Some(&admin), "GET", &format!("{WEBHOOKS}?name=hOOk%205"), None).await;
    assert_eq!(names(&page), ["Hook 5"]);
    let (_, page) = api.call(Some(&admin), "GET", &format!("{WEBHOOKS}?enabled=True"), None).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 4);
    let (_, page) = api
        .call(
            Some(&admin),
            "GET",
            &format!("{WEBHOOKS}?eventTypes=com.qlik.v1.app.created,com.qlik.v1.app.deleted"),
            None,
        )
        .await;
    assert_eq!(page["data"], json!([]));
}

#[tokio::test]
async fn resend_uses_the_current_webhook_and_adds_a_row() {
    let (context, egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let mut wanted = body("Resent");
    wanted["enabled"] = json!(false);
    let created = create(&api, &admin, wanted).await;
    let tenant = anzol_domain::TenantId::parse("acme").unwrap();
    let stored = context
        .webhooks
        .get(&tenant, created["id"].as_str().unwrap().parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    // A delivery made without the queues.
    let event = json!({ "specversion": "1.0", "id": "e1", "source": "s", "type": "com.qlik.v1.app.created", "tenantid": "acme" });
    let task = anzol_domain::DeliveryTask {
        tenant_id: tenant.clone(),
        webhook_id: stored.id,
        delivery_id: anzol_domain::DeliveryId::mint(anzol_runtime::now()),
        attempt: 1,
        trigger: anzol_domain::Trigger::Event,
        accepted_at: None,
        trace: None,
        event: anzol_domain::Event::parse(&event.to_string(), anzol_runtime::now()).unwrap(),
    };
    let first = anzol_pipeline::Deliverer::new(egress.client.clone(), anzol_runtime::now)
        .deliver(&context.vault.open(&stored).await.unwrap(), &task)
        .await;
    context.put_deliveries(std::slice::from_ref(&first)).await;

    let secret = "a-new-secret-of-at-least-32-chars!";
    let patch = json!([
        { "op": "replace", "path": "/url", "value": "https://new.receiver.test/moved" },
        { "op": "add", "path": "/secret", "value": secret },
    ]);
    assert_eq!(api.call(Some(&admin), "PATCH", &path(&created), Some(patch)).await.0, 204);
    let resend = format!("{}/deliveries/{}/actions/resend", path(&created), first.id);
    let (status, sent) = api.call(Some(&admin), "POST", &resend, None).await;
    assert_eq!(
        (status, &sent["status"], &sent["trigger"]),
        (201, &json!("success"), &json!("resend")),
        "{sent}"
    );
    assert_ne!(sent["id"], first.id.to_string());

    let requests = egress.control(|receiver| receiver.all_requests()).await.unwrap();
    let [old, new] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (old.path.as_str(), new.path.as_str(), new.host.as_str()),
        ("/in", "/moved", "new.receiver.test")
    );
    assert_eq!(old.body().unwrap(), new.body().unwrap());
    assert_eq!(old.header("webhook-id"), new.header("webhook-id"));
    assert!(!old.headers.contains_key("qlik-signature"));
    let expected = hex::encode(anzol_tests::aws::hmac_sha256(secret.as_bytes(), &new.body().unwrap()));
    assert_eq!(new.header("qlik-signature"), expected);

    let (_, history) = api.call(Some(&admin), "GET", &format!("{}/deliveries", path(&created)), None).await;
    let ids: Vec<_> = history["data"].as_array().unwrap().iter().map(|d| d["id"].clone()).collect();
    assert_eq!(ids, [sent["id"].clone(), json!(first.id)]);
    let (_, one) =
        api.call(Some(&admin), "GET", &format!("{}/deliveries/{}", path(&created), first.id), None).await;
    assert_eq!(one, history["data"][1]);
    assert_eq!(one["request"]["body"]["eventType"], "com.qlik.v1.app.created");
    let none = format!("{}/deliveries/{}/actions/resend", path(&created), created["id"].as_str().unwrap());
    assert_eq!(api.call(Some(&admin), "POST", &none, None).await.0, 404);
}

#[tokio::test]
async fn event_types_are_listed_with_texts_and_levels() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let user = As::user("acme", "ann");
    let (status, answer) = api.call(Some(&user), "GET", "/api/v1/webhooks/event-types", None).await;
    assert_eq!(status, 200);
    let listed = answer["data"].as_array().unwrap();
    for event_type in listed {
        for member in ["name", "title", "description", "category"] {
            let text = event_type[member].as_str().unwrap_or_else(|| panic!("no {member} in {event_type}"));
            assert!(!text.trim().is_empty(), "{member} of {event_type}");
        }
        let levels = event_type["levels"].as_array().unwrap();
        assert!(levels.contains(&json!("tenant")), "{event_type}");
        assert!(levels.iter().all(|level| [json!("tenant"), json!("user")].contains(level)), "{event_type}");
    }
    let names: BTreeSet<_> = listed.iter().map(|event_type| event_type["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), listed.len(), "each is listed once");
    for name in ["app.created", "app.deleted", "app.exported", "user.created", "user.deleted"] {
        assert!(names.contains(format!("com.qlik.v1.{name}").as_str()), "{name} is not in {names:?}");
    }
    let (_, core) = api.call(Some(&user), "GET", "/api/core/webhooks/event-types", None).await;
    assert_eq!(core, answer, "both base paths list the same");
}
