//! The webhooks table: creates webhooks up to the cap, and reads, replaces and deletes them. Every write increments the tenant's revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};

use anzol_domain::{TenantId, Webhook, WebhookId};
use anzol_lazy::Lazy;

use crate::backoff::pause;
use crate::error::StoreError;
use crate::keys::Key;
use crate::webhook_item::{FAILING_SINCE, FAILURES, FAST_SUCCESSES, LANE, SEALED, VERSION, WARNED, WEBHOOK};
use crate::{batch, keys, webhook_item};

/// Number of tries of a transaction that collides with other writers of the tenant. The waits between them add up to at most 2.9 s.
const TRIES: u32 = 9;

/// The webhooks table.
#[derive(Debug, Clone)]
pub struct Webhooks {
    pub(crate) client: Lazy<Client>,
    pub(crate) table: String,
}

impl Webhooks {
    /// Returns the table with this name.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), table: table.into() }
    }

    /// Opens the connection with a read that finds nothing, so that the first request is faster.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        let key = HashMap::from([
            (keys::PK.to_owned(), AttributeValue::S("WARM_UP".to_owned())),
            (keys::SK.to_owned(), AttributeValue::S("WARM_UP".to_owned())),
        ]);
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key));
        request.send().await.map(drop).map_err(|error| StoreError::from_sdk(&error))
    }

    /// Creates a webhook, unless the tenant already has `cap` webhooks.
    ///
    /// One transaction writes the webhook and counts it, so the cap holds for concurrent calls.
    ///
    /// # Errors
    /// [`StoreError::CapReached`]; [`StoreError::Throttled`] if other writers of the tenant collided with every try.
    pub async fn create(&self, webhook: &Webhook, cap: u32) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(webhook_item::write(webhook)?))
            .condition_expression("attribute_not_exists(pk)");
        let count = self
            .quota(&webhook.tenant_id, "ADD webhookCount :one, revision :one")
            .condition_expression("attribute_not_exists(webhookCount) OR webhookCount < :cap")
            .expression_attribute_values(":cap", AttributeValue::N(cap.to_string()));
        self.transact(put_item(put)?, count, [StoreError::Changed, StoreError::CapReached(cap)]).await
    }

    /// Replaces `read`, a webhook as it was read, with `webhook`. Keeps the stored health, which senders update, or resets it if the health
    /// of the two differs.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if another writer changed or deleted the webhook after it was read.
    pub async fn replace(&self, read: &Webhook, webhook: &Webhook) -> Result<(), StoreError> {
        let number = |version: u64| AttributeValue::N(version.to_string());
        let mut set = vec![(WEBHOOK, webhook_item::document(webhook)?), (VERSION, number(webhook.version))];
        let mut gone = Vec::new();
        match webhook_item::sealed(webhook)? {
            Some(sealed) => set.push((SEALED, sealed)),
            None => gone.push(SEALED),
        }
        if webhook.health != read.health {
            gone.extend([LANE, FAST_SUCCESSES, FAILURES, FAILING_SINCE, WARNED]);
        }
        let names: Vec<_> = set.iter().map(|(name, _)| format!("{name} = :{name}")).collect();
        let mut update = format!("SET {}", names.join(", "));
        if !gone.is_empty() {
            update = format!("{update} REMOVE {}", gone.join(", "));
        }
        let mut values: HashMap<_, _> =
            set.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        values.insert(":read".to_owned(), number(read.version));
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::webhook_key(&webhook.tenant_id, webhook.id)))
            .update_expression(update)
            .condition_expression(format!("{VERSION} = :read"))
            .set_expression_attribute_values(Some(values));
        let count = self.quota(&webhook.tenant_id, "ADD revision :one");
        self.transact(update_item(update)?, count, [StoreError::Changed, StoreError::Changed]).await
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the webhook does not exist.
    pub async fn delete(&self, tenant: &TenantId, id: WebhookId) -> Result<(), StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::webhook_key(tenant, id)))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let count = self
            .quota(tenant, "ADD webhookCount :minus, revision :one")
            .expression_attribute_values(":minus", AttributeValue::N("-1".to_owned()));
        let delete = TransactWriteItem::builder().delete(delete).build();
        self.transact(delete, count, [StoreError::Changed, StoreError::Changed]).await?;
        self.forget_pace(tenant, id).await;
        Ok(())
    }

    /// Returns a webhook of a tenant.
    pub async fn get(&self, tenant: &TenantId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let request =
            self.client.get_item().table_name(&self.table).set_key(Some(keys::webhook_key(tenant, id)));
        let answer =
            request.consistent_read(true).send().await.map_err(|error| StoreError::from_sdk(&error))?;
        answer.item.map(webhook_item::read).transpose()
    }

    /// Returns the existing webhooks among these ids.
    ///
    /// A stored webhook that cannot be read is an error of that webhook only, because the webhooks belong to different tenants.
    pub async fn get_many(
        &self,
        ids: &BTreeSet<(TenantId, WebhookId)>,
    ) -> Result<BTreeMap<(TenantId, WebhookId), Result<Webhook, StoreError>>, StoreError> {
        let wanted: Vec<_> = ids.iter().map(|id| (keys::webhook_key(&id.0, id.1), id)).collect();
        let keys = wanted.iter().map(|(key, _)| key.clone()).collect();
        let mut found = BTreeMap::new();
        for item in batch::get(&self.client, &self.table, keys).await? {
            let is_it = |(key, _): &&(Key, _)| key.iter().all(|(name, value)| item.get(name) == Some(value));
            if let Some((_, id)) = wanted.iter().find(is_it) {
                found.insert((*id).clone(), webhook_item::read(item));
            }
        }
        Ok(found)
    }

    /// Returns the tenant's revision, which every write of its webhooks increments. 0 if the tenant never had a webhook.
    pub async fn revision(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::quota_key(tenant)))
            .projection_expression("revision")
            .consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let Some(value) = answer.item.and_then(|mut item| item.remove("revision")) else { return Ok(0) };
        let number = value.as_n().ok().and_then(|number| number.parse().ok());
        number.ok_or_else(|| StoreError::Corrupt("a quota item without a revision".to_owned()))
    }

    /// Returns all webhooks of a tenant, oldest first.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<Webhook>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", AttributeValue::S(keys::tenant_pk(tenant)))
            .expression_attribute_values(":prefix", AttributeValue::S(keys::WEBHOOK_PREFIX.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut webhooks = Vec::new();
        while let Some(item) = pages.next().await {
            webhooks.push(webhook_item::read(item.map_err(|error| StoreError::from_sdk(&error))?)?);
        }
        Ok(webhooks)
    }

    pub(crate) fn quota(&self, tenant: &TenantId, update: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::quota_key(tenant)))
            .update_expression(update)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
    }

    /// Writes a webhook and its tenant's quota item in one transaction. `failed` contains the errors for a failed condition of the webhook
    /// and of the quota item.
    pub(crate) async fn transact(
        &self,
        webhook: TransactWriteItem,
        quota: UpdateBuilder,
        failed: [StoreError; 2],
    ) -> Result<(), StoreError> {
        let quota = quota.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let quota = TransactWriteItem::builder().update(quota).build();
        let [webhook_failed, quota_failed] = failed;
        // All rounds use the same token: a round that succeeded without a response is neither repeated nor mistaken for another writer's.
        let token = format!("{:032x}", fastrand::u128(..));
        for round in 0..TRIES {
            pause(round).await;
            let request = self
                .client
                .transact_write_items()
                .client_request_token(&token)
                .transact_items(webhook.clone())
                .transact_items(quota.clone());
            let Err(error) = request.send().await else { return Ok(()) };
            match refusal(&error) {
                Refusal::Condition(0) => return Err(webhook_failed),
                Refusal::Condition(_) => return Err(quota_failed),
                Refusal::Collision => {}
                Refusal::Other => return Err(StoreError::from_sdk(&error)),
            }
        }
        Err(StoreError::Throttled("too many concurrent changes of the tenant's webhooks".to_owned()))
    }
}

