#![doc = include_str!("../README.md")]

mod config;
mod deadline;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use tokio::time::Instant;

use anzol_domain::metric::{Label, Metric};
use anzol_domain::{Clock, DeliveryTask, Lane};
use anzol_pipeline::{
    AttemptRunner, Batch, Deadline, Deliverer, HealthTracker, Message, Recoverer, RecoveryStep, Settler,
    SlowAfter, WebhookKey, WebhooksByKey,
};
use anzol_queue::{Queue, QueueMessage, Unreadable};
use anzol_runtime::metrics::{self, METER};
use anzol_store::{StoreError, Webhooks};
use anzol_vault::Vault;

pub use config::Config;
pub use deadline::deadline;

/// Processes batches of the delivery queues.
#[derive(Debug)]
pub struct Sender {
    /// The webhooks table.
    pub webhooks: Webhooks,
    /// Opens the secrets of webhooks.
    pub vault: Vault,
    /// Sends the POSTs.
    pub deliverer: Deliverer,
    /// Writes the history and queues retries.
    pub settler: Settler,
    /// Runs the steps of recoveries.
    pub recoverer: Recoverer,
    /// Updates lanes, publishes warnings, and disables webhooks.
    pub health: HealthTracker,
    /// The dead-letter queue for messages that no release can read.
    pub dlq: Queue,
    /// ARN of the slow lane's queue.
    pub slow_lane_arn: String,
    /// The response times from which a receiver counts as slow.
    pub slow_after: SlowAfter,
    /// Returns the current time.
    pub clock: Clock,
}

/// The messages of a batch.
struct Jobs {
    /// The lane of the queue; all messages of a batch come from one queue.
    lane: Lane,
    deliveries: Vec<Message>,
    steps: Vec<RecoveryStep>,
    /// Ids of the messages that must be received again.
    to_retry: BTreeSet<String>,
}

impl Jobs {
    fn webhooks(&self) -> BTreeSet<WebhookKey> {
        let steps = self.steps.iter().map(webhook_of);
        self.deliveries.iter().map(Message::webhook).chain(steps).collect()
    }

    /// Removes the jobs of these webhooks. Their messages must be received again.
    fn postpone(&mut self, webhooks: &BTreeSet<WebhookKey>) {
        if webhooks.is_empty() {
            return;
        }
        let later = self.deliveries.extract_if(.., |message| webhooks.contains(&message.webhook()));
        self.to_retry.extend(later.map(|message| message.id));
        let later = self.steps.extract_if(.., |step| webhooks.contains(&webhook_of(step)));
        self.to_retry.extend(later.map(|step| step.message_id));
    }
}

fn webhook_of(RecoveryStep { task, .. }: &RecoveryStep) -> WebhookKey {
    (task.tenant_id.clone(), task.webhook_id)
}

