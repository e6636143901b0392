//! The level of a webhook: whether it receives events of the whole tenant or of its owner only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the tenant's events a webhook receives: all of them, or those of its owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every event of the tenant.
    #[default]
    Tenant,
    /// Events whose `userid` or `ownerid` is the webhook's owner.
    User,
}
