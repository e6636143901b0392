//! Recoveries in the deliveries table: how far each has come, what failed in its time, and which events were sent again already.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::delivery::RETENTION;
use anzol_domain::recovery::RecoveryStatus;
use anzol_domain::{Delivery, DeliveryId, Recovery, RecoveryId, Status, TenantId, WebhookId};

use crate::deliveries::{Deliveries, DeliveryFilter};
use crate::error::StoreError;
use crate::{delivery_item, keys};

/// Names of attributes, as expressions mention them.
const OLDER_THAN: &str = "olderThan";
const HANDLED: &str = "handledDelivery";
const BY: &str = "recoveryId";
const EXPIRES_AT: &str = "expiresAt";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecoveryItem {
    pk: String,
    sk: RecoveryId,
    expires_at: i64,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    status: RecoveryStatus,
    older_than: DeliveryId,
    found: u32,
    requeued: u32,
    skipped: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

/// Some of a webhook's failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePage {
    /// The rows, newest first.
    pub rows: Vec<Delivery>,
    /// Where to go on: below this id. Nothing when there are no more.
    pub next: Option<DeliveryId>,
}

impl Deliveries {
    /// Writes a recovery that begins.
    pub async fn begin_recovery(&self, recovery: &Recovery) -> Result<(), StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(write(recovery)?));
        put.send().await.map(drop).map_err(|error| StoreError::from_sdk(&error))
    }

    /// Writes how far a recovery has come since it was read.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when somebody else took it further meanwhile.
    pub async fn advance_recovery(&self, read: &Recovery, recovery: &Recovery) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(write(recovery)?))
            .condition_expression(format!("{OLDER_THAN} = :read AND attribute_not_exists(finishedAt)"))
            .expression_attribute_values(":read", AttributeValue::S(read.older_than.to_string()));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Err(StoreError::Changed),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }

    /// One recovery of a webhook, unless it has expired by `now`.
    pub async fn recovery(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        id: RecoveryId,
        now: OffsetDateTime,
    ) -> Result<Option<Recovery>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::recovery_key(tenant, webhook, id)))
            .consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let item: RecoveryItem =
            serde_dynamo::from_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let recovery = Recovery {
            id: item.sk,
            tenant_id: tenant.clone(),
            webhook_id: webhook,
            since: item.since,
            until: item.until,
            status: item.status,
            older_than: item.older_than,
            found: item.found,
            requeued: item.requeued,
            skipped: item.skipped,
            finished_at: item.finished_at,
        };
        Ok(Some(recovery).filter(|recovery| recovery.expires_at() > now))
    }

    /// The newest failures that a recovery has not looked at yet; at most `limit`, and fewer when they are large.
    ///
    /// From the index, which lags behind by a moment: a failure of right now may be missing.
    pub async fn failures(&self, recovery: &Recovery, limit: usize) -> Result<FailurePage, StoreError> {
        let (tenant, webhook) = (&recovery.tenant_id, recovery.webhook_id);
        let filter = DeliveryFilter { status: Some(Status::Fail), event_types: Vec::new() };
        let range = (recovery.oldest(), Some(recovery.older_than));
        if recovery.older_than < recovery.oldest() {
            return Ok(FailurePage { rows: Vec::new(), next: None });
        }
        // The range includes its ends, and the upper one was looked at before.
        let rows = i32::try_from(limit + 1).unwrap_or(i32::MAX);
        let query = self.query(tenant, webhook, &filter, range, false).limit(rows);
        let answer = query.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let items = self.whole(answer.items.unwrap_or_default()).await?.into_iter();
        let mut rows =
            items.map(|item| delivery_item::read(tenant, webhook, item)).collect::<Result<Vec<_>, _>>()?;
        rows.retain(|row| row.id < recovery.older_than);
        let more = answer.last_evaluated_key.is_some() || rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|row| row.id).filter(|_| more);
        Ok(FailurePage { rows, next })
    }

    /// Takes an event for `recovery` to be sent again because of the failed delivery `failed`. Answers whether it was free: of several who
    /// want it, one gets it, and only a later failure makes it free again. Whoever has it gets it again, so that what broke off
    /// in between can be done over.
    pub async fn take_event(
        &self,
        recovery: &Recovery,
        message_id: &str,
        failed: DeliveryId,
    ) -> Result<bool, StoreError> {
        let free = format!(
            "attribute_not_exists(pk) OR {HANDLED} < :failed OR ({HANDLED} = :failed AND {BY} = :recovery)"
        );
        let by = AttributeValue::S(recovery.id.to_string());
        let put = self
            .handled(&recovery.tenant_id, recovery.webhook_id, message_id, failed)
            .item(BY, by.clone())
            .condition_expression(free)
            .expression_attribute_values(":failed", AttributeValue::S(failed.to_string()))
            .expression_attribute_values(":recovery", by);
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }

    /// Notes that an event arrived after all, by this delivery: no recovery needs to send it because of an earlier one.
    pub async fn note_arrival(&self, delivery: &Delivery, message_id: &str) -> Result<(), StoreError> {
        let put = self.handled(&delivery.tenant_id, delivery.webhook_id, message_id, delivery.id);
        put.send().await.map(drop).map_err(|error| StoreError::from_sdk(&error))
    }

    fn handled(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        message_id: &str,
        delivery: DeliveryId,
    ) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
        let expires_at = (delivery.time() + RETENTION).unix_timestamp().to_string();
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(keys::handled_key(tenant, webhook, message_id)))
            .item(HANDLED, AttributeValue::S(delivery.to_string()))
            .item(EXPIRES_AT, AttributeValue::N(expires_at))
    }
}

fn write(recovery: &Recovery) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let item = RecoveryItem {
        pk: keys::recoveries_pk(&recovery.tenant_id, recovery.webhook_id),
        sk: recovery.id,
        expires_at: recovery.expires_at().unix_timestamp(),
        since: recovery.since,
        until: recovery.until,
        status: recovery.status,
        older_than: recovery.older_than,
        found: recovery.found,
        requeued: recovery.requeued,
        skipped: recovery.skipped,
        finished_at: recovery.finished_at,
    };
    serde_dynamo::to_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))
}
