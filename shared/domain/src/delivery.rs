//! A delivery: the queued task, and the history row with the request and the response.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::event::Event;
use crate::id::{DeliveryId, TenantId, WebhookId};
use crate::trace::TraceContext;

/// How long history rows are kept (contract section 4).
pub const RETENTION: Duration = Duration::days(7);
/// Maximum number of bytes of a response body that are kept. Our choice; the contract has no bound.
pub const MAX_RESPONSE_BODY: usize = 16 * 1024;

/// Maximum number of bytes of response headers, names and values, that are kept; the rest is dropped. Our choice.
pub const MAX_RESPONSE_HEADERS: usize = 8 * 1024;

/// Why an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An event matched the webhook.
    Event,
    /// An earlier attempt failed.
    Retry,
    /// A user resent the delivery.
    Resend,
    /// A recovery sent the failed delivery again.
    Recover,
    /// A user sent a test event.
    Test,
}

/// A delivery attempt to make: a message of the delivery queues. Contains the event, but no configuration and no secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryTask {
    /// The tenant of the webhook.
    pub tenant_id: TenantId,
    /// The webhook to deliver to.
    pub webhook_id: WebhookId,
    /// The id of the attempt, minted for the time when the attempt is due. Also the key of the history row, so a message that is received
    /// twice writes one row.
    pub delivery_id: DeliveryId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Why the attempt is made.
    pub trigger: Trigger,
    /// When the event was accepted from its producer. `None` for resends, tests and recoveries, and in messages of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub accepted_at: Option<OffsetDateTime>,
    /// The trace of the delivery, if known; see [`DeliveryTask::trace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// The event to send.
    pub event: Event,
}

impl DeliveryTask {
    /// Returns the trace of the delivery: that of the task or else of the event, or else a new one derived from the delivery id.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        let known = self.trace.clone().or_else(|| self.event.trace());
        known.unwrap_or_else(|| TraceContext::of(self.delivery_id))
    }
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The receiver answered 2xx.
    Success,
    /// Any other result.
    Fail,
}

/// Why an attempt failed. Programs can rely on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The host name could not be resolved.
    Dns,
    /// The connection failed before any byte of a response arrived.
    Connect,
    /// The TLS handshake failed, or the certificate was rejected.
    Tls,
    /// The attempt timed out.
    Timeout,
    /// The host name resolves to an address that webhooks cannot reach, or the request breaks a rule.
    Blocked,
    /// The receiver answered with a redirect. Redirects are never followed.
    Redirect,
    /// The receiver answered with a status other than 2xx.
    HttpStatus,
    /// The connection closed before the status and headers of the response were complete. In rows of release 0.1.0 also afterwards.
    Body,
    /// The response is not HTTP/1.1.
    Protocol,
    /// Nothing was sent, because the webhook was disabled before the attempt.
    Disabled,
}

impl Trigger {
    /// Returns the name, as stored and as shown by the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Retry => "retry",
            Self::Resend => "resend",
            Self::Recover => "recover",
            Self::Test => "test",
        }
    }

    /// Returns whether a failed attempt is retried. Resends and tests are single attempts.
    #[must_use]
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Event | Self::Retry | Self::Recover)
    }
}

impl FailureKind {
    /// Returns the name, as stored and as shown by the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Blocked => "blocked",
            Self::Redirect => "redirect",
            Self::HttpStatus => "http_status",
            Self::Body => "body",
            Self::Protocol => "protocol",
            Self::Disabled => "disabled",
        }
    }

    /// Returns whether a later attempt can succeed. Redirects, blocked targets and disabled webhooks persist until the webhook changes.
    #[must_use]
    pub fn is_retried(self) -> bool {
        !matches!(self, Self::Blocked | Self::Redirect | Self::Disabled)
    }
}

/// A history row: one attempt and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The id of the attempt; sorts by the time it was due.
    pub id: DeliveryId,
    /// The tenant of the webhook.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The event type, as the event has it.
    pub event_type: String,
    /// The result.
    pub status: Status,
    /// Why the attempt failed, for programs.
    pub failure: Option<FailureKind>,
    /// Why the attempt failed, as a sentence.
    pub status_message: Option<String>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Why the attempt was made.
    pub trigger: Trigger,
    /// The time from the DNS lookup to the last byte read, in milliseconds.
    pub duration_ms: u32,
    /// The next attempt, if any.
    pub next_attempt: Option<NextAttempt>,
    /// The `Retry-After` of a 429 or 503 response. Delays the next attempt; not stored.
    pub retry_after: Option<std::time::Duration>,
    /// The request that was sent or, if the attempt failed before sending, would have been sent.
    pub request: SentRequest,
    /// The response, if any.
    pub response: Option<ReceivedResponse>,
}

impl Delivery {
    /// Returns when the attempt was due: the time in its id.
    #[must_use]
    pub fn triggered_at(&self) -> OffsetDateTime {
        self.id.time()
    }

    /// Returns when the row expires: 7 days after the attempt was due.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.triggered_at() + RETENTION
    }
}

/// An attempt that follows a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAttempt {
    /// The id of the attempt and of its future history row.
    pub id: DeliveryId,
    /// When the attempt is due.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A request as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    /// The URL of the webhook at that time.
    pub url: String,
    /// All headers that were set, in order.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: String,
}

/// A response as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedResponse {
    /// The HTTP status.
    pub status_code: u16,
    /// The headers of the response, in order, as far as they fit into [`MAX_RESPONSE_HEADERS`].
    pub headers: Vec<(String, String)>,
    /// Whether headers were dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers_cut: bool,
    /// The first 16 KiB of the body. Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Whether the body was longer, or was announced to be.
    pub body_cut: bool,
    /// The problem with the body. Does not change the result of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_error: Option<BodyError>,
}

/// A problem with the body of a response whose status and headers are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyError {
    /// The connection closed before the end of the body.
    Cut,
    /// The body is not encoded as `Content-Encoding` says, or the encoding is not supported.
    Encoding,
    /// The body was not complete in time.
    Timeout,
    /// `Content-Length` or the chunk sizes are invalid.
    Length,
}

#[cfg(test)]
mod tests {
    use crate::health::Lane;

    use super::*;

    #[test]
    fn names_equal_the_serialized_names() {
        use FailureKind::{
            Blocked, Body, Connect, Disabled, Dns, HttpStatus, Protocol, Redirect, Timeout, Tls,
        };
        for kind in [Dns, Connect, Tls, Timeout, Blocked, Redirect, HttpStatus, Body, Protocol, Disabled] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for lane in [Lane::Fast, Lane::Slow] {
            assert_eq!(serde_json::to_value(lane).unwrap(), lane.name());
        }
        for trigger in [Trigger::Event, Trigger::Retry, Trigger::Resend, Trigger::Recover, Trigger::Test] {
            assert_eq!(serde_json::to_value(trigger).unwrap(), trigger.name());
        }
    }
}
