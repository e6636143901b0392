//! Recoveries in the deliveries table: their progress, the failures that they cover, and the events that were sent again.
//!
//! A webhook has one running recovery at a time. The item `RUNNING` names the newest recovery, whose row contains its status. In every
//! release, ending a recovery changes only its row, so the next one can start.
//!
//! The item of an event that was sent again has `handledDelivery`, the last failed delivery that this settles, and `recoveryId`, the
//! recovery. Older releases do not write the other attributes: `takenFor`, the failed delivery that was sent again; `sentAs`, the new
//! delivery; and `handledUntil`: failures from this id on count as new.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::delivery::RETENTION;
use anzol_domain::recovery::RecoveryStatus;
use anzol_domain::{Delivery, DeliveryId, Recovery, RecoveryId, Status, TenantId, WebhookId};

use crate::backoff::pause;
use crate::deliveries::{Deliveries, DeliveryFilter};
use crate::error::StoreError;
use crate::keys::Item;
use crate::webhooks::{Refusal, put_item, refusal};
use crate::{batch, delivery_item, keys};

/// Names of attributes.
const OLDER_THAN: &str = "olderThan";
const HANDLED: &str = "handledDelivery";
const BY: &str = "recoveryId";
const CLAIMED_FOR: &str = "takenFor";
const SENT_AS: &str = "sentAs";
const HANDLED_UNTIL: &str = "handledUntil";
const NEWER_THAN: &str = "newerThan";
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newer_than: Option<DeliveryId>,
    older_than: DeliveryId,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    stepped_at: Option<OffsetDateTime>,
    found: u32,
    requeued: u32,
    skipped: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

/// A page of a webhook's failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePage {
    /// The rows, oldest first.
    pub rows: Vec<Delivery>,
    /// The next page starts above this id. `None` if there are no more failures.
    pub next: Option<DeliveryId>,
}

/// The record of an event that was sent again or delivered later.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    sk: String,
    /// The last failed delivery that this settles, or the successful delivery.
    pub handled_delivery: DeliveryId,
    /// The recovery that sent the event again; `None` after a resend.
    #[serde(default)]
    pub recovery_id: Option<RecoveryId>,
    /// The failed delivery that was sent again.
    #[serde(default, rename = "takenFor")]
    pub claimed_for: Option<DeliveryId>,
    /// The new delivery.
    #[serde(default)]
    pub sent_as: Option<DeliveryId>,
}

/// An event that a recovery claims.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The `webhook-id` header.
    pub message_id: &'a str,
    /// The failed delivery to send again: the event's first failure that the recovery found.
    pub place: DeliveryId,
    /// The last failed attempt that followed `place`.
    pub failed: DeliveryId,
    /// The new delivery.
    pub sent_as: DeliveryId,
}

/// The item `RUNNING`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    recovery_id: RecoveryId,
}

/// Number of tries to start a recovery while other callers start one too.
const TRIES: u32 = 6;