pub(crate) fn put_item(
    put: aws_sdk_dynamodb::types::builders::PutBuilder,
) -> Result<TransactWriteItem, StoreError> {
    let put = put.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

pub(crate) fn update_item(update: UpdateBuilder) -> Result<TransactWriteItem, StoreError> {
    let update = update.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// Why a transaction was rejected.
pub(crate) enum Refusal {
    /// The condition of the item at this position failed.
    Condition(usize),
    /// The transaction collided with another one, which the SDK does not retry.
    Collision,
    /// Any other reason.
    Other,
}

pub(crate) fn refusal<R>(error: &SdkError<TransactWriteItemsError, R>) -> Refusal {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            let codes: Vec<_> = canceled.cancellation_reasons().iter().map(|reason| reason.code()).collect();
            if let Some(place) = codes.iter().position(|code| *code == Some("ConditionalCheckFailed")) {
                return Refusal::Condition(place);
            }
            let transient =
                [Some("TransactionConflict"), Some("ThrottlingError"), Some("ProvisionedThroughputExceeded")];
            if codes.iter().any(|code| transient.contains(code)) {
                Refusal::Collision
            } else {
                Refusal::Other
            }
        }
        Some(other) if other.code() == Some("TransactionInProgressException") => Refusal::Collision,
        _ => Refusal::Other,
    }
}
