//! The deployed stack as `cargo xtask up` describes it in `stack.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The variable that names a `stack.json` other than the workspace's.
pub const STACK_VARIABLE: &str = "ANZOL_STACK";

/// The addresses, names and credentials that a client of the stack needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// Base URL of the HTTP API.
    pub api_url: String,
    /// The console's page.
    pub console_url: String,
    /// The stack's name in `CloudFormation`; part of the names of log groups and metrics.
    pub stack_name: String,
    /// Endpoint of AWS or of the local cloud.
    pub aws_endpoint_url: String,
    /// AWS region.
    pub region: String,
    /// Tokens by caller, such as `acme.admin`.
    pub tokens: BTreeMap<String, String>,
    /// Confidential clients by name, such as `platform.publisher`.
    pub clients: BTreeMap<String, Client>,
    /// Tenant ids by name.
    pub tenants: BTreeMap<String, String>,
    /// Queue URLs.
    pub queues: Queues,
    /// Table names.
    pub tables: Tables,
    /// Function names by role.
    pub functions: BTreeMap<String, String>,
    /// The TLS receiver.
    pub receiver: ReceiverAddress,
}

/// A client that exchanges its credentials for a token.
#[derive(Debug, Clone, Deserialize)]
pub struct Client {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: String,
}

/// Queue URLs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queues {
    /// Producers send events here.
    pub events: String,
    /// The fast lane.
    pub deliveries: String,
    /// The slow lane.
    pub slow_lane: String,
    /// Dead-letter queue of the fast lane.
    pub deliveries_dlq: String,
    /// Dead-letter queue of the slow lane.
    pub slow_lane_dlq: String,
    /// Dead-letter queue of the events queue.
    pub events_dlq: String,
}

/// Table names.
#[derive(Debug, Clone, Deserialize)]
pub struct Tables {
    /// Webhooks and quotas.
    pub webhooks: String,
    /// The history.
    pub deliveries: String,
}

/// The receiver's addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverAddress {
    /// Base URL for webhooks.
    pub url: String,
    /// `127.0.0.1:PORT`, to which the host of that URL resolves.
    pub address: String,
    /// PEM file of the receiver's CA.
    pub ca_file: PathBuf,
    /// Base URL of the receiver's control API.
    pub control_url: String,
}

impl Stack {
    /// Reads the file named by `ANZOL_STACK`, or else `target/local/stack.json` of this workspace.
    pub fn load() -> Result<Self> {
        let workspace =
            || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned();
        let path = std::env::var_os(STACK_VARIABLE)
            .map_or_else(|| workspace().join("target/local/stack.json"), PathBuf::from);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "no stack at {}: start one with `cargo xtask up --detach`, or name another in {STACK_VARIABLE}",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a stack.json", path.display()))
    }

    /// Returns the token of a caller, such as `acme.admin`.
    pub fn token(&self, who: &str) -> Result<&str> {
        find(&self.tokens, who, "tokens").map(String::as_str)
    }

    /// Returns the client called `who`, such as `platform.publisher`.
    pub fn client(&self, who: &str) -> Result<&Client> {
        find(&self.clients, who, "clients")
    }

    /// Returns the id of the tenant called `name`.
    pub fn tenant(&self, name: &str) -> Result<&str> {
        find(&self.tenants, name, "tenants").map(String::as_str)
    }
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, key: &str, what: &str) -> Result<&'a T> {
    map.get(key).with_context(|| format!("stack.json has no {key:?} among its {what}"))
}
