//! The public contract's rules on both base paths, and their differences (contract sections 1, 2 and 6.4).

use anzol_domain::{Disabled, TenantId};
use serde_json::{Value, json};

use crate::kit::{Answer, Api, As, TestContext};

const V1: &str = "/api/v1/webhooks";
const CORE: &str = "/api/core/webhooks";
const CREATED: &str = "com.qlik.v1.app.created";

fn body() -> Value {
    json!({ "name": "Hook", "url": "https://hooks.receiver.test/in", "eventTypes": [CREATED] })
}

fn with(member: &str, value: Value) -> Value {
    let mut body = body();
    body[member] = value;
    body
}

/// The API of one base path, called by an admin of acme.
struct BasePath<'a> {
    api: &'a Api,
    base: &'a str,
}

impl BasePath<'_> {
    async fn call(&self, method: &str, tail: &str, body: Option<Value>) -> Answer {
        let path = format!("{}{tail}", self.base);
        self.api.exchange(Some(&As::admin("acme")), method, &path, Some("application/json"), body).await
    }

    async fn create(&self, body: Value) -> Value {
        let answer = self.call("POST", "", Some(body)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body
    }

    async fn get(&self, id: &Value) -> Value {
        let answer = self.call("GET", &tail(id), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn patch(&self, id: &Value, operations: Value) -> Answer {
        self.call("PATCH", &tail(id), Some(operations)).await
    }

    async fn put(&self, id: &Value, body: Value) -> Answer {
        self.call("PUT", &tail(id), Some(body)).await
    }
}

fn tail(id: &Value) -> String {
    format!("/{}", id.as_str().unwrap())
}

fn replace(path: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!([{ "op": "replace", "path": path, "value": value }])
}

#[tokio::test]
async fn base_paths_share_webhooks_and_v1_is_deprecated() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (v1, core) = (BasePath { api: &api, base: V1 }, BasePath { api: &api, base: CORE });
    let created = v1.create(body()).await;
    assert_eq!(core.get(&created["id"]).await, created);
    let at = created["createdAt"].as_str().unwrap();
    assert!(at.len() <= "2026-11-24T10:00:00.000Z".len(), "{at}: some date parsers accept no more digits");

    for (at, method, path) in [
        (&v1, "GET", ""),
        (&v1, "GET", "/event-types"),
        (&v1, "GET", "/none"),
        (&v1, "GET", "/no/such/path"),
        (&v1, "DELETE", ""),
        (&core, "GET", ""),
        (&core, "GET", "/none"),
    ] {
        let answer = at.call(method, path, None).await;
        let old = at.base == V1;
        let link = format!("<{CORE}{path}>; rel=\"successor-version\"");
        assert_eq!(answer.header("deprecation"), if old { "@1793664000" } else { "" }, "{answer:?}");
        assert_eq!(answer.header("sunset"), if old { "Mon, 01 Nov 2027 00:00:00 GMT" } else { "" });
        assert_eq!(answer.header("link"), if old { &link } else { "" });
    }
    for at in [&v1, &core] {
        let list = at.call("GET", "?limit=1", None).await;
        let expected = format!("https://hooks.example.com{}?limit=1", at.base);
        assert_eq!(list.body["links"]["self"]["href"], expected);
    }
}

#[tokio::test]
async fn core_patch_changes_members_that_v1_refuses() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (v1, core) = (BasePath { api: &api, base: V1 }, BasePath { api: &api, base: CORE });
    let id = v1.create(body()).await["id"].clone();
    for (path, value) in [
        ("/filter", json!("id eq \"a\"")),
        ("/level", json!("user")),
        ("/ownerId", json!("ann")),
        ("/checkCertificateRevocation", json!(false)),
    ] {
        let refused = v1.patch(&id, replace(path, value.clone())).await;
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        assert_eq!(refused.rules(), [("[0].path", "one_of")]);
        assert_eq!(refused.params()["values"][0], "/name");
        assert_eq!(core.patch(&id, replace(path, value)).await.status, 204, "{path}");
    }
    let now = core.get(&id).await;
    assert_eq!(
        (&now["filter"], &now["level"], &now["ownerId"]),
        (&json!("id eq \"a\""), &json!("user"), &json!("ann"))
    );

    // Single members, by name and by index.
    let operations = json!([
        { "op": "add", "path": "/headers/X-Key", "value": "1" },
        { "op": "add", "path": "/encryptedHeaders/X-Token", "value": "secret" },
        { "op": "add", "path": "/eventTypes/-", "value": "com.qlik.v1.app.exported" },
        { "op": "remove", "path": "/eventTypes/0" },
        { "op": "remove", "path": "/filter" },
    ]);
    assert_eq!(core.patch(&id, operations).await.status, 204);
    let now = core.get(&id).await;
    assert_eq!((&now["headers"], &now["encryptedHeaders"]), (&json!({ "X-Key": "1" }), &json!(["X-Token"])));
    assert_eq!((&now["eventTypes"], &now["filter"]), (&json!(["com.qlik.v1.app.exported"]), &Value::Null));
}

