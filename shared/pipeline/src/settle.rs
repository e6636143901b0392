//! What happened → history rows, then the next attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use anzol_domain::delivery::NextAttempt;
use anzol_domain::health::BURST_SLOW_AFTER;
use anzol_domain::retry::Schedule;
use anzol_domain::{Clock, Delivery, DeliveryId, DeliveryTask, FailureKind, Lane, Trigger};
use anzol_queue::{DeliveryQueues, OutgoingDelivery, QueueError};
use anzol_store::{Deliveries, StoreError};

use crate::health::GONE;
use crate::report::{Attempt, Report};

/// How long a delivery waits whose webhook's secrets cannot be opened: KMS is to be back by then, or is not asked too often.
const SEALED_WAIT: Duration = Duration::from_mins(1);

/// Records outcomes and queues retries.
#[derive(Debug, Clone)]
pub struct Settler {
    deliveries: Deliveries,
    queues: DeliveryQueues,
    schedule: Schedule,
    clock: Clock,
}

/// What settling came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Deliveries whose outcome or next attempt is not written down.
    pub unsettled: BTreeSet<DeliveryId>,
    /// Further attempts queued.
    pub retries: usize,
}

impl Settler {
    /// A settler that writes to `deliveries` and retries through the slow lane and the scheduler of `queues`.
    #[must_use]
    pub fn new(deliveries: Deliveries, queues: DeliveryQueues, schedule: Schedule, clock: Clock) -> Self {
        Self { deliveries, queues, schedule, clock }
    }

    /// Records all outcomes, then queues a further attempt for each that failed and is worth it.
    ///
    /// In that order: whoever sees a retry arrive finds in the history why. Every attempt gets its line in the log. Messages of deliveries
    /// that are not settled must come back, which sends them again under the same `webhook-id`.
    pub async fn settle(&self, attempts: Vec<Attempt>) -> Settled {
        let now = (self.clock)();
        let mut rows = Vec::with_capacity(attempts.len());
        let (mut reports, mut retries) = (Vec::with_capacity(attempts.len()), Vec::new());
        for attempt in attempts {
            let mut report = attempt.report();
            let Attempt { task, mut delivery, .. } = attempt;
            if let Some(wait) = self.wait_before_retry(&task, &delivery) {
                // From when this attempt was due, not from now: a message received twice leads to one next attempt, not to two.
                let due = task.delivery_id.time() + wait;
                let id = task.delivery_id.following("retry", due);
                let next_attempt = NextAttempt { id, at: now + wait };
                delivery.next_attempt = Some(next_attempt);
                report.next_attempt = Some(next_attempt);
                let next = DeliveryTask {
                    delivery_id: id,
                    attempt: task.attempt + 1,
                    trigger: Trigger::Retry,
                    trace: Some(task.trace()),
                    ..task
                };
                retries.push((delivery.id, OutgoingDelivery { task: next, lane: Lane::Slow, delay: wait }));
            }
            rows.push(delivery);
            reports.push(report);
        }
        let mut unsettled: BTreeSet<_> = self.deliveries.put_all(&rows).await.into_iter().collect();
        retries.retain(|(id, _)| !unsettled.contains(id));
        let (ids, outgoing): (Vec<_>, Vec<_>) =
            retries.into_iter().map(|(id, outgoing)| ((id, outgoing.task.delivery_id), outgoing)).unzip();
        if let Err(error) = self.queues.send(outgoing).await {
            tracing::error!(%error, "could not queue retries");
            self.give_up(&rows, &mut reports, &error).await;
            unsettled.extend(ids.iter().filter(|(_, next)| error.unsent.contains(next)).map(|(id, _)| *id));
        }
        let mut settled = Settled { unsettled, retries: 0 };
        for report in reports {
            let is_settled = !settled.unsettled.contains(&report.delivery_id);
            settled.retries += usize::from(is_settled && report.next_attempt.is_some());
            report.log(is_settled);
        }
        settled
    }

    /// Notes that no attempt follows where the queue will never take it. The message does not come back for that: it would be sent again each
    /// time, and end no better. A recovery finds such a failure like any that is final.
    async fn give_up(&self, rows: &[Delivery], reports: &mut [Report], error: &QueueError) {
        let is_lost =
            |next: Option<NextAttempt>| next.is_some_and(|next| error.refused.contains_key(&next.id));
        let last = rows.iter().filter(|row| is_lost(row.next_attempt)).cloned();
        let last: Vec<_> = last.map(|row| Delivery { next_attempt: None, ..row }).collect();
        if last.is_empty() {
            return;
        }
        for report in reports.iter_mut().filter(|report| is_lost(report.next_attempt)) {
            report.next_attempt = None;
        }
        // Where even that fails, which is logged, the row names an attempt that never comes, which a recovery takes for lost in an hour.
        self.deliveries.put_all(&last).await;
    }

    /// Whether a task was worked off before, so that doing it again would only send it again. A failed attempt with a next one was not:
    /// its retry may not be queued yet.
    ///
    /// For tasks that are queued twice in the normal run of things, not for all: it costs a read.
    pub async fn has_settled(&self, task: &DeliveryTask) -> Result<bool, StoreError> {
        let now = (self.clock)();
        let row = self.deliveries.get(&task.tenant_id, task.webhook_id, task.delivery_id, now).await?;
        Ok(row.is_some_and(|row| row.next_attempt.is_none()))
    }

    /// Hands tasks that are in the wrong lane on to the slow one. Answers those that could not be moved.
    pub async fn move_to_slow(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Slow, Duration::ZERO).await
    }

    /// Puts tasks back on the fast lane until it is known how quick their receiver is. Answers those that could not be put there.
    pub async fn defer(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Fast, BURST_SLOW_AFTER).await
    }

    /// Puts tasks whose webhook's secrets cannot be opened on the slow lane, for later. Nothing was sent, so nothing is recorded, and
    /// it is the same attempt when it comes back, however often that is. Answers those that could not be put there.
    pub async fn defer_sealed(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Slow, SEALED_WAIT).await
    }

    async fn put(&self, tasks: Vec<DeliveryTask>, lane: Lane, delay: Duration) -> BTreeSet<DeliveryId> {
        let outgoing = tasks.into_iter().map(|task| OutgoingDelivery { task, lane, delay });
        let Err(error) = self.queues.send(outgoing.collect()).await else { return BTreeSet::new() };
        tracing::error!(%error, ?lane, "could not move deliveries");
        // What was refused for good comes back too: it was not sent yet, and its queue gives it up in the end.
        error.unsent.into_iter().chain(error.refused.into_keys()).collect()
    }

    /// How long to wait before the next attempt; `None` when there is none.
    fn wait_before_retry(&self, task: &DeliveryTask, delivery: &Delivery) -> Option<Duration> {
        let response = delivery.response.as_ref();
        let gone = response.is_some_and(|response| response.status_code == GONE);
        let worth_it =
            delivery.failure.is_some_and(FailureKind::is_retried) && !gone && task.trigger.is_retried();
        let wait =
            || self.schedule.wait_after(task.attempt, task.delivery_id.fraction(), delivery.retry_after);
        worth_it.then(wait).flatten()
    }
}
