//! Entry point of the `console` function: reads the configuration and builds the router once per cold start.

use anzol_console::{Config, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;
    lambda_http::run(router(config)?).await
}
