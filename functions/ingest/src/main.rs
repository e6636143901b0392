//! Entry point of the `ingest` function: reads the configuration and builds the router once per cold start.

use std::sync::Arc;

use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_http::Claims;
use anzol_ingest::{IngestState, router};
use anzol_pipeline::Dispatcher;
use anzol_queue::DeliveryQueues;
use anzol_runtime::config::{Env, optional};
use anzol_store::{MatchRecords, Webhooks};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (webhooks, deliveries) = (env.required("WEBHOOKS_TABLE"), env.required("DELIVERIES_TABLE"));
    let (fast, slow) = (env.required("DELIVERIES_QUEUE_URL"), env.required("SLOW_LANE_QUEUE_URL"));
    let largest_event = env.within("LARGEST_EVENT", MAX_EVENT / 1024, EVENT_KIB) * 1024;
    let signature = env.maybe("SIGNATURE_HEADER");
    let claims =
        Claims::read(optional).with_roles(env.maybe("ANZOL_ADMIN_ROLE"), env.maybe("ANZOL_PUBLISHER_ROLE"));
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let webhooks = Webhooks::new(&aws, webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let (queues, markers) = (DeliveryQueues::new(&aws, fast, slow), MatchRecords::new(&aws, deliveries));
    queues.prepare();
    let dispatcher = Dispatcher::new(webhooks, queues, markers, anzol_runtime::now);
    let state = IngestState {
        dispatcher: Arc::new(dispatcher),
        claims: Arc::new(claims),
        clock: anzol_runtime::now,
        largest_event,
        signature,
    };
    lambda_http::run(router(state)).await
}
