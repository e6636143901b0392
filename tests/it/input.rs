//! Hostile input: too large, too deep, not UTF-8, duplicate members; and invocations that did not come from the gateway.

use std::time::{Duration, Instant};

use anzol_http::MAX_TARGET;
use anzol_tests::gateway;
use serde_json::{Value, json};

use crate::kit::queues::{DEAD, FAST, Queues};
use crate::kit::{Answer, Api, As, TestContext, batch, failed, fanout, webhook};

const WEBHOOKS: &str = "/api/core/webhooks";
const EVENTS: &str = "/api/v1/events";

/// Maximum size of an error answer.
const MAX_ANSWER: usize = 300 * 1024;

/// Maximum time for any body: far above the largest body's time in an unoptimized build, far below that of quadratic work.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the gateway's event for a request of an admin of acme.
fn request(method: &str, path: &str, body: &[u8]) -> Value {
    let claims = json!({ "sub": "root", "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" });
    let event = gateway::event(method, path, &[("content-type", "application/json")]);
    gateway::with_body(gateway::with_claims(event, &claims), body)
}

async fn post(api: &Api, path: &str, body: &[u8]) -> Answer {
    let started = Instant::now();
    let answer = api.invoke(&request("POST", path, body)).await.unwrap();
    assert!(started.elapsed() < TIMEOUT, "{} bytes took {:?}", body.len(), started.elapsed());
    assert!(
        answer.body.to_string().len() < MAX_ANSWER,
        "an answer of {} bytes",
        answer.body.to_string().len()
    );
    answer
}

/// Bodies that every parser refuses.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", Vec::new()),
        ("incomplete JSON", b"{".to_vec()),
        ("not UTF-8", b"{\"name\":\"\xff\xfe\"}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a byte-order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("a raw NUL", b"{\"name\":\"\0\"}".to_vec()),
        ("a lone surrogate", br#"{"specversion":"1.0","id":"\ud800","source":"s","type":"t","tenantid":"acme"}"#.to_vec()),
        ("a lone surrogate in data", br#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme","data":["\udfff"]}"#.to_vec()),
        ("nested arrays", "[".repeat(60_000).into_bytes()),
        ("nested objects", "{\"a\":".repeat(10_000).into_bytes()),
        ("closed nested arrays", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)).into_bytes()),
        ("nested data", format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme","data":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000)).into_bytes()),
        ("a member twice", br#"{"specversion":"1.0","specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme"}"#.to_vec()),
        ("a member of data twice", br#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenantid":"acme","data":{"id":"a","\u0069d":"b"}}"#.to_vec()),
    ]
}

#[tokio::test]
async fn unreadable_body_is_refused() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    for path in [WEBHOOKS, "/api/v1/webhooks"] {
        for (what, body) in unreadable() {
            assert_eq!(post(&api, path, &body).await.status, 400, "{what}");
        }
    }
}

#[tokio::test]
async fn body_size_and_number_of_errors_are_bounded() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    for (size, status) in [(64 * 1024, 400), (64 * 1024 + 1, 413), (5 * 1024 * 1024, 413)] {
        assert_eq!(post(&api, WEBHOOKS, &vec![b' '; size]).await.status, status, "{size}");
        assert_eq!(post(&api, WEBHOOKS, &vec![b'['; size]).await.status, status, "{size}");
    }
    // The maximum number of problems in a body, each with a long name.
    let crowd: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("é{n}"), json!("\u{7f}"))).collect();
    let crowd = json!({ "name": "n", "url": "https://hooks.example.com/", "headers": crowd }).to_string();
    let refused = post(&api, WEBHOOKS, crowd.as_bytes()).await;
    assert_eq!((refused.status, refused.body["errors"].as_array().unwrap().len()), (400, 100));
    let long =
        json!({ "name": "n", "url": "https://hooks.example.com/", "headers": { "é".repeat(20_000): "1" } });
    assert_eq!(post(&api, WEBHOOKS, long.to_string().as_bytes()).await.status, 400);
}

