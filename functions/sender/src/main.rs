//! Cold start of `sender`.

use anzol_egress::{Egress, Settings};
use anzol_pipeline::{Deliverer, Settler};
use anzol_queue::DeliveryQueues;
use anzol_runtime::config::{Env, optional};
use anzol_sender::Sender;
use anzol_store::{Deliveries, Webhooks};
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (webhooks, deliveries) = (env.required("WEBHOOKS_TABLE"), env.required("DELIVERIES_TABLE"));
    let slow = env.required("SLOW_LANE_QUEUE_URL");
    env.finish()?;

    let aws = anzol_runtime::aws::config().await;
    let webhooks = Webhooks::new(&aws, webhooks);
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let settler = Settler::new(
        Deliveries::new(&aws, deliveries),
        DeliveryQueues::slow_only(&aws, slow),
        anzol_runtime::now,
    );
    let deliverer = Deliverer::new(Egress::new(&Settings::read(optional))?, anzol_runtime::now);
    let sender = &Sender { webhooks, deliverer, settler };
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(sender.handle(event.payload).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}
