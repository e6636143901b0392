//! A delivery as an item of the deliveries table, small enough for one write unit.
//!
//! What no query looks at is one compressed attribute. The compressor knows a typical delivery beforehand (`history.dict`), so that
//! header names, attribute names and the shape of an event cost next to nothing.

use std::collections::HashMap;
use std::io::Read as _;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use anzol_domain::delivery::{NextAttempt, ReceivedResponse, SentRequest};
use anzol_domain::{Delivery, DeliveryId, FailureKind, Status, TenantId, Trigger, WebhookId};

use crate::error::StoreError;
use crate::keys;

/// What the compressor knows beforehand. Rows written with it cannot be read without it: a change needs a new [`FORMAT`],
/// and the old file stays until the last row written with it has expired, 7 days later.
const DICTIONARY: &[u8] = include_bytes!("history.dict");
/// First byte of the compressed attribute: which dictionary it takes to read it.
const FORMAT: u8 = 1;
const LEVEL: i32 = 3;
/// Bound on what a row may grow to when it is read: an event with its headers and an answer, each far below.
const MAX_DETAILS: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryItem {
    pk: String,
    sk: DeliveryId,
    expires_at: i64,
    event_type: String,
    /// Only on failed rows: the key of the index that holds nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_of: Option<String>,
}

/// Name of the compressed attribute.
const DETAILS: &str = "z";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    attempt: u32,
    trigger: Trigger,
    duration_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_attempt: Option<NextAttempt>,
    request: SentRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<ReceivedResponse>,
}

pub(crate) fn write(delivery: &Delivery) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let pk = keys::history_pk(&delivery.tenant_id, delivery.webhook_id);
    let failed_of = (delivery.status == Status::Fail).then(|| pk.clone());
    let item = DeliveryItem {
        pk,
        sk: delivery.id,
        expires_at: delivery.expires_at().unix_timestamp(),
        event_type: delivery.event_type.clone(),
        failed_of,
    };
    let details = Details {
        attempt: delivery.attempt,
        trigger: delivery.trigger,
        duration_ms: delivery.duration_ms,
        failure: delivery.failure,
        status_message: delivery.status_message.clone(),
        next_attempt: delivery.next_attempt,
        request: delivery.request.clone(),
        response: delivery.response.clone(),
    };
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let mut item: HashMap<String, AttributeValue> =
        serde_dynamo::to_item(item).map_err(|error| corrupt(&error))?;
    let json = serde_json::to_vec(&details).map_err(|error| corrupt(&error))?;
    let mut packed = vec![FORMAT];
    let mut compressor =
        zstd::bulk::Compressor::with_dictionary(LEVEL, DICTIONARY).map_err(|error| corrupt(&error))?;
    packed.extend(compressor.compress(&json).map_err(|error| corrupt(&error))?);
    item.insert(DETAILS.to_owned(), AttributeValue::B(Blob::new(packed)));
    Ok(item)
}

pub(crate) fn read(
    tenant: &TenantId,
    webhook: WebhookId,
    mut item: HashMap<String, AttributeValue>,
) -> Result<Delivery, StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let packed = item.remove(DETAILS);
    let item: DeliveryItem = serde_dynamo::from_item(item).map_err(|error| corrupt(&error))?;
    let details: Details = match packed.as_ref().map(AttributeValue::as_b) {
        Some(Ok(blob)) => match blob.as_ref().split_first() {
            Some((&FORMAT, compressed)) => {
                let decoder = zstd::stream::read::Decoder::with_dictionary(compressed, DICTIONARY);
                let mut json = Vec::new();
                let decoder = decoder.map_err(|error| corrupt(&error))?;
                decoder.take(MAX_DETAILS).read_to_end(&mut json).map_err(|error| corrupt(&error))?;
                serde_json::from_slice(&json).map_err(|error| corrupt(&error))?
            }
            _ => return Err(StoreError::Corrupt("a delivery of an unknown format".to_owned())),
        },
        _ => return Err(StoreError::Corrupt("a delivery without its details".to_owned())),
    };
    Ok(Delivery {
        id: item.sk,
        tenant_id: tenant.clone(),
        webhook_id: webhook,
        event_type: item.event_type,
        status: if item.failed_of.is_some() { Status::Fail } else { Status::Success },
        failure: details.failure,
        status_message: details.status_message,
        attempt: details.attempt,
        trigger: details.trigger,
        duration_ms: details.duration_ms,
        next_attempt: details.next_attempt,
        request: details.request,
        response: details.response,
    })
}
