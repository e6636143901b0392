//! Writes the health of webhooks: failed attempts, successes after failures, and changes of the lane.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Update};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use anzol_domain::{Lane, TenantId, Webhook, WebhookId};

use crate::backoff::pause;
use crate::error::StoreError;
use crate::webhook_item::{FAILING_SINCE, FAILURES, FAST_SUCCESSES, LANE, WARNED};
use crate::webhooks::{Webhooks, update_item};
use crate::{keys, webhook_item};

/// Maximum number of repetitions of an update that collides with a transaction on the same webhook.
const MAX_REPEATS: u32 = 6;

impl Webhooks {
    /// Adds failed attempts, the first of which failed at `at`. Returns the webhook after the update, or `None` if it does not exist.
    pub async fn add_failures(
        &self,
        tenant: &TenantId,
        id: WebhookId,
        count: u32,
        at: OffsetDateTime,
    ) -> Result<Option<Webhook>, StoreError> {
        let at = at.format(&Rfc3339).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let update = format!(
            "ADD {FAILURES} :count SET {FAILING_SINCE} = if_not_exists({FAILING_SINCE}, :at) REMOVE {FAST_SUCCESSES}"
        );
        let request = self
            .update(tenant, id, update)
            .expression_attribute_values(":count", AttributeValue::N(count.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(at));
        self.updated(request).await
    }

    /// Resets the failed attempts after a success. Returns the webhook before the update, or `None` if it does not exist. Only one of
    /// several concurrent callers sees the failures.
    pub async fn clear_failures(
        &self,
        tenant: &TenantId,
        id: WebhookId,
    ) -> Result<Option<Webhook>, StoreError> {
        let update = format!("REMOVE {FAILURES}, {FAILING_SINCE}, {WARNED}");
        self.updated(self.update(tenant, id, update).return_values(ReturnValue::AllOld)).await
    }

    /// Records that `anzol.webhook.failing` is published. Returns whether the caller must publish it: `true` for only one of several
    /// concurrent callers.
    pub async fn set_warned(&self, tenant: &TenantId, id: WebhookId) -> Result<bool, StoreError> {
        let request = self
            .update(tenant, id, format!("SET {WARNED} = :true"))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .condition_expression(format!("attribute_exists({FAILURES}) AND attribute_not_exists({WARNED})"));
        self.updated(request).await.map(|webhook| webhook.is_some())
    }

    /// Adds fast successes of a webhook in the slow lane. Returns the webhook after the update, or `None` if it does not exist.
    pub async fn add_fast_successes(
        &self,
        tenant: &TenantId,
        id: WebhookId,
        count: u32,
    ) -> Result<Option<Webhook>, StoreError> {
        let request = self
            .update(tenant, id, format!("ADD {FAST_SUCCESSES} :count"))
            .expression_attribute_values(":count", AttributeValue::N(count.to_string()));
        self.updated(request).await
    }

    /// Resets the count of fast successes. Returns the webhook after the update, or `None` if it does not exist.
    pub async fn clear_fast_successes(
        &self,
        tenant: &TenantId,
        id: WebhookId,
    ) -> Result<Option<Webhook>, StoreError> {
        self.updated(self.update(tenant, id, format!("REMOVE {FAST_SUCCESSES}"))).await
    }

    /// Moves a webhook to another lane and increments the tenant's revision, so that the next event is dispatched there. Returns whether
    /// this call moved the webhook: only one of several concurrent calls does.
    pub async fn set_lane(&self, tenant: &TenantId, id: WebhookId, lane: Lane) -> Result<bool, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::webhook_key(tenant, id)))
            .expression_attribute_values(":slow", AttributeValue::S("slow".to_owned()));
        let update = match lane {
            Lane::Slow => update
                .update_expression(format!("SET {LANE} = :slow REMOVE {FAST_SUCCESSES}"))
                .condition_expression(format!(
                    "attribute_exists(pk) AND (attribute_not_exists({LANE}) OR {LANE} <> :slow)"
                )),
            Lane::Fast => update
                .update_expression(format!("REMOVE {LANE}, {FAST_SUCCESSES}"))
                .condition_expression(format!("{LANE} = :slow")),
        };
        let count = self.quota(tenant, "ADD revision :one");
        match self.transact(update_item(update)?, count, [StoreError::Changed, StoreError::Changed]).await {
            Ok(()) => Ok(true),
            Err(StoreError::Changed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn update(&self, tenant: &TenantId, id: WebhookId, update: String) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::webhook_key(tenant, id)))
            .update_expression(update)
            .condition_expression("attribute_exists(pk)")
            .return_values(ReturnValue::AllNew)
    }

    async fn updated(&self, request: UpdateItemFluentBuilder) -> Result<Option<Webhook>, StoreError> {
        let mut round = 0;
        loop {
            pause(round).await;
            match request.clone().send().await {
                Ok(answer) => return answer.attributes.map(webhook_item::read).transpose(),
                Err(error) if error.code() == Some("ConditionalCheckFailedException") => return Ok(None),
                Err(error) if is_collision(&error) && round < MAX_REPEATS => round += 1,
                Err(error) => return Err(StoreError::from_sdk(&error)),
            }
        }
    }
}

fn is_collision<E: aws_sdk_dynamodb::error::ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("TransactionConflictException")
}
