//! The delivery engine in process: a sender with its database, queues and receiver, the publisher interfaces in front of it, and
//! batches of messages as Lambda passes them.

use std::time::Duration;

use anzol_domain::event::MAX_EVENT;
use anzol_domain::headers::HeaderName;
use anzol_domain::health::DisablePolicy;
use anzol_domain::{Delivery, DeliveryId, DeliveryTask, Event, Trigger, Webhook};
use anzol_egress::Settings;
use anzol_fanout::Fanout;
use anzol_ingest::IngestState;
use anzol_pipeline::Dispatcher;
use anzol_runtime::now;
use anzol_sender::Sender;
use anzol_tests::receiver::{Behavior, Received};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::queues::{DEAD, EVENTS, FAST, Queues, SLOW_ARN, Sent};
use super::{Api, EgressHarness, SenderQueues, TestContext, fanout, ingest_state, webhook_at};

/// A sender with its database, queues and receiver.
pub(crate) struct Engine {
    pub(crate) context: TestContext,
    pub(crate) egress: EgressHarness,
    pub(crate) queues: Queues,
    pub(crate) sender: Sender,
}

impl Engine {
    pub(crate) async fn start(policy: DisablePolicy) -> Self {
        let settings = Settings { timeout: Duration::from_secs(5), ..Settings::default() };
        let (context, egress) = (TestContext::start().await, EgressHarness::start(settings).await);
        let queues = Queues::start(&context.config).await;
        let sender_queues = SenderQueues {
            deliveries: queues.with_scheduler(),
            events: queues.queue(EVENTS),
            dlq: queues.queue(DEAD),
        };
        let sender = context.sender(&egress, sender_queues, policy);
        Self { context, egress, queues, sender }
    }

    pub(crate) fn dispatcher(&self) -> Dispatcher {
        self.context.dispatcher(self.queues.both())
    }

    /// Returns the router of `ingest` in front of this engine.
    pub(crate) fn ingest(&self) -> Api {
        Api(anzol_ingest::router(ingest_state(self.dispatcher())))
    }

    /// Returns a fanout in front of this engine.
    pub(crate) fn fanout(&self) -> Fanout {
        fanout(self.dispatcher(), self.queues.queue(DEAD))
    }

    /// Stores a webhook of acme whose receiver is at this path.
    pub(crate) async fn create(&self, path: &str) -> Webhook {
        let webhook = webhook_at("acme", path);
        self.context.webhooks.create(&webhook, 100).await.unwrap();
        webhook
    }

    /// Sets how the receiver answers on a path.
    pub(crate) async fn behaves(&self, path: &str, behavior: Behavior) {
        let path = format!("/{path}");
        self.egress.control(move |receiver| receiver.behave(&path, &behavior)).await.unwrap();
    }

    /// Sets the status with which the receiver answers on a path.
    pub(crate) async fn answers(&self, path: &str, status: u16) {
        self.behaves(path, Behavior { status, ..Behavior::default() }).await;
    }

    /// Returns the requests received on a path, oldest first.
    pub(crate) async fn requests(&self, path: &str) -> Vec<Received> {
        let path = format!("/{path}");
        self.egress.control(move |receiver| receiver.requests(&path)).await.unwrap()
    }

    /// Returns the number of requests received on a path.
    pub(crate) async fn received(&self, path: &str) -> usize {
        self.requests(path).await.len()
    }

    /// Has the sender process messages from the queue with the ARN `source`. Returns the ids of those reported as failed.
    pub(crate) async fn handle(&self, bodies: &[String], source: &str) -> Vec<String> {
        failed(self.sender.handle(batch_from(bodies, source), deadline()).await)
    }

    /// Has the sender process these deliveries on the slow lane, which sends to every webhook. Returns the ids of failed messages.
    pub(crate) async fn send(&self, tasks: &[DeliveryTask]) -> Vec<String> {
        let bodies: Vec<_> = tasks.iter().map(anzol_queue::encode).collect();
        self.handle(&bodies, SLOW_ARN).await
    }

    /// Returns the current state of a webhook in the table.
    pub(crate) async fn stored(&self, webhook: &Webhook) -> Webhook {
        self.context.webhooks.get(&webhook.tenant_id, webhook.id).await.unwrap().unwrap()
    }

    /// Returns a webhook's history, oldest first.
    pub(crate) async fn history(&self, webhook: &Webhook) -> Vec<Delivery> {
        self.context.history(webhook).await
    }

    /// Returns the operational events published so far.
    pub(crate) fn operational_events(&self) -> Vec<Value> {
        self.queues.on(EVENTS).iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect()
    }
}

/// Ingest and fanout in front of an engine.
pub(crate) struct Publisher {
    pub(crate) engine: Engine,
    pub(crate) ingest: Api,
    pub(crate) fanout: Fanout,
}

impl Publisher {
    /// Starts an engine with a webhook of acme that matches new apps, and both publisher interfaces.
    pub(crate) async fn start() -> Self {
        Self::with(MAX_EVENT, None).await
    }

    /// Does the same as [`Self::start`], with this maximum event size and this name of the deployment's signature header.
    pub(crate) async fn with(largest_event: usize, signature: Option<HeaderName>) -> Self {
        let engine = Box::pin(Engine::start(DisablePolicy::default())).await;
        engine.create("in").await;
        Self::on(engine, largest_event, signature)
    }

    /// Adds both publisher interfaces to an engine.
    pub(crate) fn on(engine: Engine, largest_event: usize, signature: Option<HeaderName>) -> Self {
        let state = IngestState { largest_event, signature, ..ingest_state(engine.dispatcher()) };
        let fanout = Fanout { largest_event, ..engine.fanout() };
        Self { ingest: Api(anzol_ingest::router(state)), fanout, engine }
    }

    /// Returns the messages on the fast lane.
    pub(crate) fn queued(&self) -> Vec<Sent> {
        self.engine.queues.on(FAST)
    }
}

/// Returns the deadline of an invocation that starts now.
pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Returns a batch of messages with the ids `m0`, `m1`, … and these bodies.
pub(crate) fn batch(bodies: &[String]) -> SqsEvent {
    batch_with(bodies, &json!({}))
}

/// Returns a batch of messages from the queue with the ARN `source`.
pub(crate) fn batch_from(bodies: &[String], source: &str) -> SqsEvent {
    batch_with(bodies, &json!({ "eventSourceARN": source }))
}

fn batch_with(bodies: &[String], members: &Value) -> SqsEvent {
    let record = |(index, body): (usize, &String)| {
        let mut record = members.clone();
        (record["messageId"], record["body"]) = (json!(format!("m{index}")), json!(body));
        record
    };
    let records: Vec<_> = bodies.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

/// Returns the ids of the messages that a function reported as failed, sorted.
pub(crate) fn failed(response: SqsBatchResponse) -> Vec<String> {
    let failures = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier);
    let mut ids: Vec<_> = failures.collect();
    ids.sort();
    ids
}

/// Returns the first attempt of a new event for a webhook.
pub(crate) fn task(webhook: &Webhook) -> DeliveryTask {
    let id = DeliveryId::mint(now());
    let event = json!({
        "specversion": "1.0", "id": id.to_string(), "source": "s", "type": "com.qlik.v1.app.created",
        "tenantid": webhook.tenant_id,
    });
    DeliveryTask {
        tenant_id: webhook.tenant_id.clone(),
        webhook_id: webhook.id,
        delivery_id: id,
        attempt: 1,
        trigger: Trigger::Event,
        accepted_at: None,
        trace: None,
        event: Event::parse(&event.to_string(), now()).unwrap(),
    }
}
