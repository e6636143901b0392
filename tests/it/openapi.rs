//! Compares the OpenAPI document with the routers: the routes exist, other methods are not allowed, and responses match their schemas.

use anzol_api::openapi::OPENAPI;
use anzol_domain::Status;
use anzol_runtime::now;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::kit::{Api, As, EgressHarness, TestContext, delivery, webhook};

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"];
const UNKNOWN_ID: &str = "01a20d4e-0000-7000-8000-000000000000";

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// The routers of `api` and `ingest`, and the document that describes both.
struct ApiUnderTest {
    document: Value,
    context: TestContext,
    _egress: EgressHarness,
    api: Api,
    ingest: Api,
}

impl ApiUnderTest {
    async fn start() -> Self {
        let (context, egress) = TestContext::with_egress().await;
        let (api, ingest) = (context.api(&egress), context.ingest());
        Self { document: document(), context, _egress: egress, api, ingest }
    }

    fn of(&self, path: &str) -> &Api {
        if path == "/api/v1/events" { &self.ingest } else { &self.api }
    }

    /// Calls an operation and checks that its response is documented. Returns the status and the body.
    async fn call(&self, method: &str, template: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let admin = As::admin("acme");
        let answer =
            self.of(template).exchange(Some(&admin), method, path, Some("application/json"), body).await;
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let mut response = &operation["responses"][answer.status.to_string()];
        if let Some(reference) = response["$ref"].as_str() {
            response = self.document.pointer(&reference[1..]).unwrap();
        }
        assert!(response.is_object(), "{method} {template} has an undocumented response: {answer:?}");
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let there = answer.headers.contains_key(name);
            assert!(there || header["required"] != true, "{method} {template}: no {name} in {answer:?}");
        }
        match response.pointer("/content/application~1json/schema") {
            None => assert_eq!(answer.body, Value::Null, "{method} {template}"),
            Some(schema) => {
                assert_eq!(answer.header("content-type"), "application/json", "{method} {template}");
                let errors: Vec<_> =
                    self.validator(schema).iter_errors(&answer.body).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{method} {template}: {errors:?} in {answer:?}");
            }
        }
        (answer.status, answer.body)
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
    }
}

#[tokio::test]
async fn only_documented_methods_of_each_path_are_allowed() {
    let under_test = ApiUnderTest::start().await;
    for (template, operations) in under_test.document["paths"].as_object().unwrap() {
        let path = template.replace("{id}", UNKNOWN_ID).replace("{deliveryId}", UNKNOWN_ID);
        let listed = |method: &str| operations.get(method.to_lowercase()).is_some();
        for method in METHODS {
            let answer = under_test
                .of(template)
                .exchange(Some(&As::admin("acme")), method, &path, Some("application/json"), None)
                .await;
            if listed(method) {
                let unknown = answer.status == 404 && answer.rules() == [("", "route_not_found")];
                assert!(answer.status != 405 && !unknown, "{method} {template}: {answer:?}");
            } else {
                assert_eq!(answer.status, 405, "{method} {template}: {answer:?}");
                let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
                allowed.retain(|method| *method != "HEAD"); // included in GET
                allowed.sort_unstable();
                let mut expected: Vec<_> = METHODS.into_iter().filter(|method| listed(method)).collect();
                expected.sort_unstable();
                assert_eq!(allowed, expected, "{method} {template}");
            }
        }
    }
}

