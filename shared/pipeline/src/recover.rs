//! Runs recoveries: sends events again whose deliveries failed permanently since a given time.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

#[cfg(doc)]
use anzol_domain::recovery::STALLED_AFTER;
use anzol_domain::recovery::{RecoveryStatus, RecoveryTask};
use anzol_domain::{
    Clock, Delivery, DeliveryId, DeliveryTask, Event, Lane, Recovery, RecoveryId, Status, TenantId, Trigger,
    Webhook, WebhookId,
};
use anzol_queue::{DeliveryQueues, OutgoingDelivery, QueueError, SendError};
use anzol_signing as signing;
use anzol_store::{Claim, Deliveries, Handled, StoreError};
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use time::OffsetDateTime;

use crate::attempt::{Deadline, WebhooksByKey};
use crate::sent_payload::SentPayload;

/// Maximum number of failures read in one step. A request runs the first step, so a step must be fast.
pub const PAGE: usize = 100;
/// Maximum number of concurrent reads and writes.
const CONCURRENCY: usize = 16;
/// How late an attempt can be before it counts as lost. A busy slow lane delays attempts by minutes.
const OVERDUE: time::Duration = time::Duration::HOUR;
/// Maximum number of attempts that are followed from one to the next: more than any retry schedule has.
const MAX_ATTEMPTS: usize = 32;
/// Maximum number of messages in a call to the queue (the limit of SQS), and maximum size of their events in bytes (well below the limit of
/// SQS).
const BATCH: usize = 10;
const BATCH_BYTES: usize = 128 * 1024;
/// Delay of the first message, so that the caller can run the first step before the sender does.
const HEAD_START: Duration = Duration::from_secs(5);

/// Why a recovery step failed. Running it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The history could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not all deliveries could be queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// This recovery of the webhook is still running.
    #[error("recovery {} of the webhook is still running", .0.id)]
    Running(Box<Recovery>),
    /// The message of the next step could not be queued.
    #[error("the next step was not queued: {0}")]
    NextStep(SendError),
}

/// A recovery step to run, with the id of its message.
#[derive(Debug)]
pub struct RecoveryStep {
    /// Identifies the message if it must be received again.
    pub message_id: String,
    /// The recovery.
    pub task: RecoveryTask,
}

/// Runs recoveries, step by step.
///
/// A recovery goes from the oldest failure to the newest, [`PAGE`] failures per step, and an event has the place of its first failure.
/// Events are therefore queued in the order in which they first failed, so that receivers that keep the last write end with the newest
/// state. Only the order of queuing is defined: standard queues preserve the order only roughly, several senders receive ten messages each
/// and send them concurrently, and delays of whole seconds would slow down a recovery without a stronger guarantee. Receivers that depend
/// on order must compare the event's `time`.
///
/// A step reads failures, claims their events, queues them, records its progress, and queues the next step. If it is interrupted, its message
/// is still on its queue and the step runs again: it claims the same events under the same delivery ids, which the sender does not send twice.
///
/// Only one recovery of a webhook runs at a time. One without a step for [`STALLED_AFTER`] no longer blocks another; if it continues after all,
/// both run, and each queues an event at most once.
///
/// Limits: a message that is received twice at the same moment is sent twice, with the same `webhook-id`. A failure that is recorded after
/// its page was read (its message waited long, or the index lagged) is left to the next recovery. A step in the dead-letter queue keeps the
/// events that it claimed until it is redriven.
#[derive(Debug, Clone)]
pub struct Recoverer {
    deliveries: Deliveries,
    queues: DeliveryQueues,
    clock: Clock,
}

impl Recoverer {
    /// Returns a recoverer that reads and writes `deliveries` and queues on the slow lane of `queues`, where it delays no other webhook.
    #[must_use]
    pub fn new(deliveries: Deliveries, queues: DeliveryQueues, clock: Clock) -> Self {
        Self { deliveries, queues, clock }
    }

