//! Deliveries in responses, and the request for a test delivery.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use anzol_domain::delivery::BodyError;
use anzol_domain::{Delivery, DeliveryId, FailureKind, Status, Trigger, WebhookId, schema};

/// The body of `actions/test`. An absent body is an empty object.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestRequest {
    /// One of the webhook's event types. Defaults to the first.
    #[schemars(with = "Option<schema::EventTypeName>")]
    pub(crate) event_type: Option<String>,
}

/// One attempt to deliver an event, and its outcome. `attempt`, `trigger`, `failure`, `durationMs` and `nextAttemptAt` are Anzol
/// extensions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
pub(crate) struct DeliveryOut {
    /// The ID of the delivery, a `UUIDv7` that contains the time it was triggered.
    #[schemars(with = "schema::Id")]
    id: DeliveryId,
    /// The webhook the delivery belongs to.
    #[schemars(with = "schema::Id")]
    webhook_id: WebhookId,
    /// The type of the event, under the name it was published with.
    event_type: String,
    /// When the attempt was due.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    triggered_at: OffsetDateTime,
    /// Whether the receiver accepted the event.
    status: Status,
    /// Why the attempt failed, in words. Absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    status_message: Option<String>,
    /// Why the attempt failed, as a stable code. Absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FailureKind")]
    failure: Option<FailureKind>,
    /// The number of the attempt, starting at 1.
    #[schemars(range(min = 1))]
    attempt: u32,
    /// Why the attempt was made.
    trigger: Trigger,
    /// The duration in milliseconds, from the DNS lookup to the last byte of the response.
    duration_ms: u32,
    /// When the next attempt is due. Absent if there will be none.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schema::DateTime")]
    next_attempt_at: Option<OffsetDateTime>,
    /// The request that was sent. If the attempt failed before sending, the request that would have been sent.
    request: RequestOut,
    /// The response of the receiver. Absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ResponseOut")]
    response: Option<ResponseOut>,
}

/// A request to a receiver. The values of encrypted headers are replaced by `**OMITTED**`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeliveryRequest")]
struct RequestOut {
    /// The URL of the webhook at the time.
    url: String,
    /// The request headers that Anzol set.
    headers: BTreeMap<String, String>,
    /// The event, as JSON.
    #[schemars(with = "serde_json::Map<String, Value>")]
    body: Box<RawValue>,
}

/// The response of a receiver.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeliveryResponse")]
struct ResponseOut {
    /// The HTTP status code.
    #[schemars(range(min = 100, max = 999))]
    status_code: u16,
    /// The response headers, up to 8 KiB. The values of a repeated header are joined by commas.
    headers: BTreeMap<String, String>,
    /// True if some headers did not fit. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    headers_truncated: bool,
    /// The first 16 KiB of the response body. Invalid UTF-8 is replaced.
    body: String,
    /// Whether the body is longer than the part that is stored.
    body_truncated: bool,
    /// The problem with the body: the connection closed before its end (`cut`), its encoding is unsupported or not the announced
    /// one (`encoding`), it did not arrive in time (`timeout`), or its length is invalid (`length`). Absent if the body is complete.
    /// Does not affect `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_error: Option<BodyError>,
}

impl From<Delivery> for DeliveryOut {
    fn from(delivery: Delivery) -> Self {
        let triggered_at = delivery.triggered_at();
        let Delivery {
            id,
            webhook_id,
            event_type,
            status,
            status_message,
            failure,
            attempt,
            trigger,
            duration_ms,
            ..
        } = delivery;
        Self {
            id,
            webhook_id,
            event_type,
            triggered_at,
            status,
            status_message,
            failure,
            attempt,
            trigger,
            duration_ms,
            next_attempt_at: delivery.next_attempt.map(|next| next.at),
            request: RequestOut {
                url: delivery.request.url,
                headers: header_map(delivery.request.headers),
                // Stored as JSON, so `null` cannot occur.
                body: RawValue::from_string(delivery.request.body)
                    .unwrap_or_else(|_| RawValue::NULL.to_owned()),
            },
            response: delivery.response.map(|response| ResponseOut {
                status_code: response.status_code,
                headers: header_map(response.headers),
                headers_truncated: response.headers_cut,
                body: response.body,
                body_truncated: response.body_cut,
                body_error: response.body_error,
            }),
        }
    }
}

/// Returns headers as a JSON object. The values of a repeated header are joined, as HTTP allows.
fn header_map(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        match map.get_mut(&name) {
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(&value);
            }
            None => {
                map.insert(name, value);
            }
        }
    }
    map
}
