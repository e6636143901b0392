//! Reads the configuration of the console at cold start and runs it.

use anzol_console::{Config, router};
use anzol_domain::webhook::WEBHOOK_CAP;
use anzol_http::RoleName;
use anzol_runtime::config::{Env, optional};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (issuer, region) = (env.required("AUTH_ISSUER"), env.required("AWS_REGION"));
    let (tenant_claim, roles_claim) = (env.required("TENANT_CLAIM"), env.required("ROLES_CLAIM"));
    let webhook_cap = env.within("WEBHOOK_CAP", WEBHOOK_CAP, 1..=100_000);
    let admin_role = env.maybe::<RoleName>("ANZOL_ADMIN_ROLE");
    let admin_role = admin_role.map_or_else(|| RoleName::ADMIN.to_owned(), |role| role.to_string());
    env.finish()?;

    let client_id = optional("USER_POOL_CLIENT_ID");
    // Set on local stacks only.
    let local = optional("AWS_ENDPOINT_URL");
    // The hosted page has an AWS domain name, which local stacks do not serve.
    let hosted_ui_url = optional("HOSTED_UI_URL").filter(|_| local.is_none());
    let user_pools = local.unwrap_or_else(|| format!("https://cognito-idp.{region}.amazonaws.com"));
    let sign_in_url = client_id.as_ref().map(|_| format!("{}/", user_pools.trim_end_matches('/')));
    let config = Config {
        sign_in_url,
        hosted_ui_url,
        client_id,
        issuer,
        tenant_claim,
        roles_claim,
        admin_role,
        webhook_cap,
    };
    lambda_http::run(router(config)?).await
}
