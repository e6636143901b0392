//! Cold start of `fanout`.

use anzol_pipeline::Dispatcher;
use anzol_queue::DeliveryQueues;
use anzol_runtime::config::Env;
use anzol_store::Webhooks;
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let webhooks = env.required("WEBHOOKS_TABLE");
    let (fast, slow) = (env.required("DELIVERIES_QUEUE_URL"), env.required("SLOW_LANE_QUEUE_URL"));
    env.finish()?;

    let aws = anzol_runtime::aws::config().await;
    let webhooks = Webhooks::new(&aws, webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let dispatcher = Dispatcher::new(webhooks, DeliveryQueues::new(&aws, fast, slow), anzol_runtime::now);
    let dispatcher = &dispatcher;
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(
            anzol_fanout::handle(dispatcher, event.payload, anzol_runtime::now).await,
        )
    };
    lambda_runtime::run(service_fn(handler)).await
}
