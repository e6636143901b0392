//! The layout of both tables: keys, contents, writers and readers.
//!
//! **webhooks**
//!
//! | pk | sk | content | written by | read by |
//! |---|---|---|---|---|
//! | `TENANT#<tenant>` | `QUOTA` | `webhookCount`, `revision` | every write of a webhook of the tenant | dispatch, in each call |
//! | `TENANT#<tenant>` | `WEBHOOK#<id>` | the webhook, see `webhook_item` | api, sender | api, dispatch (if `revision` changed), sender |
//! | `TENANT#<tenant>` | `PACE#<id>` | how fast the receiver responds to bursts: `quickUntil`, `probedUntil` | sender, for webhooks that get bursts | sender |
//! | `TENANT#<tenant>` | `LEASES` | the running tests and resends: `version`, and one attribute for each lease | api, for each of them | api |
//! | `DEPLOYMENT` | `CURSOR_KEY` | `key`, which signs page cursors | api, once | api, in each cold start |
//!
//! **deliveries**, with the TTL attribute `expiresAt`
//!
//! | pk | sk | content | index `failures` |
//! |---|---|---|---|
//! | `<tenant>#<webhook id>` | `<delivery id>` | one attempt; ids are `UUIDv7`, so they sort by time | failed rows only: `failedOf` = pk, `sk`, `eventType`, to keep entries small |
//! | `<tenant>#<webhook id>#RECOVERIES` | `<recovery id>` | a recovery and its progress | no |
//! | `<tenant>#<webhook id>#RECOVERIES` | `RUNNING` | the newest recovery, `recoveryId`; no other starts while it runs | no |
//! | `<tenant>#<webhook id>#HANDLED` | `<webhook-id header>` | an event that was sent again or delivered later: `handledDelivery` is the last delivery that this settles, `recoveryId` the recovery; see `recoveries` for other attributes | no |
//! | `<tenant>#EVENTS` | `<event type>` | the last received event of the type: `at`, in milliseconds | no |
//! | `<tenant>#<webhook id>#MISSED` | `level` or `filter` | the last event that the rule rejected: `at`, `eventType`, and the rule's value, `rule` | no |
//!
//! Items that are not history have separate partitions, so that queries of the history do not read them; no webhook has the id `EVENTS`.
//! The last two kinds of item are the match log: each execution environment of a dispatching function writes a record at most once an hour,
//! replacing the previous one. Records expire after 8 days.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use anzol_domain::{DeliveryId, RecoveryId, TenantId, WebhookId};

/// The key attributes of both tables.
pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
/// Sort key of a tenant's quota item.
pub(crate) const QUOTA: &str = "QUOTA";
/// Prefix of the sort keys of webhooks.
pub(crate) const WEBHOOK_PREFIX: &str = "WEBHOOK#";
/// The index of failed deliveries.
pub(crate) const FAILURES: &str = "failures";
/// The partition key of the index of failed deliveries.
pub(crate) const FAILED_OF: &str = "failedOf";

/// The deliveries table's TTL attribute.
pub(crate) const EXPIRES_AT: &str = "expiresAt";

/// Attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;
/// The key attributes of an item.
pub(crate) type Key = Item;

/// Returns whether an item has not expired at `now`. The database can take days to remove expired items. Items without an expiry, such as
/// entries of the index, never expire.
pub(crate) fn is_kept(item: &Item, now: OffsetDateTime) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    expires_at.is_none_or(|expires_at| expires_at > now.unix_timestamp())
}

/// Returns a time in Unix milliseconds, the form in which items store times.
pub(crate) fn unix_millis(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000 + i64::from(at.millisecond())
}

/// Returns some attributes of an item.
pub(crate) fn pick(item: &Item, names: &[&str]) -> Item {
    let pick = |name: &&str| Some(((*name).to_owned(), item.get(*name)?.clone()));
    names.iter().filter_map(pick).collect()
}

fn key(pk: String, sk: String) -> Key {
    HashMap::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
}

pub(crate) fn tenant_pk(tenant: &TenantId) -> String {
    format!("TENANT#{tenant}")
}

pub(crate) fn quota_key(tenant: &TenantId) -> Key {
    key(tenant_pk(tenant), QUOTA.to_owned())
}

/// Returns the key of the cursor key's item. It contains no tenant, so it cannot collide with a tenant's key.
pub(crate) fn cursor_key() -> Key {
    key("DEPLOYMENT".to_owned(), "CURSOR_KEY".to_owned())
}

pub(crate) fn webhook_sk(id: WebhookId) -> String {
    format!("{WEBHOOK_PREFIX}{id}")
}

pub(crate) fn webhook_key(tenant: &TenantId, id: WebhookId) -> Key {
    key(tenant_pk(tenant), webhook_sk(id))
}

pub(crate) fn pace_key(tenant: &TenantId, id: WebhookId) -> Key {
    key(tenant_pk(tenant), format!("PACE#{id}"))
}

/// Returns the key of a tenant's leases. They are not in the quota item, because their writes would collide with its transactions.
pub(crate) fn leases_key(tenant: &TenantId) -> Key {
    key(tenant_pk(tenant), "LEASES".to_owned())
}

pub(crate) fn history_pk(tenant: &TenantId, webhook: WebhookId) -> String {
    format!("{tenant}#{webhook}")
}

pub(crate) fn delivery_key(tenant: &TenantId, webhook: WebhookId, id: DeliveryId) -> Key {
    key(history_pk(tenant, webhook), id.to_string())
}

pub(crate) fn recoveries_pk(tenant: &TenantId, webhook: WebhookId) -> String {
    format!("{}#RECOVERIES", history_pk(tenant, webhook))
}

pub(crate) fn recovery_key(tenant: &TenantId, webhook: WebhookId, id: RecoveryId) -> Key {
    key(recoveries_pk(tenant, webhook), id.to_string())
}

/// Returns the key of the item `RUNNING`, which is not the id of any recovery.
pub(crate) fn running_key(tenant: &TenantId, webhook: WebhookId) -> Key {
    key(recoveries_pk(tenant, webhook), "RUNNING".to_owned())
}

pub(crate) fn handled_key(tenant: &TenantId, webhook: WebhookId, message_id: &str) -> Key {
    key(format!("{}#HANDLED", history_pk(tenant, webhook)), message_id.to_owned())
}

pub(crate) fn events_pk(tenant: &TenantId) -> String {
    format!("{tenant}#EVENTS")
}

pub(crate) fn mismatches_pk(tenant: &TenantId, webhook: WebhookId) -> String {
    format!("{}#MISSED", history_pk(tenant, webhook))
}