#[tokio::test]
async fn immutable_member_is_a_conflict_in_core() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (v1, core) = (BasePath { api: &api, base: V1 }, BasePath { api: &api, base: CORE });
    let created = v1.create(with("origin", json!("automations"))).await;
    let id = &created["id"];
    assert_eq!(created["origin"], "automations");
    for name in [
        "id",
        "origin",
        "createdAt",
        "createdByUserId",
        "updatedAt",
        "updatedByUserId",
        "disabledReason",
        "disabledReasonCode",
        "secretKeyAdded",
    ] {
        let operations = replace(&format!("/{name}"), json!("2020-01-01T00:00:00Z"));
        let answer = core.patch(id, operations.clone()).await;
        assert_eq!((answer.status, answer.rules()), (409, vec![("[0].path", "patch_read_only")]));
        assert_eq!(*answer.params(), json!({ "name": name }));
        assert_eq!(v1.patch(id, operations).await.status, 400, "{name}");
    }
    for name in
        ["id", "origin", "createdAt", "createdByUserId", "updatedAt", "updatedByUserId", "disabledReason"]
    {
        let changed = with(name, json!("2020-01-01T00:00:00Z"));
        // A date is not a valid `origin`.
        let expected = if name == "origin" { (400, "unreadable") } else { (409, "read_only") };
        let answer = core.put(id, changed).await;
        assert_eq!((answer.status, answer.rules()), (expected.0, vec![(name, expected.1)]));
    }
    assert_eq!(core.put(id, with("origin", json!("api"))).await.status, 409);
    assert_eq!(core.get(id).await, created, "nothing was changed");

    // Clients may send back a webhook as they read it, and v1 ignores unknown members.
    let mut echo = created.clone();
    echo["name"] = json!("Echoed");
    assert_eq!(core.put(id, echo).await.status, 200);
    let stale = created.clone();
    assert_eq!(core.put(id, stale.clone()).await.status, 409, "`updatedAt` shows a change since");
    let answer = v1.put(id, stale).await;
    assert_eq!((answer.status, &answer.body["origin"]), (200, &json!("automations")));
}

#[tokio::test]
async fn cloud_event_delivery_cannot_be_disabled() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let (v1, core) = (BasePath { api: &api, base: V1 }, BasePath { api: &api, base: CORE });
    let (member, path) = ("enableCloudEventDelivery", "/enableCloudEventDelivery");
    let created = v1.create(body()).await;
    let id = &created["id"];
    assert_eq!(created[member], false);
    assert_eq!(core.put(id, body()).await.body[member], false);
    assert_eq!(v1.patch(id, replace(path, json!(true))).await.status, 204);
    // An omitted member is unchanged in v1, and means `false` in core.
    assert_eq!(v1.put(id, body()).await.body[member], true);
    assert_eq!(core.put(id, body()).await.status, 403);
    assert_eq!(core.put(id, with(member, json!(true))).await.status, 200);
    for at in [&v1, &core] {
        assert_eq!(at.put(id, with(member, json!(false))).await.status, 403);
        assert_eq!(at.patch(id, replace(path, json!(false))).await.status, 403);
    }
    assert_eq!(v1.get(id).await[member], true);
}

