//! Converts webhooks to and from items of the webhooks table.
//!
//! The configuration is one attribute, `webhook`, which changes only together with `version` and `sealed`. It is JSON in a string: the SDK
//! takes several times as long to parse a map, and every list, event and delivery reads webhooks. Health has separate attributes, which are
//! absent while the webhook is healthy, so that writes of senders do not conflict with edits.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::{
    Disabled, Filter, Headers, Health, Lane, Level, Origin, Sealed, TenantId, UserId, Webhook, WebhookId,
    WebhookSpec, WebhookUrl,
};

use crate::error::StoreError;
use crate::keys;

/// Names of attributes.
pub(crate) const WEBHOOK: &str = "webhook";
pub(crate) const SEALED: &str = "sealed";
pub(crate) const VERSION: &str = "version";
pub(crate) const LANE: &str = "lane";
pub(crate) const FAST_SUCCESSES: &str = "quickSuccesses";
pub(crate) const FAILURES: &str = "failures";
pub(crate) const FAILING_SINCE: &str = "failingSince";
pub(crate) const WARNED: &str = "warned";

/// The attributes other than `webhook`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthAttributes {
    version: u64,
    #[serde(default)]
    sealed: Option<SealedItem>,
    #[serde(default)]
    lane: Lane,
    #[serde(default, rename = "quickSuccesses")]
    fast_successes: u32,
    #[serde(default)]
    failures: u32,
    #[serde(default, with = "time::serde::rfc3339::option")]
    failing_since: Option<OffsetDateTime>,
    #[serde(default)]
    warned: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookDocument {
    id: WebhookId,
    tenant_id: TenantId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    url: WebhookUrl,
    event_types: Vec<String>,
    level: Level,
    owner_id: UserId,
    /// Present only in items from before the first release, whose `webhook` is a map.
    #[serde(default, skip_serializing)]
    sealed: Option<SealedItem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
    headers: Headers,
    enabled: bool,
    cloud_events: bool,
    origin: Origin,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    created_by: UserId,
    updated_by: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled: Option<Disabled>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SealedItem {
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
    #[serde(default)]
    has_secret: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    header_names: Vec<String>,
}

/// Returns the item of a new webhook.
pub(crate) fn write(webhook: &Webhook) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let mut item = keys::webhook_key(&webhook.tenant_id, webhook.id);
    item.insert(WEBHOOK.to_owned(), document(webhook)?);
    item.insert(VERSION.to_owned(), AttributeValue::N(webhook.version.to_string()));
    item.extend(sealed(webhook)?.map(|sealed| (SEALED.to_owned(), sealed)));
    Ok(item)
}

/// Returns the attribute `webhook`.
pub(crate) fn document(webhook: &Webhook) -> Result<AttributeValue, StoreError> {
    let webhook = webhook.clone();
    let spec = webhook.spec;
    let document = WebhookDocument {
        id: webhook.id,
        tenant_id: webhook.tenant_id,
        name: spec.name,
        description: spec.description,
        url: spec.url,
        event_types: spec.event_types,
        level: spec.level,
        owner_id: spec.owner_id,
        sealed: None,
        filter: spec.filter,
        headers: spec.headers,
        enabled: spec.enabled,
        cloud_events: spec.cloud_events,
        origin: webhook.origin,
        created_at: webhook.created_at,
        updated_at: webhook.updated_at,
        created_by: webhook.created_by,
        updated_by: webhook.updated_by,
        disabled: webhook.disabled,
    };
    serde_json::to_string(&document).map(AttributeValue::S).map_err(|error| corrupt(&error))
}

/// Returns the attribute `sealed`.
pub(crate) fn sealed(webhook: &Webhook) -> Result<Option<AttributeValue>, StoreError> {
    let Some(Sealed { ciphertext, has_secret, header_names }) = webhook.sealed.clone() else {
        return Ok(None);
    };
    let sealed = SealedItem { ciphertext, has_secret, header_names };
    serde_dynamo::to_attribute_value(sealed).map(Some).map_err(|error| corrupt(&error))
}

pub(crate) fn read(mut item: HashMap<String, AttributeValue>) -> Result<Webhook, StoreError> {
    let document: WebhookDocument = match item.remove(WEBHOOK) {
        Some(AttributeValue::S(json)) => serde_json::from_str(&json).map_err(|error| corrupt(&error))?,
        Some(AttributeValue::M(map)) => serde_dynamo::from_item(map).map_err(|error| corrupt(&error))?,
        _ => return Err(corrupt("an item without a webhook")),
    };
    let attributes: HealthAttributes = serde_dynamo::from_item(item).map_err(|error| corrupt(&error))?;
    let sealed = attributes.sealed.or(document.sealed);
    Ok(Webhook {
        id: document.id,
        tenant_id: document.tenant_id,
        spec: WebhookSpec {
            name: document.name,
            description: document.description,
            url: document.url,
            event_types: document.event_types,
            level: document.level,
            owner_id: document.owner_id,
            filter: document.filter,
            headers: document.headers,
            enabled: document.enabled,
            cloud_events: document.cloud_events,
        },
        origin: document.origin,
        created_at: document.created_at,
        updated_at: document.updated_at,
        created_by: document.created_by,
        updated_by: document.updated_by,
        sealed: sealed.map(|SealedItem { ciphertext, has_secret, header_names }| Sealed {
            ciphertext,
            has_secret,
            header_names,
        }),
        health: Health {
            lane: attributes.lane,
            fast_successes: attributes.fast_successes,
            failures: attributes.failures,
            failing_since: attributes.failing_since,
            warned: attributes.warned,
        },
        disabled: document.disabled,
        version: attributes.version,
    })
}

fn corrupt(error: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