    /// Starts to recover a webhook's deliveries since a given time, and runs the first step. Returns the progress.
    ///
    /// # Errors
    /// [`RecoverError::Running`] while another recovery of the webhook runs.
    pub async fn start(&self, webhook: &Webhook, since: OffsetDateTime) -> Result<Recovery, RecoverError> {
        let now = (self.clock)();
        let started = Recovery::new(webhook.tenant_id.clone(), webhook.id, since, now);
        if let Some(running) = self.deliveries.start_recovery(&started, now).await? {
            return Err(RecoverError::Running(Box::new(running)));
        }
        // Queued before the first step, so that the sender continues the recovery even if this process stops.
        if let Err(error) = self.queues.send_recovery(&started.task(), HEAD_START).await {
            let stopped = started.clone().finished(RecoveryStatus::Stopped, now);
            self.deliveries.advance_recovery(&started, &stopped).await?;
            return Err(RecoverError::NextStep(error));
        }
        match self.step(&started, webhook).await {
            Ok(recovery) => Ok(recovery),
            Err(error) => {
                tracing::warn!(%error, recovery.id = %started.id, "the first step of a recovery is left to the sender");
                let read = self.get(&started.tenant_id, started.webhook_id, started.id).await;
                Ok(read.ok().flatten().unwrap_or(started))
            }
        }
    }

    /// Runs the next step of a recovery, and queues the one after it. `webhook` is the current webhook, or `None` if it is deleted.
    pub async fn resume(&self, task: &RecoveryTask, webhook: Option<&Webhook>) -> Result<(), RecoverError> {
        let Some(webhook) = webhook else { return Ok(()) };
        let RecoveryTask { tenant_id, webhook_id, recovery_id } = task;
        let recovery = self.get(tenant_id, *webhook_id, *recovery_id).await?;
        let Some(recovery) = recovery.filter(|recovery| recovery.status == RecoveryStatus::Running) else {
            return Ok(());
        };
        let status = match self.step(&recovery, webhook).await {
            Ok(recovery) => recovery.status,
            // The same message was received twice, and the other receiver ran this step. Either may be stopped, so both queue the next one.
            Err(RecoverError::Store(StoreError::Changed)) => RecoveryStatus::Running,
            Err(error) => return Err(error),
        };
        if status == RecoveryStatus::Running {
            self.queues.send_recovery(task, Duration::ZERO).await.map_err(RecoverError::NextStep)?;
        }
        Ok(())
    }

    /// Runs recovery steps one after the other, as far as `deadline` allows. Returns the ids of the messages that must be received again.
    pub async fn resume_all(
        &self,
        steps: Vec<RecoveryStep>,
        webhooks: &WebhooksByKey,
        deadline: Deadline,
    ) -> BTreeSet<String> {
        let mut to_retry = BTreeSet::new();
        for RecoveryStep { message_id, task } in steps {
            if !deadline.allows_step() {
                to_retry.insert(message_id);
                continue;
            }
            let webhook = webhooks.get(&(task.tenant_id.clone(), task.webhook_id));
            let step = Box::pin(self.resume(&task, webhook));
            let problem = match AssertUnwindSafe(step).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            tracing::error!(problem, recovery.id = %task.recovery_id, "a recovery step failed");
            to_retry.insert(message_id);
        }
        to_retry
    }

    /// Returns a recovery of a webhook, with its progress.
    pub async fn get(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        id: RecoveryId,
    ) -> Result<Option<Recovery>, StoreError> {
        self.deliveries.recovery(tenant, webhook, id, (self.clock)()).await
    }

    async fn step(&self, recovery: &Recovery, webhook: &Webhook) -> Result<Recovery, RecoverError> {
        let page = self.deliveries.failures(recovery, PAGE, (self.clock)()).await?;
        let Weighed { found, outgoing } = self.weigh_all(recovery, page.rows).await?;
        let requeued = self.requeue(recovery, outgoing).await?;
        let mut next = Recovery {
            newer_than: page.next.or(recovery.newer_than),
            stepped_at: Some((self.clock)()),
            found: recovery.found + found,
            requeued: recovery.requeued + requeued,
            skipped: recovery.skipped + found - requeued,
            ..recovery.clone()
        };
        if page.next.is_none() {
            next = next.finished(RecoveryStatus::Done, (self.clock)());
        } else if !webhook.spec.enabled {
            // Stops only after the step: if an earlier run of this step was interrupted, no other step would send the events that it
            // claimed.
            next = next.finished(RecoveryStatus::Stopped, (self.clock)());
        }
        self.deliveries.advance_recovery(recovery, &next).await?;
        Ok(next)
    }

