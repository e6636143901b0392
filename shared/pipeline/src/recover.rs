//! What failed for good since some time → the same events, queued again.

use std::collections::HashMap;
use std::time::Duration;

#[cfg(doc)]
use anzol_domain::recovery::STALLED_AFTER;
use anzol_domain::recovery::{RecoveryStatus, RecoveryTask};
use anzol_domain::{
    Clock, Delivery, DeliveryId, DeliveryTask, Event, Lane, Recovery, RecoveryId, Status, TenantId, Trigger,
    Webhook, WebhookId,
};
use anzol_queue::{DeliveryQueues, OutgoingDelivery, QueueError};
use anzol_signing as signing;
use anzol_store::{Deliveries, Handled, StoreError, Taking};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use time::OffsetDateTime;

/// Failures looked at in one step. All of a request's share of a recovery, so it has to be done in a moment.
pub const PAGE: usize = 100;
/// Writes under way at the same time.
const CONCURRENCY: usize = 16;
/// How late an attempt may be before it counts as lost. A busy slow lane is late by minutes.
const OVERDUE: time::Duration = time::Duration::HOUR;
/// Most attempts that are followed from one to the next: more than any schedule has.
const MOST_ATTEMPTS: usize = 32;
/// Messages in a call to the queue (SQS takes no more), and bytes of their events, well below what it takes.
const BATCH: usize = 10;
const BATCH_BYTES: usize = 128 * 1024;
/// How long the message that carries a recovery on waits at first: whoever asked makes the first step meanwhile.
const HEAD_START: Duration = Duration::from_secs(5);

/// Why a step of a recovery was not made. Making it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The history could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not all could be queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A recovery of the webhook is under way: this one.
    #[error("recovery {} of the webhook is still running", .0.id)]
    Running(Box<Recovery>),
    /// The message that carries the recovery on could not be queued.
    #[error("the next step was not queued: {0}")]
    NextStep(String),
}

/// Sends again what failed for good.
///
/// A recovery goes from the oldest failure to the newest, [`PAGE`] at a step, and an event has the place of the first of its failures: so events
/// are queued in the order in which they first failed, and receivers that keep the last write end with the newest state. That is the order of
/// queuing, no more: standard queues hand out messages in about the order they came in, several senders take ten each and send them at once,
/// and delays of whole seconds would slow a recovery down without promising more. Receivers to whom it matters compare the event's `time`.
///
/// Each step is: look, take the events that are free,
/// queue them, write how far it has come, queue the next step. Whatever breaks off in between, the message of the step is still on its
/// queue, and the step is made over: what it takes, it gets again, under the same delivery ids, which the sender does not send twice.
///
/// One recovery of a webhook runs at a time. One that has not made a step for [`STALLED_AFTER`] stands in nobody's way any more; should it go on
/// after all, they run side by side, and each queues an event at most once.
///
/// What remains: a message received twice at the very same moment is sent twice, under one `webhook-id`. A failure that is written
/// after its turn came (its message waited long, or the index lagged) is left to the next recovery. A step that ends among the dead
/// letters keeps what it took until it is put back on its queue.
#[derive(Debug, Clone)]
pub struct Recoverer {
    deliveries: Deliveries,
    queues: DeliveryQueues,
    clock: Clock,
}

impl Recoverer {
    /// A recoverer that reads and writes `deliveries` and queues on the slow lane of `queues`, where nobody waits for it.
    #[must_use]
    pub fn new(deliveries: Deliveries, queues: DeliveryQueues, clock: Clock) -> Self {
        Self { deliveries, queues, clock }
    }

    /// Begins to recover a webhook's deliveries since then, and makes the first step; answers how far it came.
    ///
    /// # Errors
    /// [`RecoverError::Running`] while another recovery of the webhook is under way.
    pub async fn start(&self, webhook: &Webhook, since: OffsetDateTime) -> Result<Recovery, RecoverError> {
        let now = (self.clock)();
        let begun = Recovery::new(webhook.tenant_id.clone(), webhook.id, since, now);
        if let Some(running) = self.deliveries.start_recovery(&begun, now).await? {
            return Err(RecoverError::Running(Box::new(running)));
        }
        // Before the first step: from then on somebody will carry it on, whatever becomes of us.
        if let Err(error) = self.queues.send_recovery(&begun.task(), HEAD_START).await {
            let stopped = begun.clone().finished(RecoveryStatus::Stopped, now);
            self.deliveries.advance_recovery(&begun, &stopped).await?;
            return Err(RecoverError::NextStep(error));
        }
        match self.step(&begun, webhook).await {
            Ok(recovery) => Ok(recovery),
            Err(error) => {
                tracing::warn!(%error, recovery.id = %begun.id, "the first step of a recovery is left to the sender");
                let read = self.get(&begun.tenant_id, begun.webhook_id, begun.id).await;
                Ok(read.ok().flatten().unwrap_or(begun))
            }
        }
    }

