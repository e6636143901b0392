//! What the runner is told: `infra/local/resources.py` works it out of the template, and xtask adds where things are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// The endpoint that has the tables and queues.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    /// Where the gateway listens.
    pub(crate) port: u16,
    /// Of the private keys that tokens are signed with.
    pub(crate) keys: PathBuf,
    /// Where the functions' logs go, a file each.
    pub(crate) logs: PathBuf,
    /// By name.
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) routes: Vec<Route>,
    pub(crate) authorizer: Authorizer,
    /// How long a token is good for.
    pub(crate) token_hours: i64,
    /// What the confidential client may have.
    pub(crate) scopes: Vec<String>,
    pub(crate) users: BTreeMap<String, User>,
    /// The id of the user pool's client for people, and of the confidential one.
    pub(crate) clients: [String; 2],
}

/// A function.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function {
    /// What it is called on the endpoint.
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    pub(crate) log_group: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) queues: Vec<Mapping>,
}

/// A queue that a function takes from.
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

/// How many batches may be in work at once.
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
    /// Whether a token is asked for.
    pub(crate) jwt: bool,
}

/// Whose tokens are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Authorizer {
    pub(crate) issuer: String,
    pub(crate) audience: Vec<String>,
}

/// A user who gets a token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    pub(crate) tenant: String,
    pub(crate) groups: Vec<String>,
}
