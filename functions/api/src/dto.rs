//! Requests and answers as the contract spells them (contract section 2), and their way to and from domain types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use anzol_domain::delivery::BodyError;
use anzol_domain::error::Problems;
use anzol_domain::filter::MAX_FILTER;
use anzol_domain::rule::Reason;
use anzol_domain::webhook::{Earlier, MAX_DESCRIPTION, MAX_NAME, RawSpec};
use anzol_domain::{
    Delivery, DeliveryId, Disabled, FailureKind, Filter, Headers, Invalid, Level, Origin, Rule, Secrets,
    Status, Trigger, UserId, Webhook, WebhookId, WebhookSpec,
};
use anzol_http::Links;

mod health;
mod recovery;
mod test_event;

use crate::openapi::{patterns, schemas};
pub(crate) use health::HealthOut;
pub(crate) use recovery::{RecoverIn, RecoveryOut};
pub(crate) use test_event::TestIn;

/// A webhook as a client writes it. Members it does not know are ignored, as clients send back what they were given. Not `Debug`: it
/// holds secrets.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookIn {
    /// A name for people; need not be unique.
    #[schemars(with = "String", length(min = 1, max = MAX_NAME), regex(pattern = patterns::name()))]
    name: Option<String>,
    /// A description for people; an empty one counts as none.
    #[schemars(length(max = MAX_DESCRIPTION), regex(pattern = patterns::description()))]
    description: Option<String>,
    /// Where events are posted: https, port 443, a public domain name, neither user name nor fragment, at most 2048 bytes.
    #[schemars(with = "schemas::TargetUrl")]
    url: Option<String>,
    /// The events it hears; see `GET /api/core/webhooks/event-types`. A type may be named by an alias, and is shown by its name.
    #[schemars(with = "Option<Vec<schemas::EventTypeName>>")]
    event_types: Option<Vec<String>>,
    /// Whose events it hears. `tenant`, the default, takes a tenant admin.
    level: Option<Level>,
    /// The user it belongs to: whoever creates it, unless a tenant admin names another.
    #[schemars(with = "Option<schemas::User>")]
    owner_id: Option<String>,
    /// Signs every request to the receiver. Never shown again; an empty one counts as none.
    #[schemars(regex(pattern = patterns::secret()), extend("writeOnly" = true, "format" = "password"))]
    secret: Option<String>,
    /// Headers to send along, by name. At most 2048 bytes in all; names are unique in any case, here and in `encryptedHeaders`.
    #[schemars(with = "Option<schemas::HeadersIn>")]
    headers: Option<BTreeMap<String, String>>,
    /// Whether it gets events at all. Then it needs an event type.
    enabled: Option<bool>,
    /// Whether it gets pure CloudEvents 1.0, without the legacy members. Cannot be turned off again.
    enable_cloud_event_delivery: Option<bool>,
    /// Where it was made. Never changes.
    origin: Option<Origin>,
    /// Which of those events it wants, as a small part of SCIM's filter language (RFC 7644, section 3.4.2.2): `id`, `spaceId`
    /// and `topLevelResourceId` compared by `eq` or `ne` with strings, joined by `and` and `or`. `data.status`, which is `ok` or
    /// `error`, only when `com.qlik.v1.app.reload.finished` is the only event type. An empty one counts as none.
    #[schemars(length(max = MAX_FILTER), regex(pattern = patterns::filter()), extend("examples" = [FILTER_EXAMPLE]))]
    filter: Option<String>,
    /// Headers like `headers` whose values only the receiver gets to see. Answers have their names alone, and the empty list of
    /// them may be sent back.
    #[schemars(with = "Option<schemas::EncryptedHeadersIn>", extend("writeOnly" = true))]
    encrypted_headers: Option<Value>,
    /// Kept for compatibility: revocation is not checked here, so it cannot be asked for.
    #[schemars(with = "Option<schemas::OnlyFalse>")]
    check_certificate_revocation: Option<bool>,
}

/// The contract's own example of a filter (contract section 2.2).
const FILTER_EXAMPLE: &str = r#"id eq "id123" or spaceId eq "spaceId123" or topLevelResourceId eq "id789""#;

/// What members that a request leaves out come to.
pub(crate) struct Defaults<'a> {
    pub(crate) level: Level,
    pub(crate) owner: &'a UserId,
    pub(crate) enabled: bool,
    pub(crate) cloud_events: bool,
    /// What is changed, if this is a change.
    pub(crate) earlier: Earlier<'a>,
}

