//! Markers in the deliveries table: that an event of a type came to a tenant, and that a webhook missed one. Each replaces the one before.

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use anzol_domain::Webhook;
use anzol_domain::match_log::{LastMismatch, MatchHistory, MatchRecord, Mismatch};

use crate::batch;
use crate::client::{LazyClient, lazy_client};
use crate::deliveries::Deliveries;
use crate::error::StoreError;
use crate::keys;

/// How long a marker is kept: longer than anybody asks for it, and shorter than forever.
const RETENTION: Duration = Duration::days(8);

/// The markers, for those who write them.
#[derive(Debug, Clone)]
pub struct MatchRecords {
    client: LazyClient,
    table: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventItem {
    pk: String,
    /// The event type.
    sk: String,
    /// When the event came, in milliseconds of Unix time.
    at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MissedItem {
    pk: String,
    /// By which rule.
    sk: Mismatch,
    /// When the event came, in milliseconds of Unix time.
    at: i64,
    expires_at: i64,
    event_type: String,
    /// What the rule was.
    rule: String,
}

impl MatchRecords {
    /// The markers in the deliveries table of that name, reached with this configuration.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        Self { client: lazy_client(config), table: table.into() }
    }

    /// Notes what came at `now`, 25 notes in a call. No two may be of the same event type and tenant, or webhook and rule.
    pub async fn write(&self, notes: &[MatchRecord], now: OffsetDateTime) -> Result<(), StoreError> {
        for chunk in notes.chunks(batch::MOST_WRITES) {
            let writes = chunk.iter().map(|note| put(note, now)).collect::<Result<_, _>>()?;
            batch::put(&self.client, &self.table, writes).await?;
        }
        Ok(())
    }

    /// All notes that concern a webhook.
    pub async fn read(&self, webhook: &Webhook) -> Result<MatchHistory, StoreError> {
        let events = self.all::<EventItem>(keys::events_pk(&webhook.tenant_id));
        let missed = self.all::<MissedItem>(keys::missed_pk(&webhook.tenant_id, webhook.id));
        let (events, missed) = tokio::try_join!(events, missed)?;
        let events = events.into_iter().map(|item| Ok((item.sk, time_of(item.at)?)));
        let missed = missed.into_iter().map(|item| {
            let MissedItem { sk: miss, rule, event_type, at, .. } = item;
            Ok(LastMismatch { miss, rule, event_type, at: time_of(at)? })
        });
        Ok(MatchHistory {
            events: events.collect::<Result<_, StoreError>>()?,
            missed: missed.collect::<Result<_, StoreError>>()?,
        })
    }

    /// A whole partition: a marker for each event type there is, or for each rule. Both fit a page of the database many times over.
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
    /// The markers in the same table.
    #[must_use]
    pub fn markers(&self) -> MatchRecords {
        MatchRecords { client: self.client.clone(), table: self.table.clone() }
    }
}

fn put(note: &MatchRecord, now: OffsetDateTime) -> Result<WriteRequest, StoreError> {
    let MatchRecord { tenant_id, event_type, missed } = note;
    let at = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let expires_at = (now + RETENTION).unix_timestamp();
    let item = match missed {
        None => serde_dynamo::to_item(EventItem {
            pk: keys::events_pk(tenant_id),
            sk: (*event_type).to_owned(),
            at,
            expires_at,
        }),
        Some((webhook, miss, rule)) => serde_dynamo::to_item(MissedItem {
            pk: keys::missed_pk(tenant_id, *webhook),
            sk: *miss,
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
