//! Cold start of `fanout`.

use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_fanout::Fanout;
use anzol_pipeline::Dispatcher;
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::config::Env;
use anzol_store::{MatchRecords, Webhooks};
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (webhooks, deliveries) = (env.required("WEBHOOKS_TABLE"), env.required("DELIVERIES_TABLE"));
    let (fast, slow) = (env.required("DELIVERIES_QUEUE_URL"), env.required("SLOW_LANE_QUEUE_URL"));
    let dlq = env.required("EVENTS_DLQ_URL");
    let largest_event = env.within("LARGEST_EVENT", MAX_EVENT / 1024, EVENT_KIB) * 1024;
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let webhooks = Webhooks::new(&aws, webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let (queues, records) = (DeliveryQueues::new(&aws, fast, slow), MatchRecords::new(&aws, deliveries));
    queues.prepare();
    let dispatcher = Dispatcher::new(webhooks, queues, records, anzol_runtime::now);
    let fanout = &Fanout { dispatcher, dlq: Queue::new(&aws, dlq), clock: anzol_runtime::now, largest_event };
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(fanout.handle(event.payload).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}
