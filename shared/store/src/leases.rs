//! Leases, which limit the concurrent tests and resends of a tenant. Each tenant that uses them has one item in the webhooks table.
//!
//! Each lease is an attribute with a unique name, its user and its expiry. To take a lease, a caller reads the item and adds an attribute
//! on the condition that `version` has not changed. Only taking a lease changes `version`. Between the read and the write, leases can
//! therefore be released but not taken, so the limits always hold. Releasing a lease removes its attribute.

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

/// Maximum number of leases of a tenant. With attempts of 15 s, the longest timeout, a tenant makes less than one call per second.
pub const TENANT_LEASES: usize = 10;
/// Maximum number of leases of one user, so that one user cannot block the others of the tenant.
pub const USER_LEASES: usize = 5;
/// Lifetime of a lease. Longer than an invocation of `api` (30 s in the template), so a lease expires only if its caller was killed.
pub const LEASE_TIME: Duration = Duration::from_secs(35);

/// Number of tries to take a lease while other callers take leases of the tenant.
const TRIES: u32 = 9;

const LEASE: &str = "lease";
const USER: &str = "user";
/// Unix time in milliseconds.
const END: &str = "end";

/// A lease. Released by [`Webhooks::release`]; otherwise it expires after [`LEASE_TIME`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    tenant_id: TenantId,
    attribute: String,
}

/// Why a lease was not granted.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The tenant has [`TENANT_LEASES`] leases.
    #[error("the tenant has no free lease")]
    TenantFull,
    /// The user has [`USER_LEASES`] leases.
    #[error("the user has no free lease")]
    UserFull,
    /// The database failed, or other callers collided with every try.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Webhooks {
    /// Takes a lease for a user of a tenant at `now`.
    ///
    /// # Errors
    /// [`LeaseError::TenantFull`] and [`LeaseError::UserFull`]; [`StoreError::Throttled`] if other callers collided with every try.
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
                // The previous try succeeded, but its response was lost.
                return Ok(Lease { tenant_id: tenant.clone(), attribute });
            }
            let held = item.iter().filter(|(name, _)| name.starts_with(LEASE));
            let (expired, held): (Vec<_>, Vec<_>) = held.partition(|(_, lease)| has_expired(lease, now));
            if held.len() >= TENANT_LEASES {
                return Err(LeaseError::TenantFull);
            }
            if held.iter().filter(|(_, lease)| text(lease, USER) == Some(user.as_str())).count()
                >= USER_LEASES
            {
                return Err(LeaseError::UserFull);
            }
            let gone: Vec<_> = (0..expired.len()).map(|index| format!("#expired{index}")).collect();
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
            for (name, (attribute, _)) in gone.iter().zip(expired) {
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
        Err(StoreError::Throttled("too many tests and resends of the tenant start at once".to_owned()).into())
    }

    /// Releases a lease. Does nothing if it has expired and was removed.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::leases_key(&lease.tenant_id)))
            .update_expression("REMOVE #lease")
            // Without the condition, the update would create the item of a tenant that was deleted.
            .condition_expression("attribute_exists(#lease)")
            .expression_attribute_names("#lease", &lease.attribute);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }
}

/// Returns whether a lease has expired. A lease that cannot be read, or that ends implausibly late, counts as expired, so that it does not
/// block the tenant.
fn has_expired(lease: &AttributeValue, now: OffsetDateTime) -> bool {
    let end = lease.as_m().ok().and_then(|lease| lease.get(END)?.as_n().ok()?.parse::<i64>().ok());
    let latest = keys::unix_millis(now + LEASE_TIME * 2);
    end.is_none_or(|end| end <= keys::unix_millis(now) || end > latest)
}

fn text<'a>(lease: &'a AttributeValue, name: &str) -> Option<&'a str> {
    lease.as_m().ok()?.get(name)?.as_s().ok().map(String::as_str)
}
