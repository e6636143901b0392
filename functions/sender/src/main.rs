//! Entry point of the `sender` function: reads the configuration and builds its parts once per cold start.

use std::time::SystemTime;

use anzol_pipeline::{HealthTracker, Recoverer, Settler, SlowAfter};
use anzol_queue::{DeliveryQueues, Queue, Scheduler};
use anzol_runtime::now;
use anzol_sender::{Config, Sender};
use anzol_store::{Deliveries, Webhooks};
use anzol_vault::Vault;
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    anzol_runtime::telemetry::init();
    let mut env = anzol_runtime::config::env();
    let config = Config::from_env(&mut env);
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let webhooks = Webhooks::new(&aws, config.tables.webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let deliveries = Deliveries::new(&aws, config.tables.deliveries);
    let slow_lane_arn = config.scheduler.queue_arn.clone();
    let scheduler = Scheduler::new(&aws, config.scheduler, config.longest_queue_delay, now);
    let queues = DeliveryQueues::new(&aws, config.lanes.fast, config.lanes.slow).with_scheduler(scheduler);
    let events = Queue::new(&aws, config.events_queue);
    let sender = &Sender {
        deliverer: config.delivery.deliverer(now)?,
        recoverer: Recoverer::new(deliveries.clone(), queues.clone(), now),
        settler: Settler::new(deliveries, queues, config.retry_schedule, now),
        health: HealthTracker::new(webhooks.clone(), events, config.disable_policy, now),
        dlq: Queue::new(&aws, config.dlq),
        slow_lane_arn,
        slow_after: SlowAfter::default(),
        clock: now,
        vault: Vault::new(&aws, config.secrets_key),
        webhooks,
    };
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        let now = SystemTime::now();
        let left = anzol_sender::deadline(event.context.deadline(), now).duration_since(now);
        let deadline = Instant::now() + left.unwrap_or_default();
        Ok::<_, lambda_runtime::Error>(sender.handle(event.payload, deadline).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}
