//! The HTTP API: the template's routes and authorizer, and events in payload format 2.0.
//!
//! Source: the API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs".

use std::sync::Arc;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::plan::Route;
use crate::{Answer, Runner, in_json};

/// Maximum size of a request body in bytes, as for HTTP APIs.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

pub(crate) async fn answer(request: Request<Incoming>, runner: Arc<Runner>) -> Answer {
    let (head, body) = request.into_parts();
    let Some((route, rest)) = find(&runner.plan.routes, head.method.as_str(), head.uri.path()) else {
        return in_json(404, &json!({ "message": "Not Found" }));
    };
    let headers = joined(&head);
    let claims =
        headers.get("authorization").and_then(Value::as_str).and_then(|value| runner.tokens.verified(value));
    if route.jwt && claims.is_none() {
        return in_json(401, &json!({ "message": "Unauthorized" }));
    }
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return in_json(413, &json!({ "message": "Request Entity Too Large" }));
    };
    let mut event = event(&head, route, headers, &body.to_bytes());
    if let (Some(members), Some(rest)) = (event.as_object_mut(), rest) {
        members.insert("pathParameters".to_owned(), json!({ "proxy": rest }));
    }
    if let (true, Some(context)) =
        (route.jwt, event.pointer_mut("/requestContext").and_then(Value::as_object_mut))
    {
        context.insert("authorizer".to_owned(), json!({ "jwt": { "claims": claims, "scopes": null } }));
    }
    let outcome = runner.invoke(&route.function, event.to_string()).await;
    let answer = outcome.and_then(|outcome| {
        anyhow::ensure!(!outcome.failed, "{}", String::from_utf8_lossy(&outcome.payload));
        read(&outcome.payload)
    });
    answer.unwrap_or_else(|error| {
        eprintln!("{} {}: {} failed: {error:#}", head.method, head.uri.path(), route.function);
        in_json(500, &json!({ "message": "Internal Server Error" }))
    })
}

/// Returns the most specific route, and the value of its `{proxy+}`.
fn find<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<(&'a Route, Option<String>)> {
    let matching = routes.iter().filter_map(|route| {
        let Some((asked, pattern)) = route.key.split_once(' ') else {
            return (route.key == "$default").then_some(((0, 0, false), route, None));
        };
        if asked != "ANY" && asked != method {
            return None;
        }
        let rank = |literal| (literal, pattern.len(), asked != "ANY");
        match pattern.strip_suffix("{proxy+}") {
            Some(start) => path.strip_prefix(start).map(|rest| (rank(1), route, Some(rest.to_owned()))),
            None => (pattern == path).then_some((rank(2), route, None)),
        }
    });
    matching.max_by_key(|(rank, ..)| *rank).map(|(_, route, rest)| (route, rest))
}

/// Returns the event's headers: names in lower case, values of one name joined by commas, without cookies.
fn joined(head: &Parts) -> Map<String, Value> {
    let names = head.headers.keys().filter(|name| **name != COOKIE);
    names
        .map(|name| {
            let values =
                head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            (name.to_string(), values.collect::<Vec<_>>().join(",").into())
        })
        .collect()
}

/// Returns the event, without `queryStringParameters`, which repeat `rawQueryString`.
fn event(head: &Parts, route: &Route, headers: Map<String, Value>, body: &Bytes) -> Value {
    let text = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or_default();
    let (host, agent, kind) = (text("host"), text("user-agent"), text("content-type"));
    let now = OffsetDateTime::now_utc();
    let path = head.uri.path();
    let mut event = json!({
        "version": "2.0", "routeKey": route.key, "rawPath": path, "rawQueryString": head.uri.query().unwrap_or_default(),
        "requestContext": {
            "accountId": "000000000000", "apiId": "runner", "domainName": host, "domainPrefix": host.split('.').next(),
            "http": { "method": head.method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": agent },
            "requestId": format!("runner-{}", now.unix_timestamp_nanos()), "routeKey": route.key, "stage": "$default",
            "timeEpoch": now.unix_timestamp() * 1000,
        },
    });
    let plain_body = is_text(kind).then(|| std::str::from_utf8(body).ok()).flatten();
    let cookies: Vec<_> =
        head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
    if let Some(members) = event.as_object_mut() {
        if !body.is_empty() {
            let body = plain_body.map_or_else(|| STANDARD.encode(body), str::to_owned);
            members.insert("body".to_owned(), body.into());
        }
        if !cookies.is_empty() {
            let cookies = cookies.iter().flat_map(|all| all.split("; "));
            members.insert("cookies".to_owned(), cookies.collect());
        }
        members.insert("isBase64Encoded".to_owned(), (!body.is_empty() && plain_body.is_none()).into());
        members.insert("headers".to_owned(), headers.into());
    }
    event
}

/// Returns whether the gateway passes a body of this type as text. All others, including forms, are passed in base64.
fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let named = ["application/json", "application/xml", "application/javascript"].contains(&kind);
    kind.is_empty() || named || kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml")
}

/// Parses the response in a function's payload.
fn read(payload: &[u8]) -> Result<Answer> {
    let payload: Value = serde_json::from_slice(payload).context("the response is not JSON")?;
    let status = payload.get("statusCode").and_then(Value::as_u64).context("the response has no status")?;
    let body = payload.get("body").and_then(Value::as_str).unwrap_or_default();
    let encoded = payload.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or_default();
    let body = if encoded { STANDARD.decode(body)? } else { body.into() };
    let mut answer = Response::new(Bytes::from(body).into());
    *answer.status_mut() = StatusCode::from_u16(u16::try_from(status)?)?;
    for (name, value) in payload.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().context("a header is not text")?)?;
        answer.headers_mut().insert(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    for cookie in
        payload.get("cookies").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        answer.headers_mut().append(SET_COOKIE, HeaderValue::from_str(cookie)?);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn most_specific_route_wins() {
        let keys = ["ANY /a", "GET /a", "ANY /a/{proxy+}", "GET /a/b/{proxy+}", "GET /a/b/c", "$default"];
        let routes = keys.map(|key| Route { key: key.to_owned(), function: String::new(), jwt: false });
        for (method, path, key, rest) in [
            ("GET", "/a", "GET /a", None),
            ("PUT", "/a", "ANY /a", None),
            ("GET", "/a/x/y", "ANY /a/{proxy+}", Some("x/y")),
            ("GET", "/a/b/x", "GET /a/b/{proxy+}", Some("x")),
            ("PUT", "/a/b/x", "ANY /a/{proxy+}", Some("b/x")),
            ("GET", "/a/b/c", "GET /a/b/c", None),
            ("GET", "/ab", "$default", None),
        ] {
            let (route, found) = find(&routes, method, path).unwrap();
            assert_eq!((route.key.as_str(), found.as_deref()), (key, rest), "{method} {path}");
        }
    }
}
