//! Converts deliveries to and from items of the deliveries table, most of which fit into one write unit.
//!
//! Members that no query uses share one compressed attribute. The compression dictionary is a typical delivery (`history.dict`), so header
//! names, attribute names and the structure of an event take almost no space.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::LazyLock;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use anzol_domain::delivery::{NextAttempt, ReceivedResponse, SentRequest};
use anzol_domain::{Delivery, DeliveryId, FailureKind, Status, TenantId, Trigger, WebhookId};

use crate::error::StoreError;
use crate::keys;

/// The compression dictionary. Rows written with it cannot be read without it, so a change requires a new [`FORMAT`], and the old
/// dictionary stays until the last row written with it expires, 7 days later.
const DICTIONARY: &[u8] = include_bytes!("history.dict");
/// The first byte of the compressed attribute, which identifies the dictionary.
const FORMAT: u8 = 1;
const LEVEL: i32 = 3;
/// Maximum size of decompressed details, in bytes: far above an event with its headers and a response.
const MAX_DETAILS: u64 = 1024 * 1024;

/// The prepared dictionary. Preparing it takes longer than compressing a row, so it is prepared once.
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    /// Created for the first row and then reused, because its tables are larger than a row.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(json: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::with_prepared_dictionary(&ENCODER)?,
        };
        let packed = compressor.compress(json)?;
        *kept = Some(compressor);
        Ok(packed)
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryItem {
    pk: String,
    sk: DeliveryId,
    expires_at: i64,
    event_type: String,
    /// The partition key of the failure index. Only failed rows have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_of: Option<String>,
}

/// The name of the compressed attribute.
const DETAILS: &str = "z";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    attempt: u32,
    trigger: Trigger,
    duration_ms: u32,
    /// The failure as release 0.1.0 can read it, which does not know [`FailureKind::Protocol`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureKind>,
    /// The actual failure, if release 0.1.0 does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newer_failure: Option<FailureKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_attempt: Option<NextAttempt>,
    request: Cow<'a, SentRequest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Cow<'a, ReceivedResponse>>,
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
    let is_newer = delivery.failure == Some(FailureKind::Protocol);
    let details = Details {
        attempt: delivery.attempt,
        trigger: delivery.trigger,
        duration_ms: delivery.duration_ms,
        failure: if is_newer { Some(FailureKind::Body) } else { delivery.failure },
        newer_failure: delivery.failure.filter(|_| is_newer),
        status_message: delivery.status_message.as_deref().map(Cow::Borrowed),
        next_attempt: delivery.next_attempt,
        request: Cow::Borrowed(&delivery.request),
        response: delivery.response.as_ref().map(Cow::Borrowed),
    };
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let mut item: HashMap<String, AttributeValue> =
        serde_dynamo::to_item(item).map_err(|error| corrupt(&error))?;
    let json = serde_json::to_vec(&details).map_err(|error| corrupt(&error))?;
    let mut packed = vec![FORMAT];
    packed.extend(compress(&json).map_err(|error| corrupt(&error))?);
    item.insert(DETAILS.to_owned(), AttributeValue::B(Blob::new(packed)));
    Ok(item)
}

/// Returns the size of a delivery's row in bytes: names and values, as the database counts them. The database bills each started KB.
///
/// # Errors
/// The row cannot be written.
pub fn row_size(delivery: &Delivery) -> Result<usize, StoreError> {
    let size = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        // Two digits in a byte, and a byte for the sign and scale.
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        _ => 0, // a row has no other types
    };
    Ok(write(delivery)?.iter().map(|(name, value)| name.len() + size(value)).sum())
}

