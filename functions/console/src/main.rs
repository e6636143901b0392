//! Reads the configuration of the console at cold start and runs it.

use anzol_console::{Config, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;
    lambda_http::run(router(config)?).await
}
