//! The match log in the deliveries table: records of received events by tenant and type, and of mismatches by webhook and rule. A record
//! replaces the previous one.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use anzol_domain::Webhook;
use anzol_domain::match_log::{LastMismatch, MatchHistory, MatchRecord, Mismatch};
use anzol_lazy::Lazy;

use crate::batch;
use crate::deliveries::Deliveries;
use crate::error::StoreError;
use crate::keys;

/// How long a record is kept: longer than the 7 days that the API reports.
const RETENTION: Duration = Duration::days(8);

/// The match log in the deliveries table.
#[derive(Debug, Clone)]
pub struct MatchRecords {
    client: Lazy<Client>,
    table: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventItem {
    pk: String,
    /// The event type.
    sk: String,
    /// When the event was received, in Unix milliseconds.
    at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MismatchItem {
    pk: String,
    /// The rule.
    sk: Mismatch,
    /// When the event was received, in Unix milliseconds.
    at: i64,
    expires_at: i64,
    event_type: String,
    /// The rule's value.
    rule: String,
}

impl MatchRecords {
    /// Returns the match log in the deliveries table with this name.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), table: table.into() }
    }

    /// Writes records at `now`, 25 in a call. Each record must have a different key: tenant and event type, or webhook and rule.
    pub async fn write(&self, records: &[MatchRecord], now: OffsetDateTime) -> Result<(), StoreError> {
        for chunk in records.chunks(batch::MAX_WRITES) {
            let writes = chunk.iter().map(|record| put(record, now)).collect::<Result<_, _>>()?;
            batch::put(&self.client, &self.table, writes).await?;
        }
        Ok(())
    }

    /// Returns all records that concern a webhook.
    pub async fn read(&self, webhook: &Webhook) -> Result<MatchHistory, StoreError> {
        let events = self.all::<EventItem>(keys::events_pk(&webhook.tenant_id));
        let mismatches = self.all::<MismatchItem>(keys::mismatches_pk(&webhook.tenant_id, webhook.id));
        let (events, mismatches) = tokio::try_join!(events, mismatches)?;
        let events = events.into_iter().map(|item| Ok((item.sk, time_of(item.at)?)));
        let mismatches = mismatches.into_iter().map(|item| {
            let MismatchItem { sk: mismatch, rule, event_type, at, .. } = item;
            Ok(LastMismatch { mismatch, rule, event_type, at: time_of(at)? })
        });
        Ok(MatchHistory {
            events: events.collect::<Result<_, StoreError>>()?,
            mismatches: mismatches.collect::<Result<_, StoreError>>()?,
        })
    }

    /// Reads a whole partition: one record for each event type, or for each rule. Both are much smaller than one page of the database.
    async fn all<T: DeserializeOwned>(&self, pk: String) -> Result<Vec<T>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        let answer = query.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let items = answer.items.unwrap_or_default();
        serde_dynamo::from_items(items).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

impl Deliveries {
    /// Returns the match log in this table.
    #[must_use]
    pub fn match_records(&self) -> MatchRecords {
        MatchRecords { client: self.client.clone(), table: self.table.clone() }
    }
}

fn put(record: &MatchRecord, now: OffsetDateTime) -> Result<WriteRequest, StoreError> {
    let MatchRecord { tenant_id, event_type, mismatch } = record;
    let at = keys::unix_millis(now);
    let expires_at = (now + RETENTION).unix_timestamp();
    let item = match mismatch {
        None => serde_dynamo::to_item(EventItem {
            pk: keys::events_pk(tenant_id),
            sk: (*event_type).to_owned(),
            at,
            expires_at,
        }),
        Some((webhook, mismatch, rule)) => serde_dynamo::to_item(MismatchItem {
            pk: keys::mismatches_pk(tenant_id, *webhook),
            sk: *mismatch,
            at,
            expires_at,
            event_type: (*event_type).to_owned(),
            rule: rule.clone(),
        }),
    };
    let item = item.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let put = PutRequest::builder().set_item(Some(item)).build();
    let put = put.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn time_of(millis: i64) -> Result<OffsetDateTime, StoreError> {
    let nanos = i128::from(millis) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|error| StoreError::Corrupt(error.to_string()))
}