#[tokio::test]
async fn webhook_responses_match_the_document() {
    let under_test = ApiUnderTest::start().await;
    for base in ["/api/core/webhooks", "/api/v1/webhooks"] {
        let one = &format!("{base}/{{id}}");
        let call = async |method: &str, template: &str, path: &str, body: Option<Value>, expected: u16| {
            let (status, answer) = under_test.call(method, template, path, body).await;
            assert_eq!(status, expected, "{method} {path}: {answer}");
            answer
        };
        // The document's examples match their schemas and are accepted.
        for (method, template) in [("post", base), ("put", one.as_str())] {
            let content =
                &under_test.document["paths"][template][method]["requestBody"]["content"]["application/json"];
            for (name, example) in content["examples"].as_object().unwrap() {
                assert!(
                    under_test.validator(&content["schema"]).is_valid(&example["value"]),
                    "{method} {name}"
                );
                let body = Some(example["value"].clone());
                if method == "post" {
                    call("POST", base, base, body, 201).await;
                } else {
                    let made = call("POST", base, base, body.clone(), 201).await;
                    call("PUT", one, &format!("{base}/{}", made["id"].as_str().unwrap()), body, 200).await;
                }
            }
        }
        call("POST", base, base, Some(json!({ "name": 1 })), 400).await;
        call("POST", base, base, Some(json!(" ".repeat(70_000))), 413).await;
        call("GET", base, &format!("{base}?limit=1"), None, 200).await;
        call("GET", base, &format!("{base}?limit=0"), None, 400).await;
        call("GET", &format!("{base}/event-types"), &format!("{base}/event-types"), None, 200).await;

        let mut stored = webhook("acme");
        stored.disabled = Some(anzol_domain::Disabled { reason: "It is gone.".into(), code: "GONE".into() });
        stored.spec.enabled = false;
        under_test.context.webhooks.create(&stored, 100).await.unwrap();
        let sent = [Status::Success, Status::Fail].map(|status| delivery(&stored, now(), status));
        under_test.context.put_deliveries(&sent).await;
        let path = format!("{base}/{}", stored.id);
        assert_eq!(call("GET", one, &path, None, 200).await["disabledReasonCode"], "GONE");
        call("PATCH", one, &path, Some(json!([{ "op": "replace", "path": "/name", "value": "New" }])), 204)
            .await;
        call("PATCH", one, &path, Some(json!([{ "op": "replace", "path": "/none", "value": 1 }])), 400).await;
        if base.contains("core") {
            call("PATCH", one, &path, Some(json!([{ "op": "remove", "path": "/id" }])), 409).await;
        }
        let (history, row) = (&format!("{one}/deliveries"), &format!("{one}/deliveries/{{deliveryId}}"));
        let listed = call("GET", history, &format!("{path}/deliveries"), None, 200).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), 2);
        for delivery in &sent {
            let path = format!("{path}/deliveries/{}", delivery.id);
            call("GET", row, &path, None, 200).await;
            call("POST", &format!("{row}/actions/resend"), &format!("{path}/actions/resend"), None, 201)
                .await;
        }
        call("GET", row, &format!("{path}/deliveries/{UNKNOWN_ID}"), None, 404).await;
        call("DELETE", one, &path, None, 204).await;
        call("DELETE", one, &path, None, 404).await;
    }
}

#[tokio::test]
async fn platform_and_event_responses_match_the_document() {
    let under_test = ApiUnderTest::start().await;
    for path in ["/api/openapi.json", "/resources/autogenerated/product-info.json"] {
        assert_eq!(under_test.call("GET", path, path, None).await.0, 200, "{path}");
    }
    assert_eq!(under_test.call("GET", "/api/openapi.json", "/api/openapi.json", None).await.1, document());
    assert_eq!(under_test.call("GET", "/api/v1/csrf-token", "/api/v1/csrf-token", None).await.0, 204);
    assert_eq!(under_test.call("POST", "/oauth/token", "/oauth/token", Some(json!({}))).await.0, 501);

    let events = "/api/v1/events";
    let content = &under_test.document["paths"][events]["post"]["requestBody"]["content"]["application/json"];
    for (name, example) in content["examples"].as_object().unwrap() {
        assert!(under_test.validator(&content["schema"]).is_valid(&example["value"]), "{name}");
        // No webhook matches the event, so no queue is needed.
        let (status, answer) = under_test.call("POST", events, events, Some(example["value"].clone())).await;
        assert_eq!((status, answer), (202, json!({ "accepted": 1, "deliveries": 0 })), "{name}");
    }
    assert_eq!(under_test.call("POST", events, events, Some(json!([]))).await.0, 400);
}
