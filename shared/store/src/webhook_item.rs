//! A webhook as an item of the webhooks table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::{
    Headers, Level, Origin, Secret, TenantId, UserId, Webhook, WebhookId, WebhookSpec, WebhookUrl,
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
    version: u64,
}

pub(crate) fn write(webhook: &Webhook) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let Webhook { id, tenant_id, spec, origin, created_at, updated_at, created_by, updated_by, version } =
        webhook.clone();
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
        headers: spec.headers,
        enabled: spec.enabled,
        cloud_events: spec.cloud_events,
        origin,
        created_at,
        updated_at,
        created_by,
        updated_by,
        version,
    };
    serde_dynamo::to_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(crate) fn read(item: HashMap<String, AttributeValue>) -> Result<Webhook, StoreError> {
    let item: WebhookItem =
        serde_dynamo::from_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let secret =
        item.secret.map(Secret::parse).transpose().map_err(|error| StoreError::Corrupt(error.to_string()))?;
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
            headers: item.headers,
            enabled: item.enabled,
            cloud_events: item.cloud_events,
        },
        origin: item.origin,
        created_at: item.created_at,
        updated_at: item.updated_at,
        created_by: item.created_by,
        updated_by: item.updated_by,
        version: item.version,
    })
}
