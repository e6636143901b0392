//! Leases: how many tests and resends of a tenant are under way. One item of the webhooks table for each tenant that makes any.
//!
//! Each lease is an attribute of its own, named after it, with whose it is and when it ends by itself. To take one is to read the item and
//! to add an attribute if `version` is as it was read; only taking moves `version`. So between the reading and the writing leases may have
//! ended, but none begun, and no more are ever held than are allowed. To give one back is to remove the attribute of its name, which
//! nobody else's has.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use anzol_domain::{TenantId, UserId};

use crate::backoff::pause;
use crate::error::StoreError;
use crate::keys;
use crate::webhooks::Webhooks;

/// Most leases that a tenant holds at a time. With the longest attempt, 15 s, that is less than one call a second that waits.
pub const TENANT_LEASES: usize = 10;
/// Most of them that one user holds, so that nobody shuts out the others of the tenant.
pub const USER_LEASES: usize = 5;
/// How long a lease is held at most. Longer than an invocation of `api` lasts (30 s in the template), and so than any attempt and its
/// recording: whoever still holds one then was killed.
pub const LEASE_TIME: Duration = Duration::from_secs(35);

/// Tries when others take leases of the same tenant at the same time.
const TRIES: u32 = 9;

const LEASE: &str = "lease";
const USER: &str = "user";
/// Unix time in milliseconds.
const END: &str = "end";

/// A lease that is held: to be given back by [`Webhooks::release`], or else it ends after [`LEASE_TIME`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    tenant_id: TenantId,
    attribute: String,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The tenant holds [`TENANT_LEASES`].
    #[error("the tenant holds all its leases")]
    TenantFull,
    /// The user holds [`USER_LEASES`].
    #[error("the user holds all leases a user may hold")]
    UserFull,
    /// The database failed, or others kept getting in the way.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Webhooks {
    /// Takes a lease for a user of a tenant at `now`.
    ///
    /// # Errors
    /// [`LeaseError::TenantFull`] and [`LeaseError::UserFull`]; [`StoreError::Throttled`] when others kept getting in the way.
    pub async fn lease(
        &self,
        tenant: &TenantId,
        user: &UserId,
        now: OffsetDateTime,
    ) -> Result<Lease, LeaseError> {
        let attribute = format!("{LEASE}{:032x}", fastrand::u128(..));
        let lease = AttributeValue::M(HashMap::from([
            (USER.to_owned(), AttributeValue::S(user.to_string())),
            (END.to_owned(), AttributeValue::N(keys::unix_millis(now + LEASE_TIME).to_string())),
        ]));
        let key = keys::leases_key(tenant);
        for round in 0..TRIES {
            pause(round).await;
            let read = self.client.get_item().table_name(&self.table).set_key(Some(key.clone()));
            let read =
                read.consistent_read(true).send().await.map_err(|error| StoreError::from_sdk(&error))?;
            let item = read.item.unwrap_or_default();
            if item.contains_key(&attribute) {
                // Taken the time before, by a call whose answer was lost.
                return Ok(Lease { tenant_id: tenant.clone(), attribute });
            }
            let held = item.iter().filter(|(name, _)| name.starts_with(LEASE));
            let (ended, held): (Vec<_>, Vec<_>) = held.partition(|(_, lease)| has_ended(lease, now));
            if held.len() >= TENANT_LEASES {
                return Err(LeaseError::TenantFull);
            }
            if held.iter().filter(|(_, lease)| text(lease, USER) == Some(user.as_str())).count()
                >= USER_LEASES
            {
                return Err(LeaseError::UserFull);
            }
            let gone: Vec<_> = (0..ended.len()).map(|index| format!("#ended{index}")).collect();
            let remove = if gone.is_empty() { String::new() } else { format!(" REMOVE {}", gone.join(", ")) };
            let mut update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.clone()))
                .update_expression(format!("SET #lease = :lease ADD version :one{remove}"))
                .expression_attribute_names("#lease", &attribute)
                .expression_attribute_values(":lease", lease.clone())
                .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
            for (name, (attribute, _)) in gone.iter().zip(ended) {
                update = update.expression_attribute_names(name, attribute);
            }
            update = match item.get("version") {
                Some(version) => update
                    .condition_expression("version = :read")
                    .expression_attribute_values(":read", version.clone()),
                None => update.condition_expression("attribute_not_exists(version)"),
            };
            match update.send().await {
                Ok(_) => return Ok(Lease { tenant_id: tenant.clone(), attribute }),
                Err(error) if error.code() == Some("ConditionalCheckFailedException") => {}
                Err(error) => return Err(StoreError::from_sdk(&error).into()),
            }
        }
        Err(StoreError::Throttled("too many tests and resends of the tenant begin at once".to_owned()).into())
    }

    /// Gives a lease back. One that has ended by itself, and was taken away, is nobody's any more.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::leases_key(&lease.tenant_id)))
            .update_expression("REMOVE #lease")
            // Else it would make the item anew of a tenant that was deleted meanwhile.
            .condition_expression("attribute_exists(#lease)")
            .expression_attribute_names("#lease", &lease.attribute);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }
}

/// Whether a lease is over. One that cannot be read is, so that it holds up nobody; and so is one that ends later than any taken by now.
fn has_ended(lease: &AttributeValue, now: OffsetDateTime) -> bool {
    let end = lease.as_m().ok().and_then(|lease| lease.get(END)?.as_n().ok()?.parse::<i64>().ok());
    let latest = keys::unix_millis(now + LEASE_TIME * 2);
    end.is_none_or(|end| end <= keys::unix_millis(now) || end > latest)
}

fn text<'a>(lease: &'a AttributeValue, name: &str) -> Option<&'a str> {
    lease.as_m().ok()?.get(name)?.as_s().ok().map(String::as_str)
}
