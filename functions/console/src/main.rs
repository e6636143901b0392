//! Cold start of `console`.

use anzol_console::{Config, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;
    lambda_http::run(router(config)?).await
}
