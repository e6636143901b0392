//! Builds the events with which API Gateway invokes a function (HTTP API, payload format 2.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The host in every event.
pub const HOST: &str = "hooks.example.com";

/// Returns the event of a request without claims and without a body. `target` is a path with an optional query.
#[must_use]
pub fn event(method: &str, target: &str, headers: &[(&str, &str)]) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let all: serde_json::Map<_, _> = [("host", HOST)]
        .iter()
        .chain(headers)
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": all,
        "requestContext": {
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test" },
            "routeKey": "$default", "stage": "$default", "requestId": "r", "accountId": "1", "apiId": "a",
            "domainName": HOST, "timeEpoch": 0,
        },
        "isBase64Encoded": false,
    })
}

/// Adds the claims of a verified token to an event.
#[must_use]
pub fn with_claims(event: Value, claims: &Value) -> Value {
    with_authorizer(event, &json!({ "jwt": { "claims": claims, "scopes": null } }))
}

/// Adds any authorizer context to an event, valid or not.
#[must_use]
pub fn with_authorizer(mut event: Value, authorizer: &Value) -> Value {
    if let Some(context) = event.get_mut("requestContext").and_then(Value::as_object_mut) {
        context.insert("authorizer".to_owned(), authorizer.clone());
    }
    event
}

/// Adds a body in base64 to an event.
#[must_use]
pub fn with_body(mut event: Value, body: &[u8]) -> Value {
    if let Some(members) = event.as_object_mut() {
        members.insert("isBase64Encoded".to_owned(), json!(true));
        members.insert("body".to_owned(), json!(STANDARD.encode(body)));
    }
    event
}
