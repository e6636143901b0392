//! The lifecycle of an attempt, the same for queued deliveries, recoveries, resends and test events:
//!
//! 1. Pre-attempt (`pre.rs`): opens the webhook's secrets and decides whether the attempt can be made now.
//! 2. Attempt: sends the signed POST.
//! 3. Post-attempt (`post.rs`): writes the history row, queues the retry, logs the attempt, updates the webhook's health, and reports
//!    metrics.
//!
//! The outcome is recorded before the message is deleted or the caller gets a response. Health is updated after the history, so that the
//! deliveries that disabled a webhook are already in the history when it is disabled.

mod batch;
mod burst;
mod deadline;
mod post;
mod pre;

use std::collections::BTreeMap;
use std::time::Duration;

use anzol_domain::health::{BURST_SLOW_AFTER, Pace, SLOW_AFTER};
use anzol_domain::metric::{Label, Meter, Metric};
use anzol_domain::{Clock, Delivery, DeliveryTask, Lane, Status, TenantId, Trigger, Webhook, WebhookId};
use anzol_signing as signing;
use anzol_vault::{Vault, VaultError};
use time::OffsetDateTime;

use crate::deliver::Deliverer;
use crate::health::{HealthTracker, Verdict};
use crate::report::Attempt;
use crate::settle::Settler;

use burst::ProbeGuard;
use pre::{BatchState, Ready};

pub use batch::{Batch, Message};
pub use deadline::Deadline;

/// Identifies a webhook. Without the tenant, a message could name the webhook of another tenant.
pub type WebhookKey = (TenantId, WebhookId);

/// The current webhooks of a batch, without those that were deleted.
pub type WebhooksByKey = BTreeMap<WebhookKey, Webhook>;

/// Maximum response times before a webhook moves to the slow lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowAfter {
    /// Maximum for a single delivery.
    pub single: Duration,
    /// Maximum for a delivery of a burst, which delays many others.
    pub burst: Duration,
}

impl Default for SlowAfter {
    fn default() -> Self {
        Self { single: SLOW_AFTER, burst: BURST_SLOW_AFTER }
    }
}

/// Makes attempts, using parts that the Lambda function owns.
#[derive(Debug, Clone, Copy)]
pub struct AttemptRunner<'a> {
    /// Opens the secrets of webhooks.
    pub vault: &'a Vault,
    /// Sends the POSTs.
    pub deliverer: &'a Deliverer,
    /// Writes the history and queues retries.
    pub settler: &'a Settler,
    /// Updates lanes, publishes warnings, and disables webhooks.
    pub health: &'a HealthTracker,
    /// The response times from which a receiver counts as slow.
    pub slow_after: SlowAfter,
    /// Returns the current time.
    pub clock: Clock,
    /// Reports metrics.
    pub meter: Meter,
}

/// An attempt that a user requested.
#[derive(Debug)]
pub struct Sent {
    /// The history row.
    pub delivery: Delivery,
    /// Whether the row was written.
    pub recorded: bool,
}

/// The outcome of a queued delivery.
enum Outcome {
    /// An attempt was made, or skipped because the webhook is disabled. Contains the time when it finished.
    Attempted(Box<Delivery>, OffsetDateTime),
    /// The delivery belongs in the slow lane.
    WrongLane,
    /// The webhook's secrets cannot be opened now, and nothing is sent without them.
    SecretsUnavailable,
    /// The delivery is part of a burst, and another batch is probing the receiver.
    Deferred,
    /// The webhook is deleted, so there is nothing to record.
    Deleted,
    /// The delivery was processed before.
    Settled,
    /// The message must be received again.
    Retry,
}

impl AttemptRunner<'_> {
    /// Makes an attempt that a user requested: a resend or a test event.
    ///
    /// The attempt affects the webhook's health like any other, and can disable the webhook. The health of a disabled webhook does not
    /// change. No retry follows.
    ///
    /// # Errors
    /// The secrets cannot be opened. Nothing was sent or recorded.
    pub async fn send_now(&self, webhook: &Webhook, task: DeliveryTask) -> Result<Sent, VaultError> {
        let opened = self.vault.open(webhook).await?;
        let delivery = self.deliverer.deliver(&opened, &task).await;
        let arrived = task.trigger == Trigger::Resend && delivery.status == Status::Success;
        let arrived = arrived.then(|| signing::message_id(&task.tenant_id, task.webhook_id, &task.event));
        let attempt = Attempt { task, delivery, lane: None, ended_at: (self.clock)() };
        let mut verdict = Verdict::default();
        verdict.count(&attempt.delivery);
        // The row that is written: no retry follows, so settling does not change it.
        let delivery = attempt.delivery.clone();
        let settled = self.settle(vec![attempt], None).await;
        let recorded = settled.unsettled.is_empty();
        if let Some(message_id) = arrived {
            self.settler.note_arrival(&delivery, &message_id).await;
        }
        if webhook.spec.enabled {
            let changes = self.health.record(webhook, verdict).await;
            self.count_changes(changes, None);
        }
        Ok(Sent { delivery, recorded })
    }

    /// Runs a queued delivery through pre-attempt and attempt.
    async fn process_delivery(&self, task: &DeliveryTask, state: &BatchState<'_>) -> Outcome {
        match self.pre_attempt(task, state).await {
            Ok(ready) => {
                let delivery = self.attempt(task, ready, state).await;
                Outcome::Attempted(Box::new(delivery), (self.clock)())
            }
            Err(outcome) => outcome,
        }
    }

    /// Sends the POST. If the receiver is slow, moves its webhook to the slow lane before the response arrives, so that the webhook's other
    /// messages stop delaying other webhooks.
    async fn attempt(&self, task: &DeliveryTask, ready: Ready<'_>, state: &BatchState<'_>) -> Delivery {
        let Ready { key, opened, slow_after, guard } = ready;
        let webhook = opened.webhook();
        let mut sending = std::pin::pin!(self.deliverer.deliver(opened, task));
        if let Ok(delivery) = tokio::time::timeout(slow_after, &mut sending).await {
            self.report_probe(guard, webhook, &delivery).await;
            return delivery;
        }
        drop(guard); // reports that the receiver is slow
        let move_to_slow_lane = async {
            if webhook.health.lane == Lane::Fast && state.mark_moved(key) {
                let moved = self.health.move_to_slow_lane(webhook).await;
                self.meter.count(Metric::LaneMovesToSlow, label(Some(state.lane)), moved.into());
            }
        };
        futures::join!(sending, move_to_slow_lane).0
    }

    /// Reports the result of a probe to the deliveries that wait for it, and records that a receiver is fast.
    async fn report_probe(&self, guard: Option<ProbeGuard<'_>>, webhook: &Webhook, delivery: &Delivery) {
        let Some(guard) = guard else { return };
        let fast = delivery.failure.is_none();
        guard.report(fast);
        if fast {
            self.health.mark_fast(webhook, Pace::default()).await;
        }
    }
}

/// Returns the key of a task's webhook.
fn key(task: &DeliveryTask) -> WebhookKey {
    (task.tenant_id.clone(), task.webhook_id)
}

/// Returns the metric label of attempts that waited in `lane`, or of direct attempts.
fn label(lane: Option<Lane>) -> Label {
    Label::Lane(lane.map_or("direct", Lane::name))
}
