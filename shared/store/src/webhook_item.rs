//! A webhook as an item of the webhooks table.
//!
//! What the tenant decided is one attribute, `webhook`, which only changes together with `version` and `sealed`: JSON in a string, as
//! the SDK takes several times as long to read a map of attributes, and every list, event and delivery reads some. How its receiver is
//! doing lies beside it in attributes of their own, absent while all is well, so that senders can write them without getting in the way
//! of edits.

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

/// Names of the attributes, as expressions mention them.
pub(crate) const WEBHOOK: &str = "webhook";
pub(crate) const SEALED: &str = "sealed";
pub(crate) const VERSION: &str = "version";
pub(crate) const LANE: &str = "lane";
pub(crate) const FAST_SUCCESSES: &str = "quickSuccesses";
pub(crate) const FAILURES: &str = "failures";
pub(crate) const FAILING_SINCE: &str = "failingSince";
pub(crate) const WARNED: &str = "warned";

/// What is beside the attribute `webhook`.
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
    /// Where rows have it whose `webhook` is a map, as all were before the first release.
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

/// The whole item, for a webhook that is not there yet.
pub(crate) fn write(webhook: &Webhook) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let mut item = keys::webhook_key(&webhook.tenant_id, webhook.id);
    item.insert(WEBHOOK.to_owned(), body(webhook)?);
    item.insert(VERSION.to_owned(), AttributeValue::N(webhook.version.to_string()));
    item.extend(sealed(webhook)?.map(|sealed| (SEALED.to_owned(), sealed)));
    Ok(item)
}

/// The attribute `webhook`.
pub(crate) fn body(webhook: &Webhook) -> Result<AttributeValue, StoreError> {
    let webhook = webhook.clone();
    let spec = webhook.spec;
    let body = WebhookDocument {
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
    serde_json::to_string(&body).map(AttributeValue::S).map_err(|error| corrupt(&error))
}

/// What KMS sealed of it, which changes with it.
pub(crate) fn sealed(webhook: &Webhook) -> Result<Option<AttributeValue>, StoreError> {
    let Some(Sealed { ciphertext, has_secret, header_names }) = webhook.sealed.clone() else {
        return Ok(None);
    };
    let sealed = SealedItem { ciphertext, has_secret, header_names };
    serde_dynamo::to_attribute_value(sealed).map(Some).map_err(|error| corrupt(&error))
}

pub(crate) fn read(mut item: HashMap<String, AttributeValue>) -> Result<Webhook, StoreError> {
    let body: WebhookDocument = match item.remove(WEBHOOK) {
        Some(AttributeValue::S(json)) => serde_json::from_str(&json).map_err(|error| corrupt(&error))?,
        Some(AttributeValue::M(map)) => serde_dynamo::from_item(map).map_err(|error| corrupt(&error))?,
        _ => return Err(corrupt("an item without a webhook")),
    };
    let beside: HealthAttributes = serde_dynamo::from_item(item).map_err(|error| corrupt(&error))?;
    let sealed = beside.sealed.or(body.sealed);
    Ok(Webhook {
        id: body.id,
        tenant_id: body.tenant_id,
        spec: WebhookSpec {
            name: body.name,
            description: body.description,
            url: body.url,
            event_types: body.event_types,
            level: body.level,
            owner_id: body.owner_id,
            filter: body.filter,
            headers: body.headers,
            enabled: body.enabled,
            cloud_events: body.cloud_events,
        },
        origin: body.origin,
        created_at: body.created_at,
        updated_at: body.updated_at,
        created_by: body.created_by,
        updated_by: body.updated_by,
        sealed: sealed.map(|SealedItem { ciphertext, has_secret, header_names }| Sealed {
            ciphertext,
            has_secret,
            header_names,
        }),
        health: Health {
            lane: beside.lane,
            fast_successes: beside.fast_successes,
            failures: beside.failures,
            failing_since: beside.failing_since,
            warned: beside.warned,
        },
        disabled: body.disabled,
        version: beside.version,
    })
}

fn corrupt(error: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