/// Reads a request; anything but an object is refused, and a member of the wrong kind is named.
pub(crate) fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Invalid> {
    if !body.is_object() {
        return Err(Invalid::one("body", Rule::NotObject));
    }
    serde_path_to_error::deserialize(body).map_err(|error| {
        let field = error.path().to_string();
        Invalid::one(field, Rule::Unreadable { reason: Reason::new(error.into_inner()) })
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

    /// The checked spec, and the secrets; all problems are reported together.
    pub(crate) fn check(self, defaults: &Defaults<'_>) -> Result<(WebhookSpec, Secrets), Invalid> {
        let mut problems = Problems::default();
        // A promise we cannot keep is refused, never stored: no library we trust checks revocation on this platform.
        if self.check_certificate_revocation == Some(true) {
            problems.add("checkCertificateRevocation", Rule::MustBeFalse);
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
        let checked = problems.take(raw.check_change(&defaults.earlier));
        problems.finish(checked)
    }
}

/// Reads `encryptedHeaders`: values by name. A list of names is what answers have in its place; sent back, it cannot mean anything
/// unless it is empty.
fn encrypted_headers(value: Option<Value>) -> Result<BTreeMap<String, String>, Invalid> {
    let of = "encryptedHeaders";
    match value {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Array(names)) if names.is_empty() => Ok(BTreeMap::new()),
        Some(Value::Array(_)) => Err(Invalid::one(of, Rule::HeaderValuesRequired)),
        Some(Value::Object(members)) => {
            let mut problems = Problems::default();
            let mut headers = BTreeMap::new();
            for (name, value) in members {
                match value {
                    Value::String(value) => drop(headers.insert(name, value)),
                    _ => problems.add(format!("{of}.{name}"), Rule::NotString),
                }
            }
            problems.finish(Some(headers))
        }
        Some(_) => Err(Invalid::one(of, Rule::NotHeaderObject)),
    }
}

/// A webhook as clients see it. The secret is write-only: they see whether there is one.
#[expect(clippy::struct_excessive_bools, reason = "the contract's shape")]
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Webhook")]
pub(crate) struct WebhookOut {
    /// Says when it was created, too: a `UUIDv7`.
    #[schemars(with = "schemas::Id")]
    id: WebhookId,
    /// Its name for people.
    name: String,
    /// Its description for people; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    description: Option<String>,
    /// Where events are posted, in the URL standard's spelling.
    url: String,
    /// The events it hears, none twice, aliases by the names they stand for.
    #[schemars(with = "Vec<schemas::CanonicalEventTypeName>")]
    event_types: Vec<String>,
    /// Whose events it hears.
    level: Level,
    /// The user it belongs to.
    #[schemars(with = "schemas::User")]
    owner_id: UserId,
    /// Which of those events it wants, in the plainest spelling; absent when it wants all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    filter: Option<Filter>,
    /// Whether it has a secret.
    secret_key_added: bool,
    /// Headers it sends along.
    #[schemars(with = "BTreeMap<String, String>")]
    headers: Headers,
    /// The names of headers whose values are never shown.
    encrypted_headers: Vec<String>,
    /// Whether it gets events.
    enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledOut>,
    /// Always false: revocation is not checked here.
    check_certificate_revocation: bool,
    /// Whether it gets pure CloudEvents 1.0.
    enable_cloud_event_delivery: bool,
    /// How its receiver is doing. Ours, beyond the contract.
    health: HealthOut,
    /// Where it was made.
    origin: Origin,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    created_at: OffsetDateTime,
    /// When anybody last changed it.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    updated_at: OffsetDateTime,
    /// Who created it.
    #[schemars(with = "schemas::User")]
    created_by_user_id: UserId,
    /// Who last changed it.
    #[schemars(with = "schemas::User")]
    updated_by_user_id: UserId,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DisabledOut {
    /// Why it was disabled without anybody asking for it, for people.
    disabled_reason: String,
    /// The same for programs; names that stay.
    disabled_reason_code: String,
}

impl WebhookOut {
    pub(crate) fn new(webhook: Webhook, health: HealthOut) -> Self {
        let secret_key_added = webhook.has_secret();
        let encrypted_headers = webhook.encrypted_header_names().map(str::to_owned).collect();
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
            secret_key_added,
            headers: spec.headers,
            encrypted_headers,
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct PageOut<T> {
    /// What is on the page, in the order asked for.
    pub(crate) data: Vec<T>,
    /// Where it is, and its neighbours.
    pub(crate) links: Links,
}

/// An attempt to deliver an event, and how it went. `attempt`, `trigger`, `failure`, `durationMs` and `nextAttemptAt` go beyond
/// the contract.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
pub(crate) struct DeliveryOut {
    /// Says when it was triggered, too: a `UUIDv7`.
    #[schemars(with = "schemas::Id")]
    id: DeliveryId,
    /// The webhook it belongs to.
    #[schemars(with = "schemas::Id")]
    webhook_id: WebhookId,
    /// The event's type, as the event has it.
    event_type: String,
    /// When it was due.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    triggered_at: OffsetDateTime,
    /// Whether the receiver took it.
    status: Status,
    /// Why it failed, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    status_message: Option<String>,
    /// Why it failed, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FailureKind")]
    failure: Option<FailureKind>,
    /// 1 for the first attempt.
    #[schemars(range(min = 1))]
    attempt: u32,
    /// Why it was made.
    trigger: Trigger,
    /// From the first look-up to the last byte read, in milliseconds.
    duration_ms: u32,
    /// When the next attempt is due; absent when there will be none.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schemas::DateTime")]
    next_attempt_at: Option<OffsetDateTime>,
    /// What was sent, or would have been.
    request: RequestOut,
    /// What came back; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ResponseOut")]
    response: Option<ResponseOut>,
}

/// What was sent. The values of encrypted headers are `**OMITTED**`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeliveryRequest")]
struct RequestOut {
    /// The webhook's URL at the time.
    url: String,
    /// All headers that were set.
    headers: BTreeMap<String, String>,
    /// The event, as JSON.
    #[schemars(with = "serde_json::Map<String, Value>")]
    body: Box<RawValue>,
}

/// What came back.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeliveryResponse")]
struct ResponseOut {
    /// The HTTP status.
    #[schemars(range(min = 100, max = 999))]
    status_code: u16,
    /// The headers that fit into 8 KiB; values of a repeated name are joined by commas.
    headers: BTreeMap<String, String>,
    /// Whether there were others. Absent when there were none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    headers_truncated: bool,
    /// The first 16 KiB of the body; what is not UTF-8 is replaced.
    body: String,
    /// Whether the body went on after what is kept of it, or was to.
    body_truncated: bool,
    /// What was wrong with the body: it broke off (`cut`), is not encoded as announced or in a way that is not read (`encoding`), was not
    /// there in time (`timeout`), or has no length that makes sense (`length`). Absent when nothing was. The status counts all the same.
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
                // We wrote it as JSON; `null` is the answer to what cannot happen.
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
