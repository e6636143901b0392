//! Entry point of the `fanout` function: reads the configuration and builds its parts once per cold start.

use anzol_fanout::{Config, Fanout};
use anzol_pipeline::Dispatcher;
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::now;
use anzol_store::{MatchRecords, Webhooks};
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
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
    let fanout = &Fanout {
        dispatcher: Dispatcher::new(webhooks, queues, records, now),
        dlq: Queue::new(&aws, config.dlq),
        clock: now,
        largest_event: config.largest_event,
    };
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(fanout.handle(event.payload).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}
