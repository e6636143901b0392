//! Cold start of `sender`.

use std::time::{Duration, SystemTime};

use anzol_domain::health::DisablePolicy;
use anzol_domain::retry::Schedule;
use anzol_domain::url::OwnHosts;
use anzol_egress::{Egress, Settings};
use anzol_pipeline::{Deliverer, DeliveryHeaders, HealthTracker, Recoverer, Settler, SlowAfter};
use anzol_queue::{DeliveryQueues, MAX_DELAY, Queue, Scheduler, SchedulerSettings};
use anzol_runtime::config::{Env, optional};
use anzol_sender::Sender;
use anzol_store::{Deliveries, Webhooks};
use anzol_vault::Vault;
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (webhooks, deliveries) = (env.required("WEBHOOKS_TABLE"), env.required("DELIVERIES_TABLE"));
    let (fast, slow) = (env.required("DELIVERIES_QUEUE_URL"), env.required("SLOW_LANE_QUEUE_URL"));
    let secrets_key = env.required("SECRETS_KEY_ARN");
    let slow_lane_arn = env.required("SLOW_LANE_QUEUE_ARN");
    let (events, dlq) = (env.required("EVENTS_QUEUE_URL"), env.required("DELIVERIES_DLQ_URL"));
    let (group, role_arn) = (env.required("SCHEDULE_GROUP"), env.required("SCHEDULER_ROLE_ARN"));
    let dlq_arn = env.required("SLOW_LANE_DLQ_ARN");
    let schedule = env.or("RETRY_SCHEDULE", Schedule::default());
    let longest =
        Duration::from_secs(env.within("LONGEST_QUEUE_DELAY", MAX_DELAY.as_secs(), 1..=MAX_DELAY.as_secs()));
    let policy = DisablePolicy::new(
        env.within("DISABLE_AFTER_FAILURES", DisablePolicy::FAILURES, 1..=1_000_000),
        env.within("DISABLE_AFTER_HOURS", DisablePolicy::HOURS, 0..=168),
    );
    let mut egress = Settings::read(optional);
    egress.timeout = Duration::from_secs(env.within("DELIVERY_TIMEOUT", 10, 1..=15));
    egress.connect_timeout = Duration::from_secs(env.within("CONNECT_TIMEOUT", 3, 1..=15));
    let names =
        DeliveryHeaders { user_agent: env.maybe("USER_AGENT"), signature: env.maybe("SIGNATURE_HEADER") };
    let own_hosts: OwnHosts = env.maybe("ANZOL_OWN_HOSTS").unwrap_or_default();
    env.finish()?;

    let aws = anzol_runtime::aws::config()?;
    let (webhooks, deliveries) = (Webhooks::new(&aws, webhooks), Deliveries::new(&aws, deliveries));
    anzol_runtime::warm_up("webhooks table", webhooks.warm_up()).await;
    let settings = SchedulerSettings { group, role_arn, queue_arn: slow_lane_arn.clone(), dlq_arn };
    let scheduler = Scheduler::new(&aws, settings, longest, anzol_runtime::now);
    let queues = DeliveryQueues::new(&aws, fast, slow).with_scheduler(scheduler);
    let sender = &Sender {
        deliverer: Deliverer::new(Egress::new(&egress)?, anzol_runtime::now)
            .with_headers(names)
            .with_own_hosts(own_hosts),
        recoverer: Recoverer::new(deliveries.clone(), queues.clone(), anzol_runtime::now),
        settler: Settler::new(deliveries, queues, schedule, anzol_runtime::now),
        health: HealthTracker::new(webhooks.clone(), Queue::new(&aws, events), policy, anzol_runtime::now),
        dlq: Queue::new(&aws, dlq),
        slow_lane_arn,
        slow_after: SlowAfter::default(),
        clock: anzol_runtime::now,
        vault: Vault::new(&aws, secrets_key),
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
