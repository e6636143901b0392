//! A webhook as an item of the webhooks table.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::{
    Disabled, EncryptedHeaders, Filter, Headers, Level, Origin, Secret, TenantId, UserId, Webhook, WebhookId,
    WebhookSpec, WebhookUrl,
};

use crate::error::StoreError;
use crate::keys;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookItem {
    pk: String,
    sk: String,
    id: WebhookId,
    tenant_id: TenantId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    url: WebhookUrl,
    event_types: Vec<String>,
    level: Level,
    owner_id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
    headers: Headers,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    encrypted_headers: BTreeMap<String, String>,
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
    version: u64,
}

pub(crate) fn write(webhook: &Webhook) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let webhook = webhook.clone();
    let (id, tenant_id, spec) = (webhook.id, webhook.tenant_id, webhook.spec);
    let item = WebhookItem {
        pk: keys::tenant_pk(&tenant_id),
        sk: keys::webhook_sk(id),
        id,
        tenant_id,
        name: spec.name,
        description: spec.description,
        url: spec.url,
        event_types: spec.event_types,
        level: spec.level,
        owner_id: spec.owner_id,
        secret: spec.secret.map(|secret| secret.expose().to_owned()),
        filter: spec.filter,
        headers: spec.headers,
        encrypted_headers: spec
            .encrypted_headers
            .expose()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        enabled: spec.enabled,
        cloud_events: spec.cloud_events,
        origin: webhook.origin,
        created_at: webhook.created_at,
        updated_at: webhook.updated_at,
        created_by: webhook.created_by,
        updated_by: webhook.updated_by,
        disabled: webhook.disabled,
        version: webhook.version,
    };
    serde_dynamo::to_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(crate) fn read(item: HashMap<String, AttributeValue>) -> Result<Webhook, StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let item: WebhookItem = serde_dynamo::from_item(item).map_err(|error| corrupt(&error))?;
    let secret = item.secret.map(Secret::parse).transpose().map_err(|error| corrupt(&error))?;
    let encrypted_headers =
        EncryptedHeaders::parse(item.encrypted_headers).map_err(|error| corrupt(&error))?;
    Ok(Webhook {
        id: item.id,
        tenant_id: item.tenant_id,
        spec: WebhookSpec {
            name: item.name,
            description: item.description,
            url: item.url,
            event_types: item.event_types,
            level: item.level,
            owner_id: item.owner_id,
            secret,
            filter: item.filter,
            headers: item.headers,
            encrypted_headers,
            enabled: item.enabled,
            cloud_events: item.cloud_events,
        },
        origin: item.origin,
        created_at: item.created_at,
        updated_at: item.updated_at,
        created_by: item.created_by,
        updated_by: item.updated_by,
        disabled: item.disabled,
        version: item.version,
    })
}