    /// Makes the next step of a recovery, and queues the one after that. `webhook` is as it is now, if it still is.
    pub async fn resume(&self, task: &RecoveryTask, webhook: Option<&Webhook>) -> Result<(), RecoverError> {
        let Some(webhook) = webhook else { return Ok(()) };
        let RecoveryTask { tenant_id, webhook_id, recovery_id } = task;
        let recovery = self.get(tenant_id, *webhook_id, *recovery_id).await?;
        let Some(recovery) = recovery.filter(|recovery| recovery.status == RecoveryStatus::Running) else {
            return Ok(());
        };
        let status = match self.step(&recovery, webhook).await {
            Ok(recovery) => recovery.status,
            // Somebody made the same step, by the same message received twice. Who of us will be the one to carry it on is
            // not known, so both do.
            Err(RecoverError::Store(StoreError::Changed)) => RecoveryStatus::Running,
            Err(error) => return Err(error),
        };
        if status == RecoveryStatus::Running {
            self.queues.send_recovery(task, Duration::ZERO).await.map_err(RecoverError::NextStep)?;
        }
        Ok(())
    }

    /// A recovery of a webhook, and how far it has come.
    pub async fn get(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        id: RecoveryId,
    ) -> Result<Option<Recovery>, StoreError> {
        self.deliveries.recovery(tenant, webhook, id, (self.clock)()).await
    }

    /// Notes that an event arrived by a delivery that somebody asked for, so that no recovery sends it once more because of the failure
    /// before. A note that cannot be written is logged and lost; the receiver may then see the event again.
    pub async fn note_arrival(&self, delivery: &Delivery, event: &Event) {
        let message_id = signing::message_id(&delivery.tenant_id, delivery.webhook_id, event);
        if let Err(error) = self.deliveries.note_arrival(delivery, &message_id).await {
            tracing::warn!(%error, delivery.id = %delivery.id, "could not note that an event arrived");
        }
    }

    async fn step(&self, recovery: &Recovery, webhook: &Webhook) -> Result<Recovery, RecoverError> {
        let page = self.deliveries.failures(recovery, PAGE, (self.clock)()).await?;
        // Failures of one event one after the other, events beside each other.
        let (mut events, mut others) = (HashMap::<String, Vec<Candidate>>::new(), Vec::new());
        for row in page.rows {
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

        let Weighed { found, mut outgoing } = sum;
        let mut requeued = count(outgoing.len());
        // Of the same millisecond, as the events of one request are, by what they say of their time.
        outgoing.sort_by_key(|(place, happened_at, _)| (place.time(), *happened_at, *place));
        let outgoing: Vec<_> = outgoing.into_iter().map(|(_, _, outgoing)| outgoing).collect();
        for batch in in_order(outgoing) {
            match self.queues.send(batch).await {
                // What the queue will never take is skipped: making the step again would not help, and the rest would wait for ever.
                Err(error) if error.unsent.is_empty() => {
                    tracing::error!(%error, recovery.id = %recovery.id, "deliveries were refused by the queue for good");
                    requeued -= count(error.refused.len());
                }
                queued => queued?,
            }
        }

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
            // Only now: this step may have been begun before, and what it took then nobody else would send.
            next = next.finished(RecoveryStatus::Stopped, (self.clock)());
        }
        self.deliveries.advance_recovery(recovery, &next).await?;
        Ok(next)
    }

