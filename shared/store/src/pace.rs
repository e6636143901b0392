//! Stores how fast receivers respond to bursts, in a small item for each webhook that gets bursts.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use anzol_domain::health::{Pace, latest_probe};
use anzol_domain::{TenantId, WebhookId};

use crate::error::StoreError;
use crate::keys;
use crate::webhooks::Webhooks;

/// Attributes in Unix milliseconds.
const FAST_UNTIL: &str = "quickUntil";
const PROBED_UNTIL: &str = "probedUntil";

impl Webhooks {
    /// Returns how fast a receiver responds to bursts.
    pub async fn pace(&self, tenant: &TenantId, id: WebhookId) -> Result<Pace, StoreError> {
        let key = keys::pace_key(tenant, id);
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let item = answer.item.unwrap_or_default();
        let moment = |name: &str| {
            let milliseconds: i128 = item.get(name)?.as_n().ok()?.parse().ok()?;
            OffsetDateTime::from_unix_timestamp_nanos(milliseconds.checked_mul(1_000_000)?).ok()
        };
        Ok(Pace { fast_until: moment(FAST_UNTIL), probed_until: moment(PROBED_UNTIL) })
    }

    /// Acquires the probe of a receiver from `now` until `until`. Returns whether the probe was free: only one of several concurrent
    /// callers acquires it. A probe that ends after [`latest_probe`] counts as free.
    pub async fn acquire_probe(
        &self,
        tenant: &TenantId,
        id: WebhookId,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::pace_key(tenant, id)))
            .update_expression(format!("SET {PROBED_UNTIL} = :until"))
            .condition_expression(format!(
                "attribute_not_exists({PROBED_UNTIL}) OR {PROBED_UNTIL} <= :now OR {PROBED_UNTIL} > :latest"
            ))
            .expression_attribute_values(":until", milliseconds(until))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":latest", milliseconds(latest_probe(now)));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }

    /// Records that a receiver counts as fast until `until`, and releases its probe.
    pub async fn set_fast(
        &self,
        tenant: &TenantId,
        id: WebhookId,
        until: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::pace_key(tenant, id)))
            .update_expression(format!("SET {FAST_UNTIL} = :until REMOVE {PROBED_UNTIL}"))
            .expression_attribute_values(":until", milliseconds(until));
        request.send().await.map(drop).map_err(|error| StoreError::from_sdk(&error))
    }

    /// Deletes the item of a deleted webhook. A failure is only logged, because nothing reads the item.
    pub(crate) async fn forget_pace(&self, tenant: &TenantId, id: WebhookId) {
        let key = keys::pace_key(tenant, id);
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        if let Err(error) = request.send().await {
            let error = StoreError::from_sdk(&error);
            tracing::warn!(%error, webhook.id = %id, "failed to delete the burst state of a deleted webhook");
        }
    }
}

fn milliseconds(at: OffsetDateTime) -> AttributeValue {
    AttributeValue::N(keys::unix_millis(at).to_string())
}