#[tokio::test]
async fn put_resets_omitted_members() {
    let (_context, _egress, api) = TestContext::with_api().await;
    for base in [V1, CORE] {
        let at = BasePath { api: &api, base };
        let whole = json!({
            "name": "Whole", "description": "d", "url": "https://hooks.receiver.test/in", "eventTypes": [CREATED],
            "level": "user", "filter": "id eq \"a\"", "secret": "s".repeat(32), "headers": { "X-A": "1" },
            "encryptedHeaders": { "X-B": "2" }, "enabled": true, "checkCertificateRevocation": false,
        });
        let created = at.create(whole).await;
        for (name, value) in [
            ("description", json!("d")),
            ("filter", json!("id eq \"a\"")),
            ("secretKeyAdded", json!(true)),
            ("headers", json!({ "X-A": "1" })),
            ("encryptedHeaders", json!(["X-B"])),
            ("level", json!("user")),
            ("checkCertificateRevocation", json!(false)),
        ] {
            assert_eq!(created[name], value, "{name}");
        }
        let answer =
            at.put(&created["id"], json!({ "name": "Bare", "url": "https://hooks.receiver.test/in" })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for (name, value) in [
            ("description", Value::Null),
            ("filter", Value::Null),
            ("secretKeyAdded", json!(false)),
            ("headers", json!({})),
            ("encryptedHeaders", json!([])),
            ("level", json!("tenant")),
            ("enabled", json!(false)),
            ("eventTypes", json!([])),
        ] {
            assert_eq!(answer.body[name], value, "{name}");
        }
        // The header names of an answer are not valid in a request.
        let names = with("encryptedHeaders", json!(["X-B"]));
        assert_eq!(at.put(&created["id"], names).await.status, 400);
        assert_eq!(at.put(&created["id"], with("encryptedHeaders", json!([]))).await.status, 200);
    }
}

#[tokio::test]
async fn new_url_requires_new_encrypted_headers() {
    let (context, _egress, api) = TestContext::with_api().await;
    for base in [V1, CORE] {
        let at = BasePath { api: &api, base };
        let tokens = json!({ "X-One": "first secret", "X-Two~": "second secret" });
        let id = at.create(with("encryptedHeaders", tokens)).await["id"].clone();
        let url = |path: &str| json!({ "op": "replace", "path": "/url", "value": format!("https://other.receiver.test/{path}") });
        let op = |op: &str, name: &str| json!({ "op": op, "path": format!("/encryptedHeaders{name}"), "value": "new" });
        for (operations, lacking) in [
            (json!([url("a")]), "X-One"),
            (json!([url("a"), op("replace", "/X-One")]), "X-Two~"),
            (json!([op("remove", "/X-Two~0"), url("a")]), "X-One"),
            (json!([url("a"), op("add", "/X-Three")]), "X-One"),
        ] {
            let answer = at.patch(&id, operations.clone()).await;
            assert_eq!(answer.status, 400, "{operations}: {answer:?}");
            let lacking = format!("encryptedHeaders.{lacking}");
            assert!(answer.rules().contains(&(lacking.as_str(), "header_value_required")), "{answer:?}");
        }
        assert!(
            at.get(&id).await["url"].as_str().unwrap().starts_with("https://hooks."),
            "nothing was changed"
        );
        // A URL that normalizes to the same value is not a change.
        assert_eq!(
            at.patch(&id, replace("/url", json!("https://HOOKS.receiver.test:443/in"))).await.status,
            204
        );
        let all = json!([op("replace", "/X-One"), url("b"), op("remove", "/X-Two~0")]);
        assert_eq!(at.patch(&id, all).await.status, 204);
        let whole =
            json!([{ "op": "replace", "path": "/encryptedHeaders", "value": { "X-Four": "4" } }, url("c")]);
        assert_eq!(at.patch(&id, whole).await.status, 204);
        assert_eq!(at.get(&id).await["encryptedHeaders"], json!(["X-Four"]));
        // PUT does not keep values, so it cannot send them to another URL.
        let answer = at.put(&id, with("url", json!("https://third.receiver.test/"))).await;
        assert_eq!((answer.status, &answer.body["encryptedHeaders"]), (200, &json!([])));
        let tenant = TenantId::parse("acme").unwrap();
        let stored = context.webhooks.get(&tenant, id.as_str().unwrap().parse().unwrap()).await;
        assert_eq!(stored.unwrap().unwrap().sealed, None);
    }
}

#[tokio::test]
async fn answers_never_show_secrets() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let at = BasePath { api: &api, base: CORE };
    let secret = "correct-horse-battery-staple-0123";
    let mut hidden = with("secret", json!(secret));
    hidden["encryptedHeaders"] = json!({ "Authorization": "Bearer hidden-value" });
    let created = at.create(hidden.clone()).await;
    hidden["headers"] = json!({ "authorization": "Bearer hidden-value" });
    hidden["secret"] = json!(format!("{secret}{secret}"));
    let wrong_kind =
        json!([{ "op": "replace", "path": "/encryptedHeaders/Authorization", "value": ["hidden-value"] }]);
    for answer in [
        at.call("GET", &tail(&created["id"]), None).await,
        at.call("GET", "", None).await,
        at.call("POST", "", Some(hidden)).await,
        at.patch(&created["id"], wrong_kind).await,
        at.patch(&created["id"], replace("/encryptedHeaders/Nothing", json!("hidden-value"))).await,
    ] {
        let text = format!("{}", answer.body);
        assert!(!text.contains("hidden-value") && !text.contains("battery"), "{text}");
    }
}