#[tokio::test]
async fn control_characters_and_duplicate_members_are_refused() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    for name in ["\u{0}", "a\r\nb", "a\u{85}b"] {
        let body = json!({ "name": name, "url": "https://hooks.example.com/", "enabled": false }).to_string();
        let refused = post(&api, WEBHOOKS, body.as_bytes()).await;
        assert_eq!(refused.status, 400, "{name:?}: {refused:?}");
        assert_eq!(refused.rules(), [("name", "no_control_characters")], "{name:?}");
    }
    let twice = br#"{"name":"n","url":"https://good.example.com/","url":"https://evil.example.com/","enabled":false}"#;
    let refused = post(&api, WEBHOOKS, twice).await;
    assert_eq!((refused.status, refused.rules()), (400, vec![("body", "duplicate_member")]), "{refused:?}");
    assert_eq!(*refused.params(), json!({ "name": "url" }));
}

#[tokio::test]
async fn malformed_patch_is_refused_and_changes_nothing() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    let stored = webhook("acme");
    context.webhooks.create(&stored, 100).await.unwrap();
    let path = format!("{WEBHOOKS}/{}", stored.id);
    for patch in [
        br#"[{"op":"replace","path":"/name","path":"/url","value":"https://evil.example.com/"}]"#.as_slice(),
        br#"[{"op":"replace","path":"/name","value":"\ud800"}]"#,
        br#"[{"op":"replace","path":"/name","value":1e999}]"#,
        br#"[{"op":"replace","path":"/headers","value":{"X-A":"b\r\nEvil: 1"}}]"#,
        br#"[{"op":"add","path":"/headers/X-A~1B","value":"1"}]"#,
        br#"[{"op":"add","path":"/headers/X-A~0","value":"b\nc"}]"#,
        br#"[{"op":"add","path":"/eventTypes/18446744073709551616","value":"com.qlik.v1.app.created"}]"#,
    ] {
        let refused = api.invoke(&request("PATCH", &path, patch)).await.unwrap();
        assert_eq!(refused.status, 400, "{}: {refused:?}", String::from_utf8_lossy(patch));
    }
    assert_eq!(context.webhooks.get(&stored.tenant_id, stored.id).await.unwrap(), Some(stored));
}