impl Deliveries {
    /// Starts a recovery at `now`. If another recovery of the webhook is running, returns that recovery instead.
    ///
    /// Only one of several concurrent callers starts a recovery. Does not see a recovery that an older release started without `RUNNING`.
    ///
    /// # Errors
    /// [`StoreError::Throttled`] if other callers collided with every try.
    pub async fn start_recovery(
        &self,
        recovery: &Recovery,
        now: OffsetDateTime,
    ) -> Result<Option<Recovery>, StoreError> {
        let (tenant, webhook) = (&recovery.tenant_id, recovery.webhook_id);
        let expires_at = recovery.expires_at().unix_timestamp().to_string();
        for round in 0..TRIES {
            pause(round).await;
            let key = keys::running_key(tenant, webhook);
            let read = self.client.get_item().table_name(&self.table).set_key(Some(key.clone()));
            let read =
                read.consistent_read(true).send().await.map_err(|error| StoreError::from_sdk(&error))?;
            let newest = read.item.map(serde_dynamo::from_item::<_, Newest>).transpose();
            let newest = newest.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            // The previous try succeeded, although it was reported as in progress.
            if newest.as_ref().is_some_and(|newest| newest.recovery_id == recovery.id) {
                return Ok(None);
            }
            if let Some(Newest { recovery_id }) = &newest
                && let Some(running) = self.recovery(tenant, webhook, *recovery_id, now).await?
                && running.is_under_way(now)
            {
                return Ok(Some(running));
            }
            let note = Put::builder()
                .table_name(&self.table)
                .set_item(Some(key))
                .item(BY, AttributeValue::S(recovery.id.to_string()))
                .item(EXPIRES_AT, AttributeValue::N(expires_at.clone()));
            let note = match newest {
                None => note.condition_expression("attribute_not_exists(pk)"),
                Some(Newest { recovery_id }) => note
                    .condition_expression(format!("{BY} = :before"))
                    .expression_attribute_values(":before", AttributeValue::S(recovery_id.to_string())),
            };
            let row = Put::builder().table_name(&self.table).set_item(Some(write(recovery)?));
            // The SDK's token covers one round and its retries, because each round writes other items.
            let transaction = self
                .client
                .transact_write_items()
                .transact_items(put_item(note)?)
                .transact_items(put_item(row)?);
            let Err(error) = transaction.send().await else { return Ok(None) };
            match refusal(&error) {
                Refusal::Condition(_) | Refusal::Collision => {}
                Refusal::Other => return Err(StoreError::from_sdk(&error)),
            }
        }
        Err(StoreError::Throttled("too many recoveries of the webhook start at once".to_owned()))
    }