#[tokio::test]
async fn certificate_revocation_check_is_refused() {
    let (_context, _egress, api) = TestContext::with_api().await;
    for base in [V1, CORE] {
        let at = BasePath { api: &api, base };
        let wanted = with("checkCertificateRevocation", json!(true));
        let answer = at.call("POST", "", Some(wanted.clone())).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.rules(), [("checkCertificateRevocation", "must_be_false")]);
        let id = at.create(body()).await["id"].clone();
        assert_eq!(at.put(&id, wanted).await.status, 400);
    }
}

#[tokio::test]
async fn event_types_accept_old_and_new_names() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let at = BasePath { api: &api, base: V1 };
    let created = at
        .create(with("eventTypes", json!(["com.qlik.app.created", "com.qlik.core.user.deleted", CREATED])))
        .await;
    assert_eq!(created["eventTypes"], json!([CREATED, "com.qlik.v1.user.deleted"]));
    for query in [
        "eventTypes=com.qlik.app.created",
        "eventTypes=com.qlik.v1.app.created,com.qlik.core.user.deleted",
        "eventType=com.qlik.v1.user.deleted",
    ] {
        let list = at.call("GET", &format!("?{query}"), None).await;
        assert_eq!(list.body["data"].as_array().unwrap().len(), 1, "{query}: {list:?}");
    }
    let list = at.call("GET", "?eventTypes=com.qlik.app.created,com.qlik.v1.app.exported", None).await;
    assert_eq!(list.body["data"], json!([]), "a webhook must have all of them");
    let unknown = at.call("GET", "?eventTypes=com.qlik.v1.app.opened", None).await;
    assert_eq!((unknown.status, unknown.rules()), (400, vec![("eventTypes", "event_types_unknown")]));
}

