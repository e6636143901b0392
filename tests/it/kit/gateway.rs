//! Calls routers with API Gateway's events, as callers with any claims.

use anzol_tests::gateway;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A caller: the claims of its token, as the gateway passes them to a function.
#[derive(Clone)]
pub(crate) struct As(Value);

impl As {
    pub(crate) fn admin(tenant: &str) -> Self {
        Self(
            json!({ "sub": format!("{tenant}-admin"), "custom:tenantId": tenant, "cognito:groups": "[TenantAdmin]" }),
        )
    }

    pub(crate) fn user(tenant: &str, name: &str) -> Self {
        Self(json!({ "sub": name, "custom:tenantId": tenant }))
    }

    pub(crate) fn claims(claims: Value) -> Self {
        Self(claims)
    }
}

/// A router, called with the gateway's Lambda events.
pub(crate) struct Api(pub(crate) Router);

impl Api {
    /// Calls the router with a JSON body. Returns status and body.
    pub(crate) async fn call(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let answer = self.exchange(who, method, path, Some("application/json"), body).await;
        (answer.status, answer.body)
    }

    /// Calls the router with any content type, or none. A body that is a string is sent unchanged.
    pub(crate) async fn exchange(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let headers: Vec<_> = content_type.into_iter().map(|kind| ("content-type", kind)).collect();
        self.exchange_with(who, method, path, &headers, body).await
    }

    /// Calls the router with any headers.
    pub(crate) async fn exchange_with(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut event = gateway::event(method, path, headers);
        if let Some(As(claims)) = who {
            event = gateway::with_claims(event, claims);
        }
        event["body"] = match body {
            None => Value::Null,
            Some(Value::String(raw)) => json!(raw),
            Some(json) => json!(json.to_string()),
        };
        self.invoke(&event).await.unwrap()
    }

    /// Invokes the router with any event, valid or not. Returns `None` when Lambda's library cannot parse it, which fails the invocation.
    pub(crate) async fn invoke(&self, event: &Value) -> Option<Answer> {
        let request = lambda_http::request::from_str(&event.to_string()).ok()?;
        let response = self.0.clone().oneshot(request.map(Body::new)).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Some(Answer { status, headers, body })
    }
}

/// The router's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the field and rule of each error; the field is empty when an error is not about one.
    pub(crate) fn rules(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {self:?}"));
        errors
            .iter()
            .map(|error| {
                (error["field"].as_str().unwrap_or_default(), error["rule"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// Returns the fields of the errors.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.rules().into_iter().map(|(field, _)| field).collect()
    }

    /// Returns the parameters of the first error's rule.
    pub(crate) fn params(&self) -> &Value {
        &self.body["errors"][0]["params"]
    }
}
