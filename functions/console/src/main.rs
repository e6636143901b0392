//! Cold start of `console`.

use anzol_console::{Config, router};
use anzol_domain::webhook::WEBHOOK_CAP;
use anzol_runtime::config::{Env, optional};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (issuer, region) = (env.required("AUTH_ISSUER"), env.required("AWS_REGION"));
    let webhook_cap = env.or("WEBHOOK_CAP", WEBHOOK_CAP);
    env.finish()?;

    let client_id = optional("USER_POOL_CLIENT_ID");
    // Local stacks say where AWS is; AWS itself does not.
    let user_pools =
        optional("AWS_ENDPOINT_URL").unwrap_or_else(|| format!("https://cognito-idp.{region}.amazonaws.com"));
    let sign_in_url = client_id.as_ref().map(|_| format!("{}/", user_pools.trim_end_matches('/')));
    lambda_http::run(router(Config { sign_in_url, client_id, issuer, webhook_cap })).await
}