    /// Counts the final failures of a page, and claims the events that must be sent again.
    async fn weigh_all(&self, recovery: &Recovery, rows: Vec<Delivery>) -> Result<Weighed, StoreError> {
        // The failures of one event are examined in sequence, different events concurrently.
        let (mut events, mut others) = (HashMap::<String, Vec<Candidate>>::new(), Vec::new());
        for row in rows {
            match self.candidate(&row) {
                Some((message_id, event)) => {
                    events.entry(message_id).or_default().push(Candidate { row, event });
                }
                None => others.push(row),
            }
        }
        let ids = events.keys().map(String::as_str);
        let mut known = self.deliveries.handled_events(recovery, ids).await?;
        let weighed = futures::stream::iter(events).map(|(message_id, rows)| {
            let handled = known.remove(&message_id);
            async move { self.weigh(recovery, &message_id, rows, handled).await }
        });
        let mut sum = Weighed::default();
        for one in weighed.buffer_unordered(CONCURRENCY).try_collect::<Vec<_>>().await? {
            sum.found += one.found;
            sum.outgoing.extend(one.outgoing);
        }
        let ended = futures::stream::iter(others).map(|row| async move { self.has_ended(&row).await });
        let ended: Vec<_> = ended.buffered(CONCURRENCY).try_collect().await?;
        sum.found += count(ended.into_iter().filter(|ended| *ended).count());
        Ok(sum)
    }

    /// Queues events in order. Returns the number of queued events.
    async fn requeue(
        &self,
        recovery: &Recovery,
        mut outgoing: Vec<RequeuedEvent>,
    ) -> Result<u32, RecoverError> {
        let mut requeued = count(outgoing.len());
        // Failures of the same millisecond, such as those of one request, are in the order of the times of their events.
        outgoing.sort_by_key(|outgoing| (outgoing.place.time(), outgoing.happened_at, outgoing.place));
        let deliveries = outgoing.into_iter().map(|outgoing| outgoing.delivery).collect();
        for batch in in_order(deliveries) {
            match self.queues.send(batch).await {
                // Permanently refused deliveries are skipped, because running the step again would not help and would block all others.
                Err(error) if error.unsent.is_empty() => {
                    tracing::error!(%error, recovery.id = %recovery.id, "the queue refused deliveries permanently");
                    requeued -= count(error.refused.len());
                }
                queued => queued?,
            }
        }
        Ok(requeued)
    }

    /// Examines the failures of one event, oldest first: claims the event if it must be sent again, and counts its final failures.
    /// `handled` is the event's record of an earlier step, recovery or resend.
    ///
    /// After the claim, the event has its place, and further failures are only counted. A step that runs again reads the place that it
    /// chose before.
    async fn weigh(
        &self,
        recovery: &Recovery,
        message_id: &str,
        rows: Vec<Candidate>,
        handled: Option<Handled>,
    ) -> Result<Weighed, StoreError> {
        let (mut claimed, mut resent, mut arrived) = (None, None, None);
        match handled {
            // Claimed on another page, or by an earlier run of this step.
            Some(own) if own.recovery_id == Some(recovery.id) => {
                let failed = own.handled_delivery;
                claimed = Some(Claimed { place: own.claimed_for.unwrap_or(failed), failed });
            }
            Some(other) if other.recovery_id.is_some() => resent = other.sent_as,
            by_hand => arrived = by_hand.map(|by_hand| by_hand.handled_delivery),
        }
        let mut sum = Weighed::default();
        for Candidate { row, event } in rows {
            // A retry after the successful delivery belongs to a failure before it.
            let arrived = arrived.is_some_and(|arrived| row.id < arrived || row.trigger == Trigger::Retry);
            if claimed.is_none() && !arrived {
                let last = match resent.filter(|resent| *resent > row.id) {
                    // The event was sent again for this failure, so the outcome of that delivery counts.
                    Some(resent) => self.end_after(recovery, resent).await?,
                    None => self.end_of(&row).await?,
                };
                // Only failures before the start of the recovery count, so that neither of two concurrent recoveries claims an event that
                // it already sent.
                if let Some(failed) = last.filter(|failed| *failed < recovery.end()) {
                    let sent_as = sent_as(recovery, failed);
                    let claim = Claim { message_id, place: row.id, failed, sent_as };
                    let is_free = self.deliveries.claim_event(recovery, claim).await?;
                    claimed = is_free.then_some(Claimed { place: row.id, failed });
                }
            }
            // The last attempt is counted at the event's place; every other final failure is counted separately.
            if claimed.is_none_or(|claimed| claimed.failed != row.id) && self.has_ended(&row).await? {
                sum.found += 1;
            }
            if let Some(Claimed { place, failed }) = claimed.filter(|claimed| claimed.place == row.id) {
                let happened_at = event.happened_at();
                sum.found += 1;
                let delivery = first_attempt(recovery, sent_as(recovery, failed), event);
                sum.outgoing.push(RequeuedEvent { place, happened_at, delivery });
            }
        }
        Ok(sum)
    }