    /// Writes the progress of a recovery that was read as `read`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if another writer advanced it.
    pub async fn advance_recovery(&self, read: &Recovery, recovery: &Recovery) -> Result<(), StoreError> {
        let seen = match read.newer_than {
            None => format!("attribute_not_exists({NEWER_THAN})"),
            Some(_) => format!("{NEWER_THAN} = :seen"),
        };
        let seen_id = read.newer_than.map(|seen| AttributeValue::S(seen.to_string()));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(write(recovery)?))
            .condition_expression(format!(
                "{OLDER_THAN} = :read AND {seen} AND attribute_not_exists(finishedAt)"
            ))
            .expression_attribute_values(":read", AttributeValue::S(read.older_than.to_string()));
        let put = match seen_id {
            Some(id) => put.expression_attribute_values(":seen", id),
            None => put,
        };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Err(StoreError::Changed),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }

    /// Returns a recovery of a webhook, unless it has expired by `now`.
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
            newer_than: item.newer_than,
            older_than: item.older_than,
            stepped_at: item.stepped_at,
            found: item.found,
            requeued: item.requeued,
            skipped: item.skipped,
            finished_at: item.finished_at,
        };
        Ok(Some(recovery).filter(|recovery| recovery.expires_at() > now))
    }

    /// Returns the oldest failures that a recovery has not processed: at most `limit`, without those that have expired by `now`. Failures of
    /// the same millisecond, such as the events of one request, are on one page if they fit.
    ///
    /// Reads the index, which is eventually consistent: the latest failures may be missing.
    pub async fn failures(
        &self,
        recovery: &Recovery,
        limit: usize,
        now: OffsetDateTime,
    ) -> Result<FailurePage, StoreError> {
        let (tenant, webhook) = (&recovery.tenant_id, recovery.webhook_id);
        let filter = DeliveryFilter { status: Some(Status::Fail), event_types: Vec::new() };
        let (from, to) = recovery.range();
        if from >= to {
            return Ok(FailurePage { rows: Vec::new(), next: None });
        }
        // The query includes both ends of the range, although the lower may be processed and the upper is outside. One more entry shows
        // whether more follow.
        let entries = i32::try_from(limit + 2).unwrap_or(i32::MAX);
        let query = self.query(tenant, webhook, &filter, (from, Some(to)), true).limit(entries);
        let answer = query.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let is_new = |entry: &(DeliveryId, Item)| Some(entry.0) != recovery.newer_than && entry.0 < to;
        let entries = answer.items.unwrap_or_default().into_iter().filter_map(|entry| {
            let id = entry.get(keys::SK)?.as_s().ok()?.parse().ok()?;
            Some((id, entry)).filter(is_new)
        });
        let mut entries: Vec<_> = entries.collect();
        let more = answer.last_evaluated_key.is_some() || entries.len() > limit;
        if let Some((cut, _)) = entries.get(limit) {
            let whole = entries.iter().take_while(|(id, _)| id.time() < cut.time()).count();
            entries.truncate(if whole == 0 { limit } else { whole });
        }
        // Taken from the index, because some of the rows may no longer exist.
        let next = entries.last().map(|(id, _)| *id).filter(|_| more);
        let rows = self.whole(entries.into_iter().map(|(_, entry)| entry).collect()).await?.into_iter();
        let rows = rows.filter(|item| keys::is_kept(item, now));
        let rows = rows.map(|item| delivery_item::read(tenant, webhook, item)).collect::<Result<_, _>>()?;
        Ok(FailurePage { rows, next })
    }

    /// Claims an event for `recovery`, which sends it again. Returns whether the event was free: only one of several concurrent recoveries
    /// claims it. A failure after the start of that recovery frees the event again. The same recovery can claim the event again for the
    /// same failure, so that an interrupted step can be repeated.
    pub async fn claim_event(&self, recovery: &Recovery, claim: Claim<'_>) -> Result<bool, StoreError> {
        let Claim { message_id, place, failed, sent_as } = claim;
        let later = format!(
            "{HANDLED} < :failed AND (attribute_not_exists({HANDLED_UNTIL}) OR {HANDLED_UNTIL} <= :failed)"
        );
        let others = format!("(attribute_not_exists({BY}) OR {BY} <> :recovery)");
        let own = format!("{HANDLED} = :failed AND {BY} = :recovery");
        let same_place = format!("(attribute_not_exists({CLAIMED_FOR}) OR {CLAIMED_FOR} = :place)");
        let free = format!("attribute_not_exists(pk) OR ({later} AND {others}) OR ({own} AND {same_place})");
        let (by, id) =
            (AttributeValue::S(recovery.id.to_string()), |id: DeliveryId| AttributeValue::S(id.to_string()));
        let put = self
            .handled(&recovery.tenant_id, recovery.webhook_id, message_id, failed)
            .item(BY, by.clone())
            .item(CLAIMED_FOR, id(place))
            .item(SENT_AS, id(sent_as))
            .item(HANDLED_UNTIL, id(recovery.end()))
            .condition_expression(free)
            .expression_attribute_values(":failed", id(failed))
            .expression_attribute_values(":place", id(place))
            .expression_attribute_values(":recovery", by);
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }

    /// Returns the records of events that were sent again or delivered later, by `webhook-id` header. Each header must be given once.
    pub async fn handled_events(
        &self,
        recovery: &Recovery,
        message_ids: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, Handled>, StoreError> {
        let key = |id| keys::handled_key(&recovery.tenant_id, recovery.webhook_id, id);
        let items = batch::get(&self.client, &self.table, message_ids.map(key).collect()).await?.into_iter();
        let handled = items.map(|item| {
            let handled: Handled =
                serde_dynamo::from_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok((handled.sk.clone(), handled))
        });
        handled.collect()
    }

    /// Records that a delivery succeeded, so that no recovery sends the event again because of an earlier failure.
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
        newer_than: recovery.newer_than,
        older_than: recovery.older_than,
        stepped_at: recovery.stepped_at,
        found: recovery.found,
        requeued: recovery.requeued,
        skipped: recovery.skipped,
        finished_at: recovery.finished_at,
    };
    serde_dynamo::to_item(item).map_err(|error| StoreError::Corrupt(error.to_string()))
}
