//! The settings of `api`, from the environment.

use anzol_domain::config::Env;
use anzol_domain::health::DisablePolicy;
use anzol_domain::webhook;
use anzol_http::Claims;
use anzol_pipeline::DeliverySettings;
use anzol_queue::{events_url_from_env, slow_lane_url_from_env};
use anzol_store::TableNames;

/// All settings of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables.
    pub tables: TableNames,
    /// ARN of the KMS key of secrets.
    pub secrets_key: String,
    /// URL of the events queue, for operational events.
    pub events_queue: String,
    /// URL of the slow lane's queue, for recoveries.
    pub slow_lane: String,
    /// Maximum number of webhooks per tenant.
    pub webhook_cap: u32,
    /// The disable threshold.
    pub disable_policy: DisablePolicy,
    /// Settings of resends and tests.
    pub delivery: DeliverySettings,
    /// The claims that identify the caller.
    pub claims: Claims,
    /// URL of the user pool's token endpoint. `None` with an external issuer.
    pub token_url: Option<String>,
}

impl Config {
    /// Reads all settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            tables: TableNames::from_env(env),
            secrets_key: anzol_vault::key_arn_from_env(env),
            events_queue: events_url_from_env(env),
            slow_lane: slow_lane_url_from_env(env),
            webhook_cap: webhook::cap_from_env(env),
            disable_policy: DisablePolicy::from_env(env),
            delivery: DeliverySettings::from_env(env),
            claims: Claims::from_env(env),
            token_url: token_url(env),
        }
    }
}

/// Returns the URL of the token endpoint. Local stacks serve it at `AWS_ENDPOINT_URL`, like all AWS services.
fn token_url(env: &mut Env) -> Option<String> {
    let url = env.optional::<String>("TOKEN_URL")?;
    Some(match env.optional::<String>("AWS_ENDPOINT_URL") {
        Some(endpoint) => format!("{}/oauth2/token", endpoint.trim_end_matches('/')),
        None => url,
    })
}
