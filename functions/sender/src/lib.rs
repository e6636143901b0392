#![doc = include_str!("../README.md")]

mod burst;
mod config;
mod deadline;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::stream::StreamExt as _;

use anzol_domain::health::{BURST_SLOW_AFTER, Pace, SLOW_AFTER};
use anzol_domain::recovery::RecoveryTask;
use anzol_domain::{Delivery, DeliveryTask, FailureKind, Lane, TenantId, Trigger, Webhook, WebhookId};
use anzol_pipeline::{Attempt, Changes, Deliverer, HealthTracker, Recoverer, Settled, Settler, Verdict};
use anzol_queue::{Queue, QueueMessage, Unreadable};
use anzol_runtime::metrics::{self, Label, Metric};
use anzol_store::{StoreError, Webhooks};
use anzol_vault::{Opened, Vault};
use time::OffsetDateTime;

use burst::Burst;

pub use config::Config;
pub use deadline::deadline;

/// POSTs under way at the same time, whatever hosts they go to: a whole batch as the template has it. A bound of its own for each host
/// would have to be lower to mean anything, and would make a burst for a healthy receiver slow; who is not healthy has the slow lane.
const CONCURRENCY: usize = 10;

/// Time kept for writing down what happened. A POST that could run into it is not begun.
const SETTLE_RESERVE: Duration = Duration::from_secs(5);

/// Time kept for answering, when all else is done.
const RESPONSE_MARGIN: Duration = Duration::from_secs(1);

/// Time kept for a step of a recovery: a read, some hundred small writes, and ten calls to a queue.
const STEP_RESERVE: Duration = Duration::from_secs(10);

/// Webhooks by tenant and id: an id alone would let a message that names another tenant find its neighbour's webhook.
type Found = BTreeMap<(TenantId, WebhookId), Webhook>;
/// Those of them that can be sent for.
type Open<'a> = BTreeMap<(TenantId, WebhookId), Opened<'a>>;
type Bursts = BTreeMap<(TenantId, WebhookId), Burst>;

fn key(task: &DeliveryTask) -> (TenantId, WebhookId) {
    (task.tenant_id.clone(), task.webhook_id)
}

fn lane(from_slow_lane: bool) -> Lane {
    if from_slow_lane { Lane::Slow } else { Lane::Fast }
}

fn label(from_slow_lane: bool) -> Label {
    Label::Lane(lane(from_slow_lane).name())
}

/// What the sender works with.
#[derive(Debug)]
pub struct Sender {
    /// The webhooks table.
    pub webhooks: Webhooks,
    /// Opens what is secret of them.
    pub vault: Vault,
    /// The way out.
    pub deliverer: Deliverer,
    /// History and retries.
    pub settler: Settler,
    /// The next steps of recoveries.
    pub recoverer: Recoverer,
    /// Lanes, warnings, and webhooks that no longer work.
    pub health: HealthTracker,
    /// Where messages go that nobody can read.
    pub dlq: Queue,
    /// ARN of the slow lane: what comes from there is in the right place.
    pub slow_lane_arn: String,
}

/// A message that can be worked on, by its id.
enum Job {
    Delivery(Box<DeliveryJob>),
    Step(String, RecoveryTask),
}

impl Job {
    fn webhook(&self) -> (TenantId, WebhookId) {
        match self {
            Self::Delivery(received) => key(&received.task),
            Self::Step(_, RecoveryTask { tenant_id, webhook_id, .. }) => (tenant_id.clone(), *webhook_id),
        }
    }

    fn into_message_id(self) -> String {
        match self {
            Self::Delivery(received) => received.message_id,
            Self::Step(message_id, _) => message_id,
        }
    }
}

/// A delivery to be made.
#[derive(Debug)]
struct DeliveryJob {
    message_id: String,
    task: DeliveryTask,
    from_slow_lane: bool,
}

