//! Recoveries in the deliveries table: how far each has come, what failed in its time, and which events were sent again already.
//!
//! One runs at a time for each webhook. The item `RUNNING` names the newest; whether that runs, its own row says, so its end takes no further
//! write, and frees the webhook whatever release makes it.
//!
//! Of an event that was sent again, `handledDelivery` is the last failed delivery that was made good by it, and `recoveryId` by which recovery;
//! what else is there, releases before had not: `takenFor`, the delivery in whose place it was sent; `sentAs`, the delivery it was sent
//! as; and `handledUntil`, from when on a failure is a new one.

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

/// Names of attributes, as expressions mention them.
const OLDER_THAN: &str = "olderThan";
const HANDLED: &str = "handledDelivery";
const BY: &str = "recoveryId";
const TAKEN_FOR: &str = "takenFor";
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

/// Some of a webhook's failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePage {
    /// The rows, oldest first.
    pub rows: Vec<Delivery>,
    /// Where to go on: above this id. Nothing when there are no more.
    pub next: Option<DeliveryId>,
}

/// What is known of an event that was sent again, or arrived after all.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    sk: String,
    /// The last delivery that was made good, or by which it arrived.
    pub handled_delivery: DeliveryId,
    /// The recovery that sent it again; nothing when it arrived by a resend.
    #[serde(default)]
    pub recovery_id: Option<RecoveryId>,
    /// The failed delivery in whose place that was.
    #[serde(default)]
    pub taken_for: Option<DeliveryId>,
    /// The delivery it was sent as.
    #[serde(default)]
    pub sent_as: Option<DeliveryId>,
}

/// An event to be taken by a recovery.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// Its `webhook-id` header.
    pub message_id: &'a str,
    /// The failed delivery in whose place it is to be sent again: the first of the event's that the recovery came to.
    pub place: DeliveryId,
    /// The last attempt that followed from that, and failed.
    pub failed: DeliveryId,
    /// The delivery it will be sent as.
    pub sent_as: DeliveryId,
}

/// The item `RUNNING`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    recovery_id: RecoveryId,
}

/// Tries to begin a recovery while others begin.
const TRIES: u32 = 6;

impl Deliveries {
    /// Writes a recovery that begins at `now`, unless one of the same webhook is under way: then answers that one.
    ///
    /// However many begin at once, one does. A recovery that began in a release of before, which noted none, is not seen.
    ///
    /// # Errors
    /// [`StoreError::Throttled`] when others kept getting in the way.
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
            // A round that was done after all, though its answer was that it was still in progress.
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
            // With a token of the SDK's own, for one round and its repetitions: rounds say different things.
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
        Err(StoreError::Throttled("too many recoveries of the webhook begin at once".to_owned()))
    }

    /// Writes how far a recovery has come since it was read.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when somebody else took it further meanwhile.
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

    /// The oldest failures that a recovery has not looked at yet; at most `limit`, and none that has expired by `now`. What failed in the same
    /// millisecond, as the events of one request may, is on one page, unless it fills more than one.
    ///
    /// From the index, which lags behind by a moment: a failure of right now may be missing.
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
        // The range includes its ends: the lower may have been looked at before, and the upper is beyond it. One more tells what follows.
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
        // By what the index says: of the rows themselves, some may be gone.
        let next = entries.last().map(|(id, _)| *id).filter(|_| more);
        let rows = self.whole(entries.into_iter().map(|(_, entry)| entry).collect()).await?.into_iter();
        let rows = rows.filter(|item| keys::is_kept(item, now));
        let rows = rows.map(|item| delivery_item::read(tenant, webhook, item)).collect::<Result<_, _>>()?;
        Ok(FailurePage { rows, next })
    }

    /// Takes an event for `recovery` to be sent again. Answers whether it was free: of several who want it, one gets it, and only a later
    /// failure, of after that one began, makes it free again. Whoever has it gets it again for the same failure, so that what broke off
    /// in between can be done over.
    pub async fn take_event(&self, recovery: &Recovery, taking: Taking<'_>) -> Result<bool, StoreError> {
        let Taking { message_id, place, failed, sent_as } = taking;
        let later = format!(
            "{HANDLED} < :failed AND (attribute_not_exists({HANDLED_UNTIL}) OR {HANDLED_UNTIL} <= :failed)"
        );
        let others = format!("(attribute_not_exists({BY}) OR {BY} <> :recovery)");
        let own = format!("{HANDLED} = :failed AND {BY} = :recovery");
        let same_place = format!("(attribute_not_exists({TAKEN_FOR}) OR {TAKEN_FOR} = :place)");
        let free = format!("attribute_not_exists(pk) OR ({later} AND {others}) OR ({own} AND {same_place})");
        let (by, id) =
            (AttributeValue::S(recovery.id.to_string()), |id: DeliveryId| AttributeValue::S(id.to_string()));
        let put = self
            .handled(&recovery.tenant_id, recovery.webhook_id, message_id, failed)
            .item(BY, by.clone())
            .item(TAKEN_FOR, id(place))
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

    /// What is known of events that were sent again or arrived after all, by their `webhook-id` headers. Each may be named once.
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
