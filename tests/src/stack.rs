//! The deployed stack, as `cargo xtask up` describes it in `stack.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Names another `stack.json` than the workspace's own.
pub const STACK_VARIABLE: &str = "ANZOL_STACK";

/// Everything a client of the stack needs to know.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// Base URL of the HTTP API.
    pub api_url: String,
    /// The console's page.
    pub console_url: String,
    /// What `CloudFormation` calls the stack; log groups and metrics have it in their names.
    pub stack_name: String,
    /// Endpoint of the cloud itself.
    pub aws_endpoint_url: String,
    /// AWS region.
    pub region: String,
    /// Tokens by who they are for, such as `acme.admin`.
    pub tokens: BTreeMap<String, String>,
    /// Confidential clients by who they are, such as `platform.publisher`.
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

/// A client that exchanges its own credentials for a token.
#[derive(Debug, Clone, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// Queue URLs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queues {
    /// Producers put events here.
    pub events: String,
    /// The fast lane.
    pub deliveries: String,
    /// The slow lane.
    pub slow_lane: String,
    /// Dead letters of the fast lane.
    pub deliveries_dlq: String,
    /// Dead letters of the slow lane.
    pub slow_lane_dlq: String,
    /// Dead letters of the events queue.
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

/// Where the receiver is and what it is called from inside.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverAddress {
    /// Base URL for webhooks.
    pub url: String,
    /// `127.0.0.1:PORT` behind that URL.
    pub address: String,
    /// PEM of its CA.
    pub ca_file: PathBuf,
    /// Base URL of its control API.
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

    /// The token of `who`, such as `acme.admin`.
    pub fn token(&self, who: &str) -> Result<&str> {
        find(&self.tokens, who, "tokens").map(String::as_str)
    }

    /// The client called `who`, such as `platform.publisher`.
    pub fn client(&self, who: &str) -> Result<&Client> {
        find(&self.clients, who, "clients")
    }

    /// The id of the tenant called `name`.
    pub fn tenant(&self, name: &str) -> Result<&str> {
        find(&self.tenants, name, "tenants").map(String::as_str)
    }
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, key: &str, what: &str) -> Result<&'a T> {
    map.get(key).with_context(|| format!("stack.json has no {key:?} among its {what}"))
}
