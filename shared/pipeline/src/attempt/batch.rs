//! Processes batches of queued deliveries: makes the attempts concurrently and settles their outcomes together.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anzol_domain::metric::Metric;
use anzol_domain::{DeliveryId, DeliveryTask, Lane};
use futures::FutureExt as _;
use futures::stream::StreamExt as _;

use super::deadline::SETTLE_RESERVE;
use super::post::verdicts;
use super::pre::BatchState;
use super::{AttemptRunner, Deadline, Outcome, WebhookKey, WebhooksByKey, key, label};
use crate::report::Attempt;

/// Maximum number of concurrent POSTs to all hosts: the batch size in the template. A limit per host would have to be lower to have an
/// effect, and would slow down bursts for healthy receivers; unhealthy ones are in the slow lane.
const CONCURRENCY: usize = 10;

/// Deliveries received from one queue.
#[derive(Debug)]
pub struct Batch {
    /// The lane of the queue.
    pub lane: Lane,
    /// The deliveries.
    pub messages: Vec<Message>,
}

/// A delivery and the id of its message.
#[derive(Debug)]
pub struct Message {
    /// Identifies the message if it must be received again.
    pub id: String,
    /// The delivery.
    pub task: DeliveryTask,
}

impl Message {
    /// Returns the key of the delivery's webhook.
    #[must_use]
    pub fn webhook(&self) -> WebhookKey {
        key(&self.task)
    }
}

/// The outcomes of a batch, grouped by the next step.
#[derive(Default)]
struct Outcomes {
    /// To be recorded.
    attempted: Vec<Attempt>,
    /// To be moved to the slow lane.
    misplaced: Vec<DeliveryTask>,
    /// To wait in the fast lane until the receiver was probed.
    deferred: Vec<DeliveryTask>,
    /// To wait in the slow lane, because the secrets of their webhooks cannot be opened.
    secrets_unavailable: Vec<DeliveryTask>,
    /// Number of messages that need no next step.
    dropped: usize,
    /// The ids of the messages of all deliveries that were not dropped. A batch can contain a delivery twice.
    message_ids: BTreeMap<DeliveryId, Vec<String>>,
    /// The messages to be received again.
    to_retry: BTreeSet<String>,
}

impl Outcomes {
    fn add(&mut self, Message { id, task }: Message, outcome: Outcome, lane: Lane) {
        match outcome {
            Outcome::Retry => {
                self.to_retry.insert(id);
            }
            Outcome::Deleted => {
                self.dropped += 1;
                tracing::info!(tenant.id = %task.tenant_id, webhook.id = %task.webhook_id, delivery.id = %task.delivery_id, "dropped: the webhook is deleted");
            }
            Outcome::Settled => {
                self.dropped += 1;
                tracing::info!(tenant.id = %task.tenant_id, webhook.id = %task.webhook_id, delivery.id = %task.delivery_id, "dropped: the delivery was sent before");
            }
            Outcome::WrongLane => {
                self.keep_id(&task, id);
                self.misplaced.push(task);
            }
            Outcome::Deferred => {
                self.keep_id(&task, id);
                self.deferred.push(task);
            }
            Outcome::SecretsUnavailable => {
                self.keep_id(&task, id);
                self.secrets_unavailable.push(task);
            }
            Outcome::Attempted(delivery, ended_at) => {
                self.keep_id(&task, id);
                self.attempted.push(Attempt { task, delivery: *delivery, lane: Some(lane), ended_at });
            }
        }
    }

    fn keep_id(&mut self, task: &DeliveryTask, message_id: String) {
        self.message_ids.entry(task.delivery_id).or_default().push(message_id);
    }
}

impl AttemptRunner<'_> {
    /// Processes a batch before `deadline`. Returns the ids of the messages that must be received again; all others are done.
    pub async fn process_batch(
        &self,
        batch: Batch,
        webhooks: &WebhooksByKey,
        deadline: Deadline,
    ) -> BTreeSet<String> {
        let Batch { lane, messages } = batch;
        let state = self.prepare(lane, &messages, webhooks).await;
        let mut outcomes = Outcomes::default();
        for (message, outcome) in self.attempt_all(messages, &state, deadline).await {
            outcomes.add(message, outcome, lane);
        }
        let seen = state.finish();
        self.meter.count(Metric::DeliveriesSkipped, label(Some(lane)), outcomes.dropped);
        let verdicts = verdicts(&outcomes.attempted);
        let to_retry = self.settle_all(outcomes, lane).await;
        let changes = self.record_health(verdicts, webhooks, seen, deadline).await;
        self.count_changes(changes, Some(lane));
        to_retry
    }

    /// Returns the maximum duration of an attempt, including its recording. If less time is left before the deadline, no attempt is
    /// started.
    #[must_use]
    pub fn longest_attempt(&self) -> Duration {
        self.deliverer.timeout() + SETTLE_RESERVE
    }

    async fn attempt_all(
        &self,
        messages: Vec<Message>,
        state: &BatchState<'_>,
        deadline: Deadline,
    ) -> Vec<(Message, Outcome)> {
        let longest = self.longest_attempt();
        futures::stream::iter(messages)
            .map(|message| async {
                let outcome = if deadline.allows(longest) {
                    // A panic fails its own message only.
                    let attempt = AssertUnwindSafe(self.process_delivery(&message.task, state));
                    attempt.catch_unwind().await.unwrap_or_else(|_| {
                        tracing::error!(delivery.id = %message.task.delivery_id, "an attempt panicked");
                        Outcome::Retry
                    })
                } else {
                    Outcome::Retry
                };
                (message, outcome)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }

    /// Records the attempts and queues the other deliveries again. Returns the ids of the messages that must be received again.
    async fn settle_all(&self, outcomes: Outcomes, lane: Lane) -> BTreeSet<String> {
        let Outcomes {
            attempted,
            misplaced,
            deferred,
            secrets_unavailable,
            mut message_ids,
            mut to_retry,
            dropped: _,
        } = outcomes;
        let (settled, unmoved, undeferred, unpostponed) = futures::join!(
            self.settle(attempted, Some(lane)),
            self.settler.move_to_slow(misplaced),
            self.settler.defer(deferred),
            self.settler.defer_sealed(secrets_unavailable),
        );
        let unsettled = settled.unsettled.iter().chain(&unmoved).chain(&undeferred).chain(&unpostponed);
        to_retry.extend(unsettled.filter_map(|id| message_ids.remove(id)).flatten());
        to_retry
    }
}