#[tokio::test]
async fn enabling_clears_the_disabled_reason() {
    let (context, _egress, api) = TestContext::with_api().await;
    let tenant = TenantId::parse("acme").unwrap();
    for base in [V1, CORE] {
        let at = BasePath { api: &api, base };
        for by_patch in [true, false] {
            let id = at.create(body()).await["id"].clone();
            let stored =
                context.webhooks.get(&tenant, id.as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
            // Disables the webhook as the sender does after repeated failures.
            let mut disabled = stored.clone();
            disabled.spec.enabled = false;
            disabled.version += 1;
            disabled.disabled =
                Some(Disabled { reason: "the receiver answered 410".to_owned(), code: "GONE".to_owned() });
            context.webhooks.replace(&stored, &disabled).await.unwrap();
            let shown = at.get(&id).await;
            assert_eq!((&shown["enabled"], &shown["disabledReasonCode"]), (&json!(false), &json!("GONE")));
            assert_eq!(shown["disabledReason"], "the receiver answered 410");

            assert_eq!(at.patch(&id, replace("/name", json!("Renamed"))).await.status, 204);
            assert_eq!(at.get(&id).await["disabledReasonCode"], "GONE", "still disabled");
            if by_patch {
                assert_eq!(at.patch(&id, replace("/enabled", json!(true))).await.status, 204);
            } else {
                assert_eq!(at.put(&id, with("enabled", json!(true))).await.status, 200);
            }
            let shown = at.get(&id).await;
            assert_eq!((&shown["enabled"], &shown["disabledReason"]), (&json!(true), &Value::Null));
            assert_eq!(shown.get("disabledReasonCode"), None);
        }
    }
}

#[tokio::test]
async fn syntax_error_is_reported_with_its_position() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let at = BasePath { api: &api, base: CORE };
    let answer = at.call("POST", "", Some(json!("{\n  \"name\": oops }"))).await;
    assert_eq!(answer.status, 400);
    assert_eq!((answer.rules(), &answer.params()["line"]), (vec![("body", "json")], &json!(2)));

    let filter = at.call("POST", "", Some(with("filter", json!("id eq \"a\" and nonsense")))).await;
    assert_eq!(
        (filter.rules(), &filter.params()["position"]),
        (vec![("filter", "filter_syntax")], &json!(15))
    );
}

#[tokio::test]
async fn every_invalid_field_is_named() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let at = BasePath { api: &api, base: CORE };
    let bad = json!({
        "name": "n".repeat(513), "description": "d".repeat(1025), "url": "https://10.0.0.1/", "secret": "short",
        "eventTypes": [CREATED, "no.such.type"], "headers": { "Host": "x" }, "encryptedHeaders": { "X Y": "x" },
        "filter": "oops", "checkCertificateRevocation": true, "ownerId": "a b",
    });
    let answer = at.call("POST", "", Some(bad)).await;
    let named = answer.fields();
    for field in [
        "name",
        "description",
        "url",
        "secret",
        "eventTypes[1]",
        "headers.Host",
        "encryptedHeaders.X Y",
        "filter",
        "checkCertificateRevocation",
        "ownerId",
    ] {
        assert!(named.contains(&field), "{field} in {named:?}");
    }
    assert!(answer.body["errors"].as_array().unwrap().iter().all(|error| error["code"] == "HTTP-400"));

    let answer = at.call("GET", "?limit=0&sort=x&level=y&enabled=maybe&eventType=z&origins=q", None).await;
    assert_eq!(answer.fields(), ["enabled", "level", "eventType", "origins", "sort", "limit"]);
}

