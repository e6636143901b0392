//! Webhooks in responses. Requests contain the domain's unchecked type, [`anzol_domain::webhook::WebhookInput`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::{Disabled, Filter, Headers, Level, Origin, UserId, Webhook, WebhookId, schema};

use super::HealthOut;

/// A webhook. Secrets are write-only: `secretKeyAdded` and `encryptedHeaders` show which exist.
#[expect(clippy::struct_excessive_bools, reason = "the contract's shape")]
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Webhook")]
pub(crate) struct WebhookOut {
    /// The ID of the webhook, a `UUIDv7` that contains its creation time.
    #[schemars(with = "schema::Id")]
    id: WebhookId,
    /// The name of the webhook.
    name: String,
    /// The description; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    description: Option<String>,
    /// The URL that receives events, as the URL standard serializes it.
    url: String,
    /// The event types the webhook subscribes to, without duplicates. Aliases are returned as the name they stand for.
    #[schemars(with = "Vec<schema::CanonicalEventTypeName>")]
    event_types: Vec<String>,
    /// Whose events the webhook receives.
    level: Level,
    /// The user who owns the webhook.
    #[schemars(with = "schema::User")]
    owner_id: UserId,
    /// The filter on events of these types, in canonical form; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    filter: Option<Filter>,
    /// Whether the webhook has a signing secret.
    secret_key_added: bool,
    /// Additional request headers, by name.
    #[schemars(with = "BTreeMap<String, String>")]
    headers: Headers,
    /// The names of the additional request headers whose values are secret.
    encrypted_headers: Vec<String>,
    /// Whether the webhook receives events.
    enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledOut>,
    /// Always false: certificate revocation is not checked.
    check_certificate_revocation: bool,
    /// Whether the webhook receives plain CloudEvents 1.0, without the legacy members.
    enable_cloud_event_delivery: bool,
    /// The health of the receiver. An Anzol extension.
    health: HealthOut,
    /// Where the webhook was created.
    origin: Origin,
    /// When the webhook was created.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    created_at: OffsetDateTime,
    /// When the webhook was last changed.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    updated_at: OffsetDateTime,
    /// The user who created the webhook.
    #[schemars(with = "schema::User")]
    created_by_user_id: UserId,
    /// The user who last changed the webhook.
    #[schemars(with = "schema::User")]
    updated_by_user_id: UserId,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DisabledOut {
    /// Why the webhook was disabled automatically, in words.
    disabled_reason: String,
    /// Why the webhook was disabled automatically, as a stable code.
    disabled_reason_code: String,
}

impl WebhookOut {
    /// Returns the public form of a webhook.
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
