//! Entry point of the `api` function: reads the configuration and builds the router once per cold start.

use anzol_api::{AppState, Config, Cursors, router};
use anzol_egress::TokenEndpoint;
use anzol_pipeline::{HealthTracker, Recoverer, Settler};
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::now;
use anzol_store::{Deliveries, Webhooks};
use anzol_vault::Vault;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let (webhooks, cursors) = (Webhooks::new(&aws, config.tables.webhooks), Cursors::default());
    // Also opens the connection to the database.
    let cursor_key = async { cursors.key(&webhooks).await.map(drop) };
    anzol_runtime::warm_up("cursor key", cursor_key).await;
    let deliveries = Deliveries::new(&aws, config.tables.deliveries);
    let events = Queue::new(&aws, config.events_queue);
    let slow_lane = DeliveryQueues::slow_only(&aws, config.slow_lane);
    let state = AppState {
        health: HealthTracker::new(webhooks.clone(), events, config.disable_policy, now),
        recoverer: Recoverer::new(deliveries.clone(), slow_lane.clone(), now),
        settler: Settler::without_retries(deliveries.clone(), slow_lane, now),
        webhooks,
        vault: Vault::new(&aws, config.secrets_key),
        deliveries,
        deliverer: config.delivery.deliverer(now)?,
        tokens: config.token_url.as_deref().map(TokenEndpoint::new).transpose()?,
        claims: config.claims,
        cursors,
        cap: config.webhook_cap,
        clock: now,
    };
    lambda_http::run(router(state)).await
}
