//! The names of the tables.

use anzol_domain::config::Env;

/// The names of both tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// The webhooks table.
    pub webhooks: String,
    /// The deliveries table.
    pub deliveries: String,
}

impl TableNames {
    /// Returns the names of the deployment's tables, from the variables `WEBHOOKS_TABLE` and `DELIVERIES_TABLE`.
    pub fn from_env(env: &mut Env) -> Self {
        Self { webhooks: env.required("WEBHOOKS_TABLE"), deliveries: env.required("DELIVERIES_TABLE") }
    }
}
