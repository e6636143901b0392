//! Who is calling and what they may do. Tenant, user and roles come from verified token claims only.

use crate::id::{TenantId, UserId};
use crate::webhook::{Level, Webhook};

/// A verified caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant in the caller's claim; absent for the platform's own publishers.
    pub tenant: Option<TenantId>,
    /// The token's subject.
    pub user: UserId,
    /// What the caller may do.
    pub roles: Roles,
}

/// The roles of design: they add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// May do everything within the tenant.
    pub admin: bool,
    /// May publish events for the tenant in the claim.
    pub publisher: bool,
    /// May publish events for any tenant.
    pub platform: bool,
}

impl Caller {
    /// Whether the webhook exists as far as this caller is concerned: admins see their tenant's, users their own.
    #[must_use]
    pub fn sees(&self, webhook: &Webhook) -> bool {
        self.tenant.as_ref() == Some(&webhook.tenant_id)
            && (self.roles.admin || webhook.spec.owner_id == self.user)
    }

    /// Whether the caller may give a webhook this level: `tenant` hears every event of the tenant, so it takes an admin.
    #[must_use]
    pub fn may_set_level(&self, level: Level) -> bool {
        self.roles.admin || level == Level::User
    }

    /// Whether the caller may make `owner` the owner of a webhook: users only themselves.
    #[must_use]
    pub fn may_set_owner(&self, owner: &UserId) -> bool {
        self.roles.admin || *owner == self.user
    }

    /// Whether the caller may publish events for `tenant`.
    #[must_use]
    pub fn may_publish_for(&self, tenant: &TenantId) -> bool {
        self.roles.platform
            || ((self.roles.publisher || self.roles.admin) && self.tenant.as_ref() == Some(tenant))
    }
}
