//! A delivery: the task that travels through the queue, and the history row that says what was sent and what came back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::event::Event;
use crate::id::{DeliveryId, TenantId, WebhookId};
use crate::trace::TraceContext;

/// How long history is kept (contract section 4).
pub const RETENTION: Duration = Duration::days(7);
/// Bytes of a receiver's answer that are read and kept. Our choice; the contract names no bound.
pub const MAX_RESPONSE_BODY: usize = 16 * 1024;

/// Bytes of a receiver's headers, names and values, that are kept; those that come after are dropped. Our choice.
pub const MAX_RESPONSE_HEADERS: usize = 8 * 1024;

/// Why an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An event happened.
    Event,
    /// An earlier attempt failed.
    Retry,
    /// Somebody asked for it.
    Resend,
    /// Somebody asked for all that had failed.
    Recover,
    /// Somebody wanted to see whether the webhook works.
    Test,
}

/// One attempt to be made: a message of the deliveries queue. Carries the event, never configuration or secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryTask {
    /// Whose webhook it is.
    pub tenant_id: TenantId,
    /// The webhook to send to.
    pub webhook_id: WebhookId,
    /// The attempt's history row, minted for the moment the attempt is due: a message received twice writes one row.
    pub delivery_id: DeliveryId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Why it is made.
    pub trigger: Trigger,
    /// When we took the event from its producer; missing where nobody did, as in a recovery or a message of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub accepted_at: Option<OffsetDateTime>,
    /// The trace it belongs to, if one is known; see [`DeliveryTask::trace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// What is sent.
    pub event: Event,
}

impl DeliveryTask {
    /// The trace it belongs to: the one it came with, else the one its event names, else one that begins with it.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        let known = self.trace.clone().or_else(|| self.event.trace());
        known.unwrap_or_else(|| TraceContext::of(self.delivery_id))
    }
}

/// Whether the receiver took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The receiver answered 2xx.
    Success,
    /// Anything else.
    Fail,
}

/// Why an attempt failed; stable names that programs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The name could not be resolved.
    Dns,
    /// No connection could be made, or it broke.
    Connect,
    /// The TLS handshake failed, or the certificate was not accepted.
    Tls,
    /// It took longer than allowed.
    Timeout,
    /// The name leads to an address that webhooks may not reach.
    Blocked,
    /// The receiver answered with a redirect, which is never followed.
    Redirect,
    /// The receiver answered with another status than 2xx.
    HttpStatus,
    /// The receiver's answer broke off before its status and headers were there. In rows of 0.1.0 also after.
    Body,
    /// What the receiver answered is not HTTP/1.1.
    Protocol,
    /// Nothing was sent: the webhook was disabled before its turn came.
    Disabled,
}

impl Trigger {
    /// Its name, as it is stored and shown.
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

    /// Whether a failed attempt is followed by others. Whoever asks for one attempt gets one, and sees how it went.
    #[must_use]
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Event | Self::Retry | Self::Recover)
    }
}

impl FailureKind {
    /// Its name, as it is stored and shown.
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

    /// Whether a later attempt may fare better. Redirects, blocked targets and disabled webhooks stay as they are until somebody
    /// changes the webhook.
    #[must_use]
    pub fn is_retried(self) -> bool {
        !matches!(self, Self::Blocked | Self::Redirect | Self::Disabled)
    }
}

/// A history row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The attempt's id; sorts by the time it was due.
    pub id: DeliveryId,
    /// Whose webhook it is.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The event's type.
    pub event_type: String,
    /// How it ended.
    pub status: Status,
    /// Why it failed, for programs.
    pub failure: Option<FailureKind>,
    /// Why it failed, for people.
    pub status_message: Option<String>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Why it was made.
    pub trigger: Trigger,
    /// From the first look-up to the last byte read, in milliseconds.
    pub duration_ms: u32,
    /// The next attempt, if there will be one.
    pub next_attempt: Option<NextAttempt>,
    /// How long the receiver asked us to wait, by `Retry-After` of a 429 or 503. Decides the next attempt, and is not stored.
    pub retry_after: Option<std::time::Duration>,
    /// What was sent, or would have been.
    pub request: SentRequest,
    /// What came back, if anything did.
    pub response: Option<ReceivedResponse>,
}

impl Delivery {
    /// When it was triggered: the time its id was minted for.
    #[must_use]
    pub fn triggered_at(&self) -> OffsetDateTime {
        self.id.time()
    }

    /// When the row disappears: 7 days after it was triggered.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.triggered_at() + RETENTION
    }
}

/// An attempt that follows from a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAttempt {
    /// Its id, by which its row can be found once it has been made.
    pub id: DeliveryId,
    /// When it is due.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    /// The webhook's URL at the time.
    pub url: String,
    /// All headers we set, in order.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedResponse {
    /// The HTTP status.
    pub status_code: u16,
    /// The answer's headers, in order; those that fit into [`MAX_RESPONSE_HEADERS`].
    pub headers: Vec<(String, String)>,
    /// Whether there were others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers_cut: bool,
    /// The first 16 KiB of the body; what is not UTF-8 is replaced.
    pub body: String,
    /// Whether there was more, or was to be.
    pub body_cut: bool,
    /// What was wrong with the body. It does not change what the status says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_error: Option<BodyError>,
}

/// What can be wrong with the body of an answer whose status and headers came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyError {
    /// The connection ended before the body did.
    Cut,
    /// It is not encoded as `Content-Encoding` says, or in a way that we do not read.
    Encoding,
    /// It was not there in time.
    Timeout,
    /// How long it is cannot be told: `Content-Length` or the sizes of its chunks make no sense.
    Length,
}

#[cfg(test)]
mod tests {
    use crate::health::Lane;

    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
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