#[tokio::test]
async fn invalid_paths_queries_and_cursors_are_refused() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    let get = async |path: &str, query: &str| {
        let mut event = request("GET", path, b"");
        event["rawQueryString"] = json!(query);
        let answer = api.invoke(&event).await.unwrap();
        assert!(answer.body.to_string().len() < MAX_ANSWER);
        let rules = answer.rules().into_iter().map(|(field, rule)| (field.to_owned(), rule.to_owned()));
        (answer.status, rules.collect::<Vec<_>>())
    };
    let at = |tail: &str| format!("{WEBHOOKS}/{tail}");
    assert_eq!(get(&at(&"x".repeat(MAX_TARGET)), "").await.0, 414);
    assert_eq!(get(WEBHOOKS, &format!("name={}", "x".repeat(MAX_TARGET))).await.0, 414);
    for tail in [
        "x".repeat(9_000).as_str(),
        "%00",
        "%0d%0aSet-Cookie:%20a=b",
        "..%2f..%2fetc",
        "%2e%2e",
        "a/b/c/d/e/f",
    ] {
        assert_eq!(get(&at(tail), "").await.0, 404, "{tail}");
    }
    assert_eq!(get(&at("%ff"), "").await.0, 400, "not UTF-8");
    for cursor in ["x", "%00", "%ff%fe", "AAAA", &"A".repeat(8_000), "eyJhIjoxfQ", "..", "%F0%9F%98%80"] {
        for which in ["next", "prev"] {
            let (status, rules) = get(WEBHOOKS, &format!("{which}={cursor}")).await;
            assert_eq!((status, rules), (400, vec![(which.to_owned(), "cursor".to_owned())]));
        }
    }
    for query in ["limit=99999999999999999999", "limit=1e2", "limit=%00", "sort=%ff", "sort=__proto__"] {
        assert_eq!(get(WEBHOOKS, query).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn oversized_or_ambiguous_events_are_refused() {
    let context = TestContext::start().await;
    let api = context.ingest();
    for (what, body) in unreadable() {
        assert_eq!(post(&api, EVENTS, &body).await.status, 400, "{what}");
    }
    for (size, status) in [(1024 * 1024, 400), (1024 * 1024 + 1, 413), (5 * 1024 * 1024, 413)] {
        assert_eq!(post(&api, EVENTS, &vec![b' '; size]).await.status, status, "{size}");
    }
    // The bodies of a megabyte that take the longest to parse.
    let head = r#""specversion":"1.0","id":"1","source":"s","type":"t""#;
    let many = |member: &dyn Fn(usize) -> String| (0..90_000).map(member).collect::<Vec<_>>().join(",");
    for body in [
        format!("{{{head},{}}}", many(&|n| format!("\"{n}\":0"))),
        format!("{{{head},\"data\":{{{}}}}}", many(&|n| format!("\"{n}\":0"))),
        format!("[{}]", many(&|_| "{}".to_owned())),
        format!("[{}]", many(&|n| n.to_string())),
        format!("{{{head},\"data\":\"{}\"}}", "\\u0041".repeat(170_000)),
    ] {
        assert_eq!(post(&api, EVENTS, body.as_bytes()).await.status, 400);
    }
    let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "%ff%fe"), ("ce-type", "t")];
    let refused =
        api.exchange_with(Some(&As::admin("acme")), "POST", EVENTS, &headers, Some(json!("{}"))).await;
    assert_eq!((refused.status, refused.rules()), (400, vec![("ce-source", "percent_encoding")]));
    // Numbers are forwarded unparsed, however large.
    let large = format!("{{{head},\"data\":[1e999,-0.0,{}]}}", "9".repeat(400));
    assert_eq!(post(&api, EVENTS, large.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn only_malformed_queue_messages_go_to_the_dlq() {
    let context = TestContext::start().await;
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    let queues = Queues::start(&context.config).await;
    let fanout = fanout(context.dispatcher(queues.both()), queues.queue(DEAD));
    let mut messages: Vec<String> =
        unreadable().into_iter().filter_map(|(_, body)| String::from_utf8(body).ok()).collect();
    messages.push(" ".repeat(1024 * 1024 + 1));
    let poison = messages.len();
    messages.push(
        json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "com.qlik.v1.app.created", "tenantid": "acme" })
            .to_string(),
    );
    assert!(failed(fanout.handle(batch(&messages)).await).is_empty());
    let dead = queues.on(DEAD);
    assert_eq!((dead.len(), queues.on(FAST).len()), (poison, 1));
    assert!(dead.iter().all(|message| message.attributes.to_string().len() < 4_096), "{dead:?}");
}

/// Returns every route of the functions that check claims.
fn routes() -> Vec<(&'static str, &'static str)> {
    vec![
        ("GET", WEBHOOKS),
        ("POST", WEBHOOKS),
        ("GET", "/api/core/webhooks/event-types"),
        ("GET", "/api/core/webhooks/x"),
        ("PUT", "/api/core/webhooks/x"),
        ("PATCH", "/api/core/webhooks/x"),
        ("DELETE", "/api/core/webhooks/x"),
        ("GET", "/api/core/webhooks/x/stats"),
        ("GET", "/api/core/webhooks/x/deliveries"),
        ("GET", "/api/core/webhooks/x/deliveries/x"),
        ("POST", "/api/core/webhooks/x/deliveries/x/actions/resend"),
        ("POST", "/api/core/webhooks/x/actions/test"),
        ("POST", "/api/core/webhooks/x/actions/recover"),
        ("GET", "/api/core/webhooks/x/recoveries/x"),
        ("GET", "/api/v1/webhooks"),
        ("POST", "/api/v1/webhooks"),
        ("POST", EVENTS),
    ]
}

#[tokio::test]
async fn invocation_without_verified_claims_is_401() {
    let (context, egress) = TestContext::with_egress().await;
    let (api, ingest) = (context.api(&egress), context.ingest());
    let verified = json!({ "sub": "root", "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]", "scope": "anzol/publish.any" });
    let jwt = |claims: Value| json!({ "jwt": { "claims": claims, "scopes": null } });
    let authorizers = [
        Value::Null,
        json!({}),
        json!({ "jwt": null }),
        json!({ "jwt": {} }),
        json!({ "claims": verified }),
        json!({ "lambda": verified }),
        json!({ "lambda": { "jwt": { "claims": verified } } }),
        json!({ "iam": { "userArn": "arn:aws:iam::1:root", "accountId": "1" } }),
        jwt(Value::Null),
        jwt(json!({})),
        jwt(json!([])),
        jwt(json!("root")),
        jwt(json!([verified])),
        jwt(json!({ "sub": "", "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" })),
        jwt(json!({ "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" })),
        jwt(json!({ "sub": null, "custom:tenantId": "acme" })),
        jwt(json!({ "sub": { "custom:tenantId": "acme" } })),
        jwt(json!({ "sub": 7, "custom:tenantId": "acme" })),
        jwt(json!({ "sub": ["root"], "custom:tenantId": ["acme"] })),
        jwt(json!({ "sub": "a\r\nb", "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" })),
    ];
    let mut asked = 0;
    for (method, path) in routes() {
        let function = if path == EVENTS { &ingest } else { &api };
        for authorizer in &authorizers {
            let mut event = request(method, path, b"{}");
            event["requestContext"]["authorizer"] = authorizer.clone();
            // Credentials that the gateway checks and a function must not read.
            for (name, value) in [
                (
                    "authorization",
                    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290IiwiY3VzdG9tOnRlbmFudElkIjoiYWNtZSJ9.",
                ),
                (
                    "x-amzn-request-context",
                    r#"{"authorizer":{"jwt":{"claims":{"sub":"root","custom:tenantId":"acme"}}}}"#,
                ),
                ("x-amz-security-token", "token"),
                ("x-tenant-id", "acme"),
                ("x-user-id", "root"),
                ("x-forwarded-user", "root"),
                ("custom:tenantid", "acme"),
            ] {
                event["headers"][name] = json!(value);
            }
            event["rawQueryString"] = json!("tenantId=acme&sub=root&custom%3AtenantId=acme");
            event["cookies"] = json!(["sub=root", "tenantId=acme"]);
            if let Some(answer) = function.invoke(&event).await {
                assert_eq!(answer.status, 401, "{method} {path} as {authorizer}: {answer:?}");
            }
            asked += 1;
        }
        // The same event with claims is authorized.
        let mut event = request(method, path, b"{}");
        event["requestContext"]["authorizer"] = jwt(verified.clone());
        let answer = function.invoke(&event).await.unwrap();
        assert_ne!(answer.status, 401, "{method} {path}: {answer:?}");
    }
    assert_eq!(asked, routes().len() * authorizers.len());
    assert!(egress.control(|receiver| receiver.all_requests()).await.unwrap().is_empty());
}

#[tokio::test]
async fn invalid_tenant_claim_gives_no_access() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    context.webhooks.create(&webhook("acme"), 100).await.unwrap();
    for tenant in [
        json!(null),
        json!(""),
        json!(" acme"),
        json!("acme "),
        json!("acme#"),
        json!("acme\u{0}"),
        json!("ac me"),
        json!("acmé"),
        json!("[acme]"),
        json!("ACME"),
        json!("acme,globex"),
        json!("TENANT#acme"),
        json!("a".repeat(129)),
    ] {
        let mut event = request("GET", WEBHOOKS, b"");
        event["requestContext"]["authorizer"]["jwt"]["claims"]["custom:tenantId"] = tenant.clone();
        let Some(answer) = api.invoke(&event).await else { continue };
        let nothing = answer.status == 200 && answer.body["data"] == json!([]);
        assert!(answer.status == 403 || nothing, "{tenant}: {answer:?}");
    }
}
