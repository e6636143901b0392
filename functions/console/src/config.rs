//! The settings of the console, from the environment.

use serde::Serialize;

use anzol_domain::config::Env;
use anzol_domain::webhook;
use anzol_http::RoleName;

/// The settings of the deployment that the page needs. Served as `config.json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// URL of the user pool's API, which checks passwords. `None` with an external issuer.
    pub sign_in_url: Option<String>,
    /// URL of the user pool's hosted page, without a trailing slash. If present, users enter passwords only there.
    pub hosted_ui_url: Option<String>,
    /// The console's client id at the user pool.
    pub client_id: Option<String>,
    /// The issuer of tokens.
    pub issuer: String,
    /// The token claim with the tenant id.
    pub tenant_claim: String,
    /// The token claim with the roles.
    pub roles_claim: String,
    /// The role of tenant admins.
    pub admin_role: String,
    /// Maximum number of webhooks per tenant.
    pub webhook_cap: u32,
}

impl Config {
    /// Reads all settings.
    pub fn from_env(env: &mut Env) -> Self {
        let region = env.required("AWS_REGION");
        // Local stacks serve the user pool's API here, and no hosted page.
        let local = env.optional::<String>("AWS_ENDPOINT_URL");
        let hosted_ui_url = env.optional("HOSTED_UI_URL").filter(|_| local.is_none());
        let client_id = env.optional::<String>("USER_POOL_CLIENT_ID");
        let user_pools = local.unwrap_or_else(|| format!("https://cognito-idp.{region}.amazonaws.com"));
        Self {
            sign_in_url: client_id.as_ref().map(|_| format!("{}/", user_pools.trim_end_matches('/'))),
            hosted_ui_url,
            client_id,
            issuer: env.required("AUTH_ISSUER"),
            tenant_claim: env.required("TENANT_CLAIM"),
            roles_claim: env.required("ROLES_CLAIM"),
            admin_role: RoleName::admin_from_env(env).to_string(),
            webhook_cap: webhook::cap_from_env(env),
        }
    }
}
