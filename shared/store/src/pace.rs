//! What is known of how quickly receivers answer bursts: a small item beside the webhook, of those that get bursts only.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use anzol_domain::health::{Pace, latest_probe};
use anzol_domain::{TenantId, WebhookId};

use crate::error::StoreError;
use crate::keys;
use crate::webhooks::Webhooks;

/// Unix time in milliseconds, both.
const FAST_UNTIL: &str = "quickUntil";
const PROBED_UNTIL: &str = "probedUntil";

impl Webhooks {
    /// What is known of a receiver.
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

    /// Takes it on to find out how quick a receiver is, from `now` until `until`. Answers whether nobody else is at it: of several
    /// who want the same at once, one does it. An announcement beyond [`latest_probe`] is written over.
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

    /// Notes that a receiver is quick, which is believed until `until`; whoever probed it is done.
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

    /// Forgets what is known of a receiver whose webhook is gone. It matters to nobody any more, so a failure is only logged.
    pub(crate) async fn forget_pace(&self, tenant: &TenantId, id: WebhookId) {
        let key = keys::pace_key(tenant, id);
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        if let Err(error) = request.send().await {
            let error = StoreError::from_sdk(&error);
            tracing::warn!(%error, webhook.id = %id, "what was known of a deleted webhook's receiver stays behind");
        }
    }
}

fn milliseconds(at: OffsetDateTime) -> AttributeValue {
    AttributeValue::N(keys::unix_millis(at).to_string())
}
