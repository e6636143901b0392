//! The layout of both tables, on one page.
//!
//! **webhooks**
//!
//! | pk | sk | what | written by | read by |
//! |---|---|---|---|---|
//! | `TENANT#<tenant>` | `QUOTA` | `webhookCount`, `revision` | every write to a webhook of the tenant | dispatch, on each call |
//! | `TENANT#<tenant>` | `WEBHOOK#<id>` | the webhook, as `webhook_item` has it | api | api, dispatch (when `revision` moved), sender |
//! | `TENANT#<tenant>` | `PACE#<id>` | how quickly its receiver answers bursts: `quickUntil`, `probedUntil` | sender, of webhooks that get bursts | sender |
//! | `TENANT#<tenant>` | `LEASES` | the tests and resends under way: `version`, and one attribute a lease | api, with each of them | api |
//! | `DEPLOYMENT` | `CURSOR_KEY` | `key`, which signs page cursors | api, once | api, at cold start |
//!
//! **deliveries**: `expiresAt` is the table's TTL attribute
//!
//! | pk | sk | what | index `failures` |
//! |---|---|---|---|
//! | `<tenant>#<webhook id>` | `<delivery id>` | one attempt; ids are `UUIDv7`, so the sort key is the time | failed rows only: `failedOf` = pk, `sk`, `eventType`, and no more: it is written, and kept, as often as they |
//! | `<tenant>#<webhook id>#RECOVERIES` | `<recovery id>` | a recovery, and how far it has come | never |
//! | `<tenant>#<webhook id>#RECOVERIES` | `RUNNING` | the newest recovery, `recoveryId`; while that runs, no other begins | never |
//! | `<tenant>#<webhook id>#HANDLED` | `<webhook-id header>` | an event that was sent again, or arrived after all: `handledDelivery` is the last delivery that was made good, `recoveryId` by which recovery, and what `recoveries` says of the rest | never |
//! | `<tenant>#EVENTS` | `<event type>` | that an event of the type came: `at`, in milliseconds | never |
//! | `<tenant>#<webhook id>#MISSED` | `level` or `filter` | that the webhook missed one by that rule: `at`, `eventType`, and what the `rule` was | never |
//!
//! What is not history has partitions of its own, so that no query of the history comes across it; no webhook id is `EVENTS`. The
//! last two are markers: written by dispatch at most once an hour, each over the one before, and kept for 8 days.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use anzol_domain::{DeliveryId, RecoveryId, TenantId, WebhookId};

/// Attribute names that expressions mention.
pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
/// Sort key of a tenant's quota item.
pub(crate) const QUOTA: &str = "QUOTA";
/// Start of the sort keys of a tenant's webhooks.
pub(crate) const WEBHOOK_PREFIX: &str = "WEBHOOK#";
/// The index that holds failed deliveries only.
pub(crate) const FAILURES: &str = "failures";
/// Its partition key.
pub(crate) const FAILED_OF: &str = "failedOf";

/// The deliveries table's TTL attribute.
pub(crate) const EXPIRES_AT: &str = "expiresAt";

/// Attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;
/// Those that an item is found by.
pub(crate) type Key = Item;

/// Whether an item is to be shown at `now`: the database removes what has expired up to days later. One that does not say when, as
/// those of the index, has not.
pub(crate) fn is_kept(item: &Item, now: OffsetDateTime) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    expires_at.is_none_or(|expires_at| expires_at > now.unix_timestamp())
}

/// Returns Unix milliseconds, in which items store moments.
pub(crate) fn unix_millis(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000 + i64::from(at.millisecond())
}

/// Some attributes of an item.
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

/// No tenant is in it, so no tenant's key can be the same.
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

/// Apart from the quota item, whose transactions it would get in the way of.
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

/// No recovery's id is spelled so.
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
