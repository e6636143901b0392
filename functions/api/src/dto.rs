//! Requests and answers as the contract spells them (contract section 2), and their way to and from domain types.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::webhook::RawSpec;
use anzol_domain::{
    Delivery, DeliveryId, Disabled, FailureKind, Filter, Headers, Invalid, Level, Origin, Status, Trigger,
    UserId, Webhook, WebhookId, WebhookSpec,
};
use anzol_http::Links;

mod health;
mod recovery;
mod test_event;

pub(crate) use health::HealthOut;
pub(crate) use recovery::{RecoverIn, RecoveryOut};
pub(crate) use test_event::TestIn;

/// A webhook as a client writes it. Members it does not know are ignored, as clients send back what they were given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookIn {
    name: Option<String>,
    description: Option<String>,
    url: Option<String>,
    event_types: Option<Vec<String>>,
    level: Option<Level>,
    owner_id: Option<String>,
    secret: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    enabled: Option<bool>,
    enable_cloud_event_delivery: Option<bool>,
    origin: Option<Origin>,
    filter: Option<String>,
    encrypted_headers: Option<Value>,
    check_certificate_revocation: Option<bool>,
}

/// What members that a request leaves out come to.
pub(crate) struct Defaults<'a> {
    pub(crate) level: Level,
    pub(crate) owner: &'a UserId,
    pub(crate) enabled: bool,
    pub(crate) cloud_events: bool,
}

/// Reads a request; anything but an object is refused, and a member of the wrong kind is named.
pub(crate) fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Invalid> {
    if !body.is_object() {
        return Err(Invalid::one("body", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(body).map_err(|error| {
        let field = error.path().to_string();
        Invalid::one(field, format!("cannot be read: {}", error.into_inner()))
    })
}

impl WebhookIn {
    /// Reads a webhook as a client writes it; see [`read`].
    pub(crate) fn read(body: &Value) -> Result<Self, Invalid> {
        read(body)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin.unwrap_or_default()
    }

    /// The checked spec; all problems are reported together.
    pub(crate) fn check(self, defaults: &Defaults<'_>) -> Result<WebhookSpec, Invalid> {
        let mut problems = Problems::default();
        // A promise we cannot keep is refused, never stored: no library we trust checks revocation on this platform.
        if self.check_certificate_revocation == Some(true) {
            problems.add("checkCertificateRevocation", "must be false: revocation is not checked here");
        }
        let encrypted_headers = problems.take(encrypted_headers(self.encrypted_headers));
        let raw = RawSpec {
            name: self.name,
            description: self.description,
            url: self.url,
            event_types: self.event_types.unwrap_or_default(),
            level: self.level.unwrap_or(defaults.level),
            owner_id: self.owner_id.unwrap_or_else(|| defaults.owner.to_string()),
            secret: self.secret,
            filter: self.filter,
            headers: self.headers.unwrap_or_default(),
            encrypted_headers: encrypted_headers.unwrap_or_default(),
            enabled: self.enabled.unwrap_or(defaults.enabled),
            cloud_events: self.enable_cloud_event_delivery.unwrap_or(defaults.cloud_events),
        };
        let spec = problems.take(raw.check());
        problems.finish(spec)
    }
}

/// Reads `encryptedHeaders`: values by name. A list of names is what answers have in its place; sent back, it cannot mean anything
/// unless it is empty.
fn encrypted_headers(value: Option<Value>) -> Result<BTreeMap<String, String>, Invalid> {
    let of = "encryptedHeaders";
    match value {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Array(names)) if names.is_empty() => Ok(BTreeMap::new()),
        Some(Value::Array(_)) => Err(Invalid::one(
            of,
            "must be an object of names and values: values are never shown, so give them again",
        )),
        Some(Value::Object(members)) => {
            let mut problems = Problems::default();
            let mut headers = BTreeMap::new();
            for (name, value) in members {
                match value {
                    Value::String(value) => drop(headers.insert(name, value)),
                    _ => problems.add(format!("{of}.{name}"), "must be a string"),
                }
            }
            problems.finish(Some(headers))
        }
        Some(_) => Err(Invalid::one(of, "must be an object of names and values")),
    }
}

/// A webhook as clients see it. The secret is write-only: they see whether there is one.
#[expect(clippy::struct_excessive_bools, reason = "the contract's shape")]
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookOut {
    id: WebhookId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    url: String,
    event_types: Vec<String>,
    level: Level,
    owner_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
    secret_key_added: bool,
    headers: Headers,
    /// Their names; values are never shown.
    encrypted_headers: Vec<String>,
    enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledOut>,
    check_certificate_revocation: bool,
    enable_cloud_event_delivery: bool,
    /// Ours.
    health: HealthOut,
    origin: Origin,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    created_by_user_id: UserId,
    updated_by_user_id: UserId,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DisabledOut {
    disabled_reason: String,
    disabled_reason_code: String,
}

impl WebhookOut {
    pub(crate) fn new(webhook: Webhook, health: HealthOut) -> Self {
        let Webhook { id, spec, origin, created_at, updated_at, created_by, updated_by, disabled, .. } =
            webhook;
        Self {
            id,
            name: spec.name,
            description: spec.description,
            url: spec.url.into(),
            event_types: spec.event_types,
            level: spec.level,
            owner_id: spec.owner_id,
            filter: spec.filter,
            secret_key_added: spec.secret.is_some(),
            headers: spec.headers,
            encrypted_headers: spec.encrypted_headers.names().map(str::to_owned).collect(),
            enabled: spec.enabled,
            disabled: disabled.map(|Disabled { reason, code }| DisabledOut {
                disabled_reason: reason,
                disabled_reason_code: code,
            }),
            check_certificate_revocation: false,
            enable_cloud_event_delivery: spec.cloud_events,
            health,
            origin,
            created_at,
            updated_at,
            created_by_user_id: created_by,
            updated_by_user_id: updated_by,
        }
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct PageOut<T> {
    pub(crate) data: Vec<T>,
    pub(crate) links: Links,
}

/// A delivery as clients see it: the contract's fields, and ours (`attempt`, `trigger`, `failure`, `durationMs`, `nextAttemptAt`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryOut {
    id: DeliveryId,
    webhook_id: WebhookId,
    event_type: String,
    #[serde(with = "time::serde::rfc3339")]
    triggered_at: OffsetDateTime,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureKind>,
    attempt: u32,
    trigger: Trigger,
    duration_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    next_attempt_at: Option<OffsetDateTime>,
    request: RequestOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseOut>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestOut {
    url: String,
    headers: BTreeMap<String, String>,
    body: Box<RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    /// Whether the body went on after what is kept of it.
    body_truncated: bool,
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
            next_attempt_at: delivery.next_attempt_at,
            request: RequestOut {
                url: delivery.request.url,
                headers: header_map(delivery.request.headers),
                // We wrote it as JSON; `null` is the answer to what cannot happen.
                body: RawValue::from_string(delivery.request.body)
                    .unwrap_or_else(|_| RawValue::NULL.to_owned()),
            },
            response: delivery.response.map(|response| ResponseOut {
                status_code: response.status_code,
                headers: header_map(response.headers),
                body: response.body,
                body_truncated: response.body_cut,
            }),
        }
    }
}

/// Headers as a JSON object; the values of a repeated name are joined as HTTP allows.
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
