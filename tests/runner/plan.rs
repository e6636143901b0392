//! The runner's plan: `infra/local/resources.py` generates it from the template, and xtask adds paths and ports.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// Content of the plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// The endpoint that has the tables and queues.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    /// Port of the gateway.
    pub(crate) port: u16,
    /// Directory of the private keys that sign tokens.
    pub(crate) keys: PathBuf,
    /// Directory of the log files, one for each function.
    pub(crate) logs: PathBuf,
    /// Functions by name.
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) routes: Vec<Route>,
    pub(crate) authorizer: Authorizer,
    /// Lifetime of tokens, in hours.
    pub(crate) token_hours: i64,
    /// Scopes of the confidential client.
    pub(crate) scopes: Vec<String>,
    pub(crate) users: BTreeMap<String, User>,
    /// Ids of the user pool's clients: the public one and the confidential one.
    pub(crate) clients: [String; 2],
}

/// A function.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function {
    /// The function's name at the endpoint.
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    pub(crate) log_group: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) queues: Vec<Mapping>,
}

/// An event source mapping of a function.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Mapping {
    #[serde(rename = "Queue")]
    pub(crate) arn: String,
    #[serde(rename = "url")]
    pub(crate) url: String,
    pub(crate) batch_size: u32,
    pub(crate) scaling_config: Scaling,
}

/// Limit of concurrent batches.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Scaling {
    pub(crate) maximum_concurrency: usize,
}

/// A route of the gateway, such as `ANY /api/v1/webhooks/{proxy+}`, or `$default`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) function: String,
    /// Whether a token is required.
    pub(crate) jwt: bool,
}

/// Issuer and audiences of accepted tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Authorizer {
    pub(crate) issuer: String,
    pub(crate) audience: Vec<String>,
}

/// A user with a token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    pub(crate) tenant: String,
    pub(crate) groups: Vec<String>,
}