    /// Returns whether no further attempt follows a failed one, because none is planned or its message is lost, for example in the
    /// dead-letter queue.
    async fn has_ended(&self, failed: &Delivery) -> Result<bool, StoreError> {
        let Some(next) = failed.next_attempt else { return Ok(true) };
        let overdue = (self.clock)() - next.at > OVERDUE;
        Ok(overdue && !self.deliveries.has(&failed.tenant_id, failed.webhook_id, next.id).await?)
    }

    /// Returns the last attempt of the chain that starts with a failed one. Returns `None` if more attempts can follow or one succeeded.
    async fn end_of(&self, failed: &Delivery) -> Result<Option<DeliveryId>, StoreError> {
        let (tenant, webhook, now) = (&failed.tenant_id, failed.webhook_id, (self.clock)());
        let (mut last, mut next) = (failed.id, failed.next_attempt);
        for _ in 0..MAX_ATTEMPTS {
            let Some(attempt) = next else { return Ok(Some(last)) };
            if attempt.at > now {
                return Ok(None);
            }
            match self.deliveries.get(tenant, webhook, attempt.id, now).await? {
                None => return Ok((now - attempt.at > OVERDUE).then_some(last)),
                Some(made) if made.status == Status::Success => return Ok(None),
                Some(made) => (last, next) = (made.id, made.next_attempt),
            }
        }
        Ok(None)
    }

    /// Returns the last attempt of the chain that starts with `first`, which may not have been attempted yet. See [`Self::end_of`].
    async fn end_after(
        &self,
        recovery: &Recovery,
        first: DeliveryId,
    ) -> Result<Option<DeliveryId>, StoreError> {
        let (tenant, webhook) = (&recovery.tenant_id, recovery.webhook_id);
        match self.deliveries.get(tenant, webhook, first, (self.clock)()).await? {
            Some(made) if made.status == Status::Fail => self.end_of(&made).await,
            _ => Ok(None),
        }
    }

    /// Returns the event of a failed delivery with its message id; `None` for test events.
    fn candidate(&self, row: &Delivery) -> Option<(String, Event)> {
        let event = SentPayload::of(row).event((self.clock)()).filter(|event| !event.is_test())?;
        Some((signing::message_id(&row.tenant_id, row.webhook_id, &event), event))
    }
}

/// A failed delivery and its event.
struct Candidate {
    row: Delivery,
    event: Event,
}

/// The result of examining failures.
#[derive(Default)]
struct Weighed {
    /// Number of final failures.
    found: u32,
    /// The events that are sent again.
    outgoing: Vec<RequeuedEvent>,
}

/// An event that is sent again.
struct RequeuedEvent {
    /// The failed delivery whose place the event has.
    place: DeliveryId,
    /// When the event happened.
    happened_at: Option<OffsetDateTime>,
    delivery: OutgoingDelivery,
}

/// An event that this recovery has claimed.
#[derive(Clone, Copy)]
struct Claimed {
    /// The failed delivery whose place the event has.
    place: DeliveryId,
    /// The last attempt that followed `place`.
    failed: DeliveryId,
}

/// Returns the id of the delivery that sends an event again. Deterministic for a recovery and a failure.
fn sent_as(recovery: &Recovery, failed: DeliveryId) -> DeliveryId {
    failed.following("recover", recovery.until)
}

/// Returns a first attempt for an event, due when the recovery started.
fn first_attempt(recovery: &Recovery, delivery_id: DeliveryId, event: Event) -> OutgoingDelivery {
    let task = DeliveryTask {
        tenant_id: recovery.tenant_id.clone(),
        webhook_id: recovery.webhook_id,
        delivery_id,
        attempt: 1,
        trigger: Trigger::Recover,
        accepted_at: None, // the latency would include the outage
        trace: None,
        event,
    };
    OutgoingDelivery { task, lane: Lane::Slow, delay: Duration::ZERO }
}

/// Splits deliveries into batches of one call each. The calls are made one after the other, so that none overtakes another.
fn in_order(outgoing: Vec<OutgoingDelivery>) -> Vec<Vec<OutgoingDelivery>> {
    let mut batches = Vec::<Vec<OutgoingDelivery>>::new();
    let mut bytes = 0;
    for delivery in outgoing {
        let size = delivery.task.event.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(delivery);
            }
            _ => {
                bytes = size;
                batches.push(vec![delivery]);
            }
        }
    }
    batches
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
