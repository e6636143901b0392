//! What failed for good since some time → the same events, queued again.

use std::collections::BTreeSet;
use std::time::Duration;

use anzol_domain::recovery::{RecoveryStatus, RecoveryTask};
use anzol_domain::{
    Clock, Delivery, DeliveryId, DeliveryTask, Event, Lane, Recovery, RecoveryId, TenantId, Trigger, Webhook,
    WebhookId,
};
use anzol_queue::{DeliveryQueues, Outgoing, QueueError};
use anzol_signing as signing;
use anzol_store::{Deliveries, StoreError};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use time::OffsetDateTime;

/// Failures looked at in one step. All of a request's share of a recovery, so it has to be done in a moment.
pub const PAGE: usize = 100;
/// Writes under way at the same time.
const CONCURRENCY: usize = 16;
/// How late an attempt may be before it counts as lost. A busy slow lane is late by minutes.
const OVERDUE: time::Duration = time::Duration::HOUR;
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
    /// The message that carries the recovery on could not be queued.
    #[error("the next step was not queued: {0}")]
    NextStep(String),
}

/// Sends again what failed for good.
///
/// A recovery goes from the newest failure to the oldest, [`PAGE`] at a step. Each step is: look, take the events that are free,
/// queue them, write how far it has come, queue the next step. Whatever breaks off in between, the message of the step is still on its
/// queue, and the step is made over: what it takes, it gets again, under the same delivery ids, which the sender does not send twice.
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
    pub async fn begin(&self, webhook: &Webhook, since: OffsetDateTime) -> Result<Recovery, RecoverError> {
        let now = (self.clock)();
        let begun = Recovery::new(webhook.tenant_id.clone(), webhook.id, since, now);
        self.deliveries.begin_recovery(&begun).await?;
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
    pub async fn carry_on(&self, task: &RecoveryTask, webhook: Option<&Webhook>) -> Result<(), RecoverError> {
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
        let page = self.deliveries.failures(recovery, PAGE).await?;
        let rows = futures::stream::iter(page.rows).map(|row| async {
            let ended = self.has_ended(&row).await?;
            Ok::<_, StoreError>(ended.then_some(row))
        });
        let rows: Vec<_> = rows.buffered(CONCURRENCY).try_collect().await?;
        let ended: Vec<_> = rows.into_iter().flatten().collect();
        let found = count(ended.len());
        let mut seen = BTreeSet::new();
        let candidates = ended.iter().filter_map(|row| self.candidate(row));
        let candidates = candidates.filter(|candidate| seen.insert(candidate.message_id.clone()));
        let taken: Vec<Option<Outgoing>> = futures::stream::iter(candidates.collect::<Vec<_>>())
            .map(|Candidate { failed, message_id, event }| async move {
                let free = self.deliveries.take_event(recovery, &message_id, failed).await?;
                Ok::<_, StoreError>(free.then(|| again(recovery, failed, event)))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let outgoing: Vec<_> = taken.into_iter().flatten().collect();
        let mut requeued = count(outgoing.len());
        match self.queues.send(outgoing).await {
            // What the queue will never take is skipped: making the step again would not help, and the older failures would wait for ever.
            Err(error) if error.unsent.is_empty() => {
                tracing::error!(%error, recovery.id = %recovery.id, "deliveries were refused by the queue for good");
                requeued -= count(error.refused.len());
            }
            queued => queued?,
        }

        let mut next = Recovery {
            older_than: page.next.unwrap_or_else(|| recovery.oldest()),
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

    /// Whether nothing more follows from a failed attempt. What is tried again comes by itself, unless its message got lost on the way,
    /// among the dead letters say.
    async fn has_ended(&self, failed: &Delivery) -> Result<bool, StoreError> {
        let Some(next) = failed.next_attempt else { return Ok(true) };
        let overdue = (self.clock)() - next.at > OVERDUE;
        Ok(overdue && !self.deliveries.has(&failed.tenant_id, failed.webhook_id, next.id).await?)
    }

    /// What a failed delivery sent, unless that was a test.
    fn candidate(&self, row: &Delivery) -> Option<Candidate> {
        match Event::from_payload(&row.request.body, (self.clock)()) {
            Ok(event) if event.is_test() => None,
            Ok(event) => {
                let message_id = signing::message_id(&row.tenant_id, row.webhook_id, &event);
                Some(Candidate { failed: row.id, message_id, event })
            }
            Err(error) => {
                tracing::error!(%error, webhook.id = %row.webhook_id, delivery.id = %row.id, "a stored payload cannot be read");
                None
            }
        }
    }
}

/// An event that may be sent again.
struct Candidate {
    failed: DeliveryId,
    message_id: String,
    event: Event,
}

/// A first attempt, as if the event had happened when the recovery began. Its id is the same however often it is worked out.
fn again(recovery: &Recovery, failed: DeliveryId, event: Event) -> Outgoing {
    let task = DeliveryTask {
        tenant_id: recovery.tenant_id.clone(),
        webhook_id: recovery.webhook_id,
        delivery_id: signing::following_id(failed, "recover", recovery.until),
        attempt: 1,
        trigger: Trigger::Recover,
        accepted_at: None, // long ago: it would tell of the outage, not of us
        trace: None,
        event,
    };
    Outgoing { task, lane: Lane::Slow, delay: Duration::ZERO }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