/// What became of a task.
enum Outcome {
    /// An attempt was made, or would have been, had the webhook not been disabled; and when it was over.
    Attempted(Box<Delivery>, OffsetDateTime),
    /// It belongs in the other lane.
    WrongLane,
    /// What is secret of its webhook cannot be opened for now; without that nothing goes out.
    SecretsUnavailable,
    /// It is one of many, and whether its receiver is quick is being found out elsewhere.
    Deferred,
    /// Its webhook is deleted: nobody can see its history any more, so there is nothing to record this in.
    Deleted,
    /// It was worked off before.
    Settled,
    /// Nothing, for now: it has to come back.
    Retry,
}

impl Sender {
    /// Works off a batch, to be done by `deadline`. A message that cannot be settled comes back alone; the others are done.
    pub async fn handle(&self, batch: SqsEvent, deadline: SystemTime) -> SqsBatchResponse {
        let mut failed = BTreeSet::new();
        let messages = batch.records.len();
        let mut received = Vec::with_capacity(messages);
        for message in batch.records {
            match self.parse(message).await {
                Ok(message) => received.extend(message),
                Err(message_id) => drop(failed.insert(message_id)),
            }
        }
        match self.webhooks_of(&received).await {
            Err(error) => {
                tracing::error!(%error, "the webhooks of a batch cannot be read");
                failed.extend(received.into_iter().map(Job::into_message_id));
            }
            Ok((webhooks, unreadable)) => {
                let (mut deliveries, mut steps) = (Vec::new(), Vec::new());
                for work in received {
                    match work {
                        work if unreadable.contains(&work.webhook()) => {
                            failed.insert(work.into_message_id());
                        }
                        Job::Delivery(received) => deliveries.push(*received),
                        Job::Step(message_id, task) => steps.push((message_id, task)),
                    }
                }
                let recovering = steps.iter().map(|(_, task)| (task.tenant_id.clone(), task.webhook_id));
                let recovering = recovering.filter_map(|key| webhooks.get_key_value(&key));
                let recovering = recovering.map(|(key, webhook)| (key.clone(), webhook.clone())).collect();
                let steps = self.run_recovery_steps(steps, recovering, deadline);
                let (unsettled, unmade) =
                    futures::join!(self.process_batch(deliveries, webhooks, deadline), steps);
                failed.extend(unsettled.into_iter().chain(unmade));
            }
        }
        metrics::flush();
        tracing::debug!(messages, come_back = failed.len(), "worked off");
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed);
        response
    }

    /// Reads a message; `None` when nobody ever will, and it is with the dead letters.
    async fn parse(&self, message: SqsMessage) -> Result<Option<Job>, String> {
        let message_id = message.message_id.unwrap_or_default();
        let body = message.body.unwrap_or_default();
        match anzol_queue::decode(&body) {
            Ok(QueueMessage::Delivery(task)) => {
                let from_slow_lane = message.event_source_arn.as_deref() == Some(&self.slow_lane_arn);
                if let Some(sent_at) = anzol_queue::sent_at(&message.attributes) {
                    // A retry lies in its queue from before it is due; that is no waiting for us.
                    let due = sent_at.max(task.delivery_id.time());
                    let waited = Duration::try_from(anzol_runtime::now() - due).unwrap_or_default();
                    metrics::time(Metric::QueueAge, label(from_slow_lane), waited);
                }
                let received = DeliveryJob { message_id, task: *task, from_slow_lane };
                Ok(Some(Job::Delivery(Box::new(received))))
            }
            Ok(QueueMessage::Recovery(task)) => Ok(Some(Job::Step(message_id, task))),
            Err(error @ Unreadable::Version(_)) => {
                tracing::warn!(message_id, %error, "a delivery message is not for this release");
                Err(message_id)
            }
            Err(error @ Unreadable::Malformed(_)) => {
                tracing::error!(message_id, %error, "a delivery message cannot be read");
                match self.dlq.send_to_dlq(&body, &error.to_string()).await {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        tracing::error!(message_id, error, "it cannot be put with the dead letters either");
                        Err(message_id)
                    }
                }
            }
        }
    }

    /// The webhooks of a batch, and those that are there but cannot be read, whose messages have to wait for somebody to mend them.
    async fn webhooks_of(
        &self,
        received: &[Job],
    ) -> Result<(Found, BTreeSet<(TenantId, WebhookId)>), StoreError> {
        let ids: BTreeSet<_> = received.iter().map(Job::webhook).collect();
        let (mut found, mut unreadable) = (Found::new(), BTreeSet::new());
        for (key, webhook) in self.webhooks.get_many(&ids).await? {
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

    /// Carries recoveries on, a step each; answers the messages that have to come back.
    async fn run_recovery_steps(
        &self,
        steps: Vec<(String, RecoveryTask)>,
        webhooks: Found,
        deadline: SystemTime,
    ) -> BTreeSet<String> {
        let latest_start = deadline.checked_sub(STEP_RESERVE);
        let mut to_retry = BTreeSet::new();
        for (message_id, task) in steps {
            if latest_start.is_none_or(|latest| SystemTime::now() > latest) {
                to_retry.insert(message_id);
                continue;
            }
            let webhook = webhooks.get(&(task.tenant_id.clone(), task.webhook_id));
            let step = Box::pin(self.recoverer.resume(&task, webhook));
            let problem = match AssertUnwindSafe(step).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            tracing::error!(problem, recovery.id = %task.recovery_id, "a step of a recovery was not made");
            to_retry.insert(message_id);
        }
        to_retry
    }

    /// Sends, records, moves; answers the messages that have to come back.
    async fn process_batch(
        &self,
        received: Vec<DeliveryJob>,
        webhooks: Found,
        deadline: SystemTime,
    ) -> BTreeSet<String> {
        let latest_start = deadline.checked_sub(self.deliverer.timeout() + SETTLE_RESERVE);
        let moved = tokio::sync::Mutex::new(BTreeSet::new());
        let (bursts, opened) =
            futures::join!(burst::find(&received, &webhooks, &self.health), self.open(&received, &webhooks));
        let outcomes: Vec<(DeliveryJob, Outcome)> = futures::stream::iter(received)
            .map(|message| async {
                let in_time = latest_start.is_some_and(|latest| SystemTime::now() <= latest);
                // What goes wrong with one message is its own affair.
                let outcome = if in_time {
                    let work = self.process_delivery(&message, &webhooks, &opened, &bursts, &moved);
                    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
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
            .await;

        let mut to_retry = BTreeSet::new();
        let (mut attempted, mut misplaced, mut deferred, mut secrets_unavailable) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut message_ids = BTreeMap::<_, Vec<_>>::new();
        let mut verdicts = BTreeMap::<_, Verdict>::new();
        let from_slow_lane = outcomes.first().is_some_and(|(received, _)| received.from_slow_lane); // a batch is of process_delivery queue
        let label = label(from_slow_lane);
        for (DeliveryJob { message_id, task, .. }, outcome) in outcomes {
            match outcome {
                Outcome::Retry => {
                    to_retry.insert(message_id);
                }
                Outcome::Deleted => {
                    metrics::count(Metric::DeliveriesSkipped, label, 1);
                    tracing::info!(tenant.id = %task.tenant_id, webhook.id = %task.webhook_id, delivery.id = %task.delivery_id, "dropped: the webhook is deleted");
                }
                Outcome::Settled => {
                    metrics::count(Metric::DeliveriesSkipped, label, 1);
                    tracing::info!(tenant.id = %task.tenant_id, webhook.id = %task.webhook_id, delivery.id = %task.delivery_id, "dropped: it was sent before");
                }
                Outcome::WrongLane => {
                    message_ids.entry(task.delivery_id).or_default().push(message_id);
                    misplaced.push(task);
                }
                Outcome::Deferred => {
                    message_ids.entry(task.delivery_id).or_default().push(message_id);
                    deferred.push(task);
                }
                Outcome::SecretsUnavailable => {
                    message_ids.entry(task.delivery_id).or_default().push(message_id);
                    secrets_unavailable.push(task);
                }
                Outcome::Attempted(delivery, ended_at) => {
                    message_ids.entry(task.delivery_id).or_default().push(message_id);
                    let lane = Some(lane(from_slow_lane));
                    let attempt = Attempt { task, delivery: *delivery, lane, ended_at };
                    measure(&attempt, label);
                    let Attempt { task, delivery, .. } = &attempt;
                    if delivery.failure != Some(FailureKind::Disabled) {
                        verdicts.entry(key(task)).or_default().count(delivery);
                    }
                    attempted.push(attempt);
                }
            }
        }
        drop(opened);
        let (Settled { unsettled, retries }, unmoved, unheld, unpostponed) = futures::join!(
            self.settler.settle(attempted),
            self.settler.move_to_slow(misplaced),
            self.settler.defer(deferred),
            self.settler.defer_sealed(secrets_unavailable),
        );
        metrics::count(Metric::RetriesQueued, label, retries);
        let unsettled = unsettled.iter().chain(&unmoved).chain(&unheld).chain(&unpostponed);
        to_retry.extend(unsettled.filter_map(|id| message_ids.remove(id)).flatten());

        let changes = self.record(verdicts, webhooks, moved.into_inner(), &bursts, deadline).await;
        count_changes(changes, label);
        to_retry
    }

    /// Records what the attempts say of their receivers. After the history: who reads why a webhook was disabled finds the deliveries that
    /// led to it. All at once, and not beyond what time is left: what was sent and recorded must not come back for the sake of a counter.
    async fn record(
        &self,
        verdicts: BTreeMap<(TenantId, WebhookId), Verdict>,
        mut webhooks: Found,
        moved: BTreeSet<(TenantId, WebhookId)>,
        bursts: &Bursts,
        deadline: SystemTime,
    ) -> Changes {
        for key in &moved {
            if let Some(webhook) = webhooks.get_mut(key) {
                webhook.health.lane = Lane::Slow;
            }
        }
        let records = verdicts.into_iter().filter_map(|(key, mut verdict)| {
            let webhook = webhooks.get(&key)?;
            verdict.tally.slow |= moved.contains(&key); // a burst is judged by a stricter measure than the tally's
            // A probe has been noted already, as soon as it was over.
            let confirmed = match bursts.get(&key) {
                Some(Burst::Go(pace)) if !verdict.tally.slow => Some(*pace),
                _ => None,
            };
            Some(async move {
                let changes = self.health.record(webhook, verdict).await;
                if let Some(pace) = confirmed {
                    self.health.mark_fast(webhook, pace).await;
                }
                changes
            })
        });
        let left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(RESPONSE_MARGIN);
        let mut changes = Changes::default();
        if let Ok(all) = tokio::time::timeout(left, futures::future::join_all(records)).await {
            for process_delivery in all {
                changes += process_delivery;
            }
        } else {
            tracing::error!("not all of a batch's health was recorded in time");
        }
        changes
    }

    /// Opens what is secret of the webhooks that something is sent to, each once. What cannot be opened is not among the answers.
    async fn open<'a>(&self, received: &[DeliveryJob], webhooks: &'a Found) -> Open<'a> {
        let keys: BTreeSet<_> = received.iter().map(|message| key(&message.task)).collect();
        let enabled = keys.into_iter().filter_map(|key| {
            let webhook = webhooks.get(&key)?;
            webhook.spec.enabled.then_some((key, webhook))
        });
        let opening = enabled.map(|(key, webhook)| async move {
            let opened = self.vault.open(webhook).await;
            let log = |error| tracing::error!(%error, webhook.id = %webhook.id, "its secrets cannot be opened: its deliveries wait");
            Some((key, opened.map_err(log).ok()?))
        });
        futures::future::join_all(opening).await.into_iter().flatten().collect()
    }

    async fn process_delivery(
        &self,
        message: &DeliveryJob,
        webhooks: &Found,
        opened: &Open<'_>,
        bursts: &Bursts,
        moved: &tokio::sync::Mutex<BTreeSet<(TenantId, WebhookId)>>,
    ) -> Outcome {
        let task = &message.task;
        let Some(webhook) = webhooks.get(&key(task)) else { return Outcome::Deleted };
        // A step of a recovery that is made twice queues its deliveries twice.
        if task.trigger == Trigger::Recover {
            match self.settler.has_settled(task).await {
                Ok(false) => {}
                Ok(true) => return Outcome::Settled,
                Err(error) => {
                    tracing::error!(%error, delivery.id = %task.delivery_id, "cannot tell whether it was sent before");
                    return Outcome::Retry;
                }
            }
        }
        if !webhook.spec.enabled {
            let skipped = self.deliverer.skip_disabled(webhook, task);
            return Outcome::Attempted(Box::new(skipped), anzol_runtime::now());
        }
        if webhook.health.lane == Lane::Slow && !message.from_slow_lane {
            return Outcome::WrongLane;
        }
        let Some(opened) = opened.get(&key(task)) else { return Outcome::SecretsUnavailable };
        let burst = if message.from_slow_lane { None } else { bursts.get(&key(task)) };
        let guard = match burst {
            Some(Burst::Wait) => return Outcome::Deferred,
            Some(Burst::Probe(probe)) => {
                let guard = probe.try_acquire();
                if guard.is_none() && !probe.is_fast().await {
                    return Outcome::WrongLane;
                }
                guard
            }
            Some(Burst::Go(_)) | None => None,
        };
        let mut attempt = std::pin::pin!(self.deliverer.deliver(opened, task));
        let patience = if burst.is_some() { BURST_SLOW_AFTER } else { SLOW_AFTER };
        let delivery = if let Ok(delivery) = tokio::time::timeout(patience, &mut attempt).await {
            if let Some(guard) = guard {
                guard.report(delivery.failure.is_none());
                if delivery.failure.is_none() {
                    self.health.mark_fast(webhook, Pace::default()).await;
                }
            }
            delivery
        } else {
            if let Some(guard) = guard {
                guard.report(false);
            }
            // It is slow, however it ends. Saying so now lets the messages behind this one get out of the others' way.
            let move_to_slow_lane = async {
                if webhook.health.lane == Lane::Fast && moved.lock().await.insert(key(task)) {
                    let moved = self.health.move_to_slow_lane(webhook).await;
                    metrics::count(Metric::LaneMovesToSlow, label(message.from_slow_lane), moved.into());
                }
            };
            futures::join!(attempt, move_to_slow_lane).0
        };
        Outcome::Attempted(Box::new(delivery), anzol_runtime::now())
    }
}

fn count_changes(changes: Changes, label: Label) {
    metrics::count(Metric::LaneMovesToSlow, label, changes.moved_to_slow);
    metrics::count(Metric::LaneMovesToFast, label, changes.moved_to_fast);
    metrics::count(Metric::WebhooksDisabled, label, changes.disabled);
}

/// Counts an attempt and notes its times.
fn measure(attempt: &Attempt, label: Label) {
    let outcome = match attempt.delivery.failure {
        None => Metric::DeliveriesSucceeded,
        Some(FailureKind::Disabled) => Metric::DeliveriesSkipped,
        Some(_) => Metric::DeliveriesFailed,
    };
    metrics::count(outcome, label, 1);
    if outcome != Metric::DeliveriesSkipped {
        let took = Duration::from_millis(attempt.delivery.duration_ms.into());
        metrics::time(Metric::AttemptLatency, label, took);
    }
    if let Some(took) = attempt.end_to_end() {
        metrics::time(Metric::EndToEndLatency, label, took);
    }
}