impl Sender {
    /// Processes a batch before `deadline`. Messages that fail are reported individually for redelivery.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let messages = batch.records.len();
        let jobs = self.read(batch).await;
        let to_retry = self.process(jobs, Deadline::new(deadline)).await;
        metrics::flush();
        tracing::debug!(messages, to_retry = to_retry.len(), "batch processed");
        let mut response = SqsBatchResponse::default();
        response.set_failures(to_retry);
        response
    }

    /// Returns the parts that make attempts.
    #[must_use]
    pub fn attempt_runner(&self) -> AttemptRunner<'_> {
        let Self { vault, deliverer, settler, health, slow_after, clock, .. } = self;
        AttemptRunner {
            vault,
            deliverer,
            settler,
            health,
            slow_after: *slow_after,
            clock: *clock,
            meter: METER,
        }
    }

    /// Processes the jobs of a batch. Returns the ids of the messages that must be received again.
    async fn process(&self, mut jobs: Jobs, deadline: Deadline) -> BTreeSet<String> {
        let keys = jobs.webhooks();
        let webhooks = match self.read_webhooks(&keys).await {
            Ok((webhooks, unreadable)) => {
                jobs.postpone(&unreadable);
                webhooks
            }
            Err(error) => {
                tracing::error!(%error, "the webhooks of a batch cannot be read");
                jobs.postpone(&keys);
                return jobs.to_retry;
            }
        };
        let Jobs { lane, deliveries, steps, mut to_retry } = jobs;
        let (runner, batch) = (self.attempt_runner(), Batch { lane, messages: deliveries });
        let (deliveries, steps) = futures::join!(
            runner.process_batch(batch, &webhooks, deadline),
            self.recoverer.resume_all(steps, &webhooks, deadline),
        );
        to_retry.extend(deliveries.into_iter().chain(steps));
        to_retry
    }

    /// Decodes the messages of a batch. Moves those that no release can read to the dead-letter queue.
    async fn read(&self, batch: SqsEvent) -> Jobs {
        let source = batch.records.first().and_then(|message| message.event_source_arn.as_deref());
        let lane = if source == Some(&self.slow_lane_arn) { Lane::Slow } else { Lane::Fast };
        let deliveries = Vec::with_capacity(batch.records.len());
        let mut jobs = Jobs { lane, deliveries, steps: Vec::new(), to_retry: BTreeSet::new() };
        for message in batch.records {
            self.read_message(message, &mut jobs).await;
        }
        jobs
    }

    async fn read_message(&self, message: SqsMessage, jobs: &mut Jobs) {
        // SQS sets both. Reporting an empty id fails the whole batch, which loses nothing; an empty body is malformed.
        let (id, body) = (message.message_id.unwrap_or_default(), message.body.unwrap_or_default());
        match anzol_queue::decode(&body) {
            Ok(QueueMessage::Delivery(task)) => {
                if let Some(sent_at) = anzol_queue::sent_at(&message.attributes) {
                    self.report_queue_age(sent_at, &task, jobs.lane);
                }
                jobs.deliveries.push(Message { id, task: *task });
            }
            Ok(QueueMessage::Recovery(task)) => jobs.steps.push(RecoveryStep { message_id: id, task }),
            Err(error @ Unreadable::Version(_)) => {
                tracing::warn!(message_id = id, %error, "a delivery message is for another release");
                jobs.to_retry.insert(id);
            }
            Err(error @ Unreadable::Malformed(_)) => {
                tracing::error!(message_id = id, %error, "a delivery message cannot be read");
                if let Err(error) = self.dlq.send_to_dlq(&body, &error.to_string()).await {
                    tracing::error!(message_id = id, %error, "failed to send a message to the dead-letter queue");
                    jobs.to_retry.insert(id);
                }
            }
        }
    }

    /// Reports how long a delivery waited after it was due. A retry is sent to its queue before it is due.
    fn report_queue_age(&self, sent_at: time::OffsetDateTime, task: &DeliveryTask, lane: Lane) {
        let due = sent_at.max(task.delivery_id.time());
        let waited = Duration::try_from((self.clock)() - due).unwrap_or_default();
        METER.time(Metric::QueueAge, Label::Lane(lane.name()), waited);
    }

    /// Reads webhooks. Also returns the keys of those that exist but cannot be read. Their messages are received again, and end in the
    /// dead-letter queue if the webhooks are not fixed in time.
    async fn read_webhooks(
        &self,
        keys: &BTreeSet<WebhookKey>,
    ) -> Result<(WebhooksByKey, BTreeSet<WebhookKey>), StoreError> {
        let (mut found, mut unreadable) = (WebhooksByKey::new(), BTreeSet::new());
        for (key, webhook) in self.webhooks.get_many(keys).await? {
            match webhook {
                Ok(webhook) => drop(found.insert(key, webhook)),
                Err(error) => {
                    tracing::error!(%error, tenant.id = %key.0, webhook.id = %key.1, "a webhook cannot be read");
                    unreadable.insert(key);
                }
            }
        }
        Ok((found, unreadable))
    }
}
