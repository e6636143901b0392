//! Entry point of the `ingest` function: reads the configuration and builds the router once per cold start.

use std::sync::Arc;

use anzol_ingest::{Config, IngestState, router};
use anzol_pipeline::Dispatcher;
use anzol_queue::DeliveryQueues;
use anzol_runtime::now;
use anzol_store::{MatchRecords, Webhooks};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let webhooks = Webhooks::new(&aws, config.tables.webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let queues = DeliveryQueues::new(&aws, config.lanes.fast, config.lanes.slow);
    queues.prepare();
    let records = MatchRecords::new(&aws, config.tables.deliveries);
    let state = IngestState {
        dispatcher: Arc::new(Dispatcher::new(webhooks, queues, records, now)),
        claims: Arc::new(config.claims),
        clock: now,
        largest_event: config.largest_event,
        signature: config.signature,
    };
    lambda_http::run(router(state)).await
}
