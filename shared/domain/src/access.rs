//! Callers and their permissions. Tenant, user and roles come from verified token claims only.

use crate::id::{TenantId, UserId};
use crate::level::Level;
use crate::webhook::Webhook;

/// A verified caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant in the caller's claim; absent for the platform's own publishers.
    pub tenant: Option<TenantId>,
    /// The token's subject.
    pub user: UserId,
    /// The roles of the caller.
    pub roles: Roles,
}

/// The roles of a caller. A caller can have several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// May do everything within the tenant.
    pub admin: bool,
    /// May publish events for the tenant in the claim.
    pub publisher: bool,
    /// May publish events for any tenant.
    pub platform: bool,
}

/// Returns the number of webhooks of a tenant's cap that are reserved for admins: a tenth, at most 10.
#[must_use]
pub fn admin_reserve(cap: u32) -> u32 {
    (cap / 10).min(10)
}

impl Caller {
    /// Returns whether the caller may see a webhook: admins see those of their tenant, users see those of level `user` that they own.
    ///
    /// Users do not see those of level `tenant`, even as the owner, because their history has every event of the tenant.
    #[must_use]
    pub fn sees(&self, webhook: &Webhook) -> bool {
        self.tenant.as_ref() == Some(&webhook.tenant_id)
            && (self.roles.admin || (webhook.spec.owner_id == self.user && webhook.spec.level == Level::User))
    }

    /// Returns whether the caller may give a webhook this level: `tenant` matches every event of the tenant, so it requires an admin.
    #[must_use]
    pub fn may_set_level(&self, level: Level) -> bool {
        self.roles.admin || level == Level::User
    }

    /// Returns whether the caller may make `owner` the owner of a webhook: users may only name themselves.
    #[must_use]
    pub fn may_set_owner(&self, owner: &UserId) -> bool {
        self.roles.admin || *owner == self.user
    }

    /// Returns the cap that applies to the caller: for users, the tenant's `cap` without the webhooks reserved for admins.
    #[must_use]
    pub fn cap(&self, cap: u32) -> u32 {
        if self.roles.admin { cap } else { cap - admin_reserve(cap) }
    }

    /// Returns whether the caller may publish events at all.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.roles.admin || self.roles.publisher || self.roles.platform
    }

    /// Returns whether the caller may publish events for `tenant`.
    #[must_use]
    pub fn may_publish_for(&self, tenant: &TenantId) -> bool {
        self.roles.platform
            || ((self.roles.publisher || self.roles.admin) && self.tenant.as_ref() == Some(tenant))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn l3_users_leave_a_tenth_for_admins(cap in 1..=100_000_u32) {
            let user = |admin| Caller {
                tenant: None,
                user: UserId::parse("u").unwrap(),
                roles: Roles { admin, ..Roles::default() },
            };
            prop_assert_eq!(user(true).cap(cap), cap);
            let left = cap - user(false).cap(cap);
            prop_assert!(left <= 10 && left <= cap / 10 && (cap < 10 || left >= 1));
        }
    }
}