#[tokio::test]
async fn wrong_method_media_type_or_path_has_its_status() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    let path = format!("{CORE}/event-types");
    for (method, path, allowed) in [
        ("DELETE", CORE, "GET,HEAD,POST"),
        ("POST", path.as_str(), "GET,HEAD"),
        ("TRACE", CORE, "GET,HEAD,POST"),
    ] {
        let answer = api.exchange(Some(&admin), method, path, None, None).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
        assert_eq!(answer.body["errors"][0]["code"], "HTTP-405");
    }
    let answer = api.exchange(Some(&admin), "POST", CORE, Some("text/plain"), Some(body())).await;
    assert_eq!((answer.status, answer.rules()), (415, vec![("", "unsupported_media_type")]));
    assert_eq!(*answer.params(), json!({ "values": ["application/json"] }));
    for unknown in ["/api/core/webhooks/a/b", "/api/v2/webhooks", "/"] {
        let answer = api.exchange(Some(&admin), "GET", unknown, None, None).await;
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["code"]),
            (404, &json!("HTTP-404")),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn qlik_client_requests_are_accepted() {
    let (_context, _egress, api) = TestContext::with_api().await;
    let admin = As::admin("acme");
    for base in [V1, CORE] {
        let at = BasePath { api: &api, base };
        let created = at.create(with("enabled", json!(true))).await;
        let path = format!("{base}{}", tail(&created["id"]));
        // A content type without a body, a body without a content type, unknown parameters, Python's booleans.
        for (method, path, content_type, status) in [
            ("GET", format!("{base}?enabled=True&limit=5&unknown=1&filter="), Some("application/json"), 200),
            ("GET", format!("{base}?enabled=TRUE&sort=+name&origins=api,automations"), None, 200),
            ("GET", format!("{base}?sort=%2Bname&next=&name="), Some(""), 200),
            ("GET", format!("{path}/deliveries?status=fail&sort=-triggeredAt&limit=5"), None, 200),
            ("DELETE", path, Some("application/json"), 204),
        ] {
            let answer = api.exchange(Some(&admin), method, &path, content_type, None).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        }
        for content_type in
            [None, Some("application/json; charset=utf-8"), Some("application/json-patch+json")]
        {
            let created = api.exchange(Some(&admin), "POST", base, content_type, Some(body())).await;
            assert_eq!(created.status, 201, "{content_type:?}: {created:?}");
        }
        // A webhook as it was read with a new name, and the patch that qlik-saas-api sends for `enabled: false`.
        let mut read = at.create(body()).await;
        read["name"] = json!("Renamed");
        assert_eq!(at.put(&read["id"], read.clone()).await.status, 200);
        let no_value = json!([{ "op": "replace", "path": "/enabled" }]);
        assert_eq!(at.patch(&read["id"], no_value).await.status, 400);
    }
}

#[tokio::test]
async fn concurrent_edits_are_applied_or_reported() {
    let (context, egress, _) = TestContext::with_api().await;
    let first = context.api(&egress);
    let at = BasePath { api: &first, base: CORE };
    let id = at.create(body()).await["id"].clone();
    let edits = (0..12).map(|n| {
        // A router per edit, like separate Lambda environments.
        let (api, id) = (context.api(&egress), id.clone());
        tokio::spawn(async move {
            let operations =
                json!([{ "op": "add", "path": format!("/headers/X-{n}"), "value": n.to_string() }]);
            let answer = BasePath { api: &api, base: CORE }.patch(&id, operations).await;
            (format!("X-{n}"), answer)
        })
    });
    let mut expected = Vec::new();
    for edit in edits.collect::<Vec<_>>() {
        let (name, answer) = edit.await.unwrap();
        match answer.status {
            204 => expected.push(name),
            409 => assert_eq!(answer.rules(), [("", "conflict")]),
            429 => assert_eq!(answer.header("retry-after"), "1"),
            _ => panic!("{answer:?}"),
        }
    }
    assert!(!expected.is_empty());
    expected.sort();
    let now = at.get(&id).await;
    let names: Vec<_> = now["headers"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, expected, "exactly the edits answered with 204");
}