pub(crate) fn read(
    tenant: &TenantId,
    webhook: WebhookId,
    mut item: HashMap<String, AttributeValue>,
) -> Result<Delivery, StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let packed = item.remove(DETAILS);
    let item: DeliveryItem = serde_dynamo::from_item(item).map_err(|error| corrupt(&error))?;
    let details: Details<'_> = match packed.as_ref().map(AttributeValue::as_b) {
        Some(Ok(blob)) => match blob.as_ref().split_first() {
            Some((&FORMAT, compressed)) => {
                let decoder = zstd::stream::read::Decoder::with_prepared_dictionary(compressed, &DECODER);
                let mut json = Vec::new();
                let decoder = decoder.map_err(|error| corrupt(&error))?;
                decoder.take(MAX_DETAILS).read_to_end(&mut json).map_err(|error| corrupt(&error))?;
                serde_json::from_slice(&json).map_err(|error| corrupt(&error))?
            }
            _ => return Err(StoreError::Corrupt("a delivery with an unknown format".to_owned())),
        },
        _ => return Err(StoreError::Corrupt("a delivery without its details".to_owned())),
    };
    Ok(Delivery {
        id: item.sk,
        tenant_id: tenant.clone(),
        webhook_id: webhook,
        event_type: item.event_type,
        status: if item.failed_of.is_some() { Status::Fail } else { Status::Success },
        failure: details.newer_failure.or(details.failure),
        status_message: details.status_message.map(Cow::into_owned),
        attempt: details.attempt,
        trigger: details.trigger,
        duration_ms: details.duration_ms,
        next_attempt: details.next_attempt,
        retry_after: None,
        request: details.request.into_owned(),
        response: details.response.map(Cow::into_owned),
    })
}

#[cfg(test)]
mod tests {
    use anzol_domain::Event;
    use anzol_domain::delivery::BodyError;
    use time::OffsetDateTime;

    use super::*;

    fn delivery(failure: Option<FailureKind>) -> Delivery {
        let now = OffsetDateTime::UNIX_EPOCH;
        let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
        Delivery {
            id: DeliveryId::mint(now),
            tenant_id: TenantId::parse("acme").unwrap(),
            webhook_id: WebhookId::mint(now),
            event_type: "t".to_owned(),
            status: if failure.is_some() { Status::Fail } else { Status::Success },
            failure,
            status_message: None,
            attempt: 1,
            trigger: Trigger::Event,
            duration_ms: 1,
            next_attempt: None,
            retry_after: None,
            request: SentRequest {
                url: "https://a.example/".to_owned(),
                headers: Vec::new(),
                body: Event::parse(event, now).unwrap().payload(true),
            },
            response: Some(ReceivedResponse {
                status_code: 200,
                headers: Vec::new(),
                headers_cut: true,
                body: "o".to_owned(),
                body_cut: true,
                body_error: Some(BodyError::Cut),
            }),
        }
    }

    /// Returns the details as JSON, as an older release reads them.
    fn details(item: &HashMap<String, AttributeValue>) -> serde_json::Value {
        let blob = item[DETAILS].as_b().unwrap().as_ref();
        let mut decoder =
            zstd::stream::read::Decoder::with_prepared_dictionary(&blob[1..], &DECODER).unwrap();
        let mut json = Vec::new();
        decoder.read_to_end(&mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn k2_new_failure_kind_is_readable_by_older_release() {
        let written = delivery(Some(FailureKind::Protocol));
        let item = write(&written).unwrap();
        assert_eq!(details(&item)["failure"], "body", "0.1.0 does not know `protocol`");
        let back = read(&written.tenant_id, written.webhook_id, item).unwrap();
        assert_eq!(back, written);
        for kind in [FailureKind::Body, FailureKind::Connect] {
            let written = delivery(Some(kind));
            let item = write(&written).unwrap();
            assert_eq!(details(&item)["failure"], kind.name());
            assert_eq!(read(&written.tenant_id, written.webhook_id, item).unwrap(), written);
        }
    }

    #[test]
    fn k1_complete_response_stores_no_new_members() {
        let mut written = delivery(None);
        let response = written.response.as_mut().unwrap();
        (response.headers_cut, response.body_cut, response.body_error) = (false, false, None);
        let item = write(&written).unwrap();
        let names: Vec<_> = details(&item)["response"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["body", "body_cut", "headers", "status_code"]);
        assert_eq!(read(&written.tenant_id, written.webhook_id, item).unwrap(), written);
    }
}