    /// What becomes of an event that failed, and of these failures of it, oldest first; `handled` is what was known of it before.
    ///
    /// Taken once, it has its place, and every further failure is only counted. Made over, the step reads where that was.
    async fn weigh(
        &self,
        recovery: &Recovery,
        message_id: &str,
        rows: Vec<Candidate>,
        handled: Option<Handled>,
    ) -> Result<Weighed, StoreError> {
        let (mut taken, mut resent, mut arrived) = (None, None, None);
        match handled {
            // By another page, or by this step, made once before.
            Some(own) if own.recovery_id == Some(recovery.id) => {
                let failed = own.handled_delivery;
                taken = Some(Taken { place: own.taken_for.unwrap_or(failed), failed });
            }
            Some(other) if other.recovery_id.is_some() => resent = other.sent_as,
            by_hand => arrived = by_hand.map(|by_hand| by_hand.handled_delivery),
        }
        let mut sum = Weighed::default();
        for Candidate { row, event } in rows {
            // A retry after the arrival follows from a failure before it.
            let arrived = arrived.is_some_and(|arrived| row.id < arrived || row.trigger == Trigger::Retry);
            if taken.is_none() && !arrived {
                let last = match resent.filter(|resent| *resent > row.id) {
                    // It was sent again in this one's place; what counts is how that ended.
                    Some(resent) => self.end_after(recovery, resent).await?,
                    None => self.end_of(&row).await?,
                };
                // Only what failed before it was asked for: so of two that run side by side, none takes an event back that it had already.
                if let Some(failed) = last.filter(|failed| *failed < recovery.end()) {
                    let sent_as = sent_as(recovery, failed);
                    let taking = Taking { message_id, place: row.id, failed, sent_as };
                    let is_free = self.deliveries.take_event(recovery, taking).await?;
                    taken = is_free.then_some(Taken { place: row.id, failed });
                }
            }
            // The last attempt, which it is sent again for, is counted with the place; every other that had failed for good, by itself.
            if taken.is_none_or(|taken| taken.failed != row.id) && self.has_ended(&row).await? {
                sum.found += 1;
            }
            if let Some(Taken { place, failed }) = taken.filter(|taken| taken.place == row.id) {
                let happened_at = event.happened_at();
                sum.found += 1;
                sum.outgoing.push((place, happened_at, again(recovery, sent_as(recovery, failed), event)));
            }
        }
        Ok(sum)
    }

    /// Whether nothing follows from a failed attempt: what is tried again comes by itself, unless its message got lost on the way, among
    /// the dead letters say.
    async fn has_ended(&self, failed: &Delivery) -> Result<bool, StoreError> {
        let Some(next) = failed.next_attempt else { return Ok(true) };
        let overdue = (self.clock)() - next.at > OVERDUE;
        Ok(overdue && !self.deliveries.has(&failed.tenant_id, failed.webhook_id, next.id).await?)
    }

    /// The last of the attempts that followed from a failed one, itself perhaps; nothing while there may be more, or when one of them
    /// arrived.
    async fn end_of(&self, failed: &Delivery) -> Result<Option<DeliveryId>, StoreError> {
        let (tenant, webhook, now) = (&failed.tenant_id, failed.webhook_id, (self.clock)());
        let (mut last, mut next) = (failed.id, failed.next_attempt);
        for _ in 0..MOST_ATTEMPTS {
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

    /// The same of a delivery that may not have been made yet.
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

    /// What a failed delivery sent, unless that was a test.
    fn candidate(&self, row: &Delivery) -> Option<(String, Event)> {
        match Event::from_payload(&row.request.body, (self.clock)()) {
            Ok(event) if event.is_test() => None,
            Ok(event) => Some((signing::message_id(&row.tenant_id, row.webhook_id, &event), event)),
            Err(error) => {
                tracing::error!(%error, webhook.id = %row.webhook_id, delivery.id = %row.id, "a stored payload cannot be read");
                None
            }
        }
    }
}

/// A failed delivery, and the event that may be sent again because of it.
struct Candidate {
    row: Delivery,
    event: Event,
}

/// What failed deliveries come to.
#[derive(Default)]
struct Weighed {
    /// How many had failed for good.
    found: u32,
    /// What is sent again: each with the failed delivery in whose place, and when its event happened.
    outgoing: Vec<(DeliveryId, Option<OffsetDateTime>, OutgoingDelivery)>,
}

/// That this recovery sends an event again.
#[derive(Clone, Copy)]
struct Taken {
    /// In the place of which failed delivery.
    place: DeliveryId,
    /// The last attempt that followed from that, and failed.
    failed: DeliveryId,
}

/// The delivery that an event is sent again as: the same however often it is worked out.
fn sent_as(recovery: &Recovery, failed: DeliveryId) -> DeliveryId {
    failed.following("recover", recovery.until)
}

/// A first attempt, as if the event had happened when the recovery began.
fn again(recovery: &Recovery, delivery_id: DeliveryId, event: Event) -> OutgoingDelivery {
    let task = DeliveryTask {
        tenant_id: recovery.tenant_id.clone(),
        webhook_id: recovery.webhook_id,
        delivery_id,
        attempt: 1,
        trigger: Trigger::Recover,
        accepted_at: None, // long ago: it would tell of the outage, not of us
        trace: None,
        event,
    };
    OutgoingDelivery { task, lane: Lane::Slow, delay: Duration::ZERO }
}

/// Cuts what is to be sent into what one call may hold, so that no call overtakes another.
fn in_order(outgoing: Vec<OutgoingDelivery>) -> Vec<Vec<OutgoingDelivery>> {
    let mut batches = Vec::<Vec<OutgoingDelivery>>::new();
    let mut bytes = 0;
    for one in outgoing {
        let size = one.task.event.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(one);
            }
            _ => {
                bytes = size;
                batches.push(vec![one]);
            }
        }
    }
    batches
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
