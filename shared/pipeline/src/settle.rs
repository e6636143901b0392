//! Writes the history of attempts, then queues their retries.

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

/// How long a delivery waits when its webhook's secrets cannot be opened: long enough not to call a failing KMS too often.
const SEALED_WAIT: Duration = Duration::from_mins(1);

/// Records outcomes and queues retries.
#[derive(Debug, Clone)]
pub struct Settler {
    deliveries: Deliveries,
    queues: DeliveryQueues,
    schedule: Schedule,
    clock: Clock,
}

/// The result of settling.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Deliveries whose row was not written, or whose retry was not queued.
    pub unsettled: BTreeSet<DeliveryId>,
    /// Number of queued retries.
    pub retries: usize,
}

impl Settler {
    /// Returns a settler that writes to `deliveries` and retries through the slow lane and the scheduler of `queues`.
    #[must_use]
    pub fn new(deliveries: Deliveries, queues: DeliveryQueues, schedule: Schedule, clock: Clock) -> Self {
        Self { deliveries, queues, schedule, clock }
    }

    /// Returns a settler for attempts that users request, which are never retried.
    #[must_use]
    pub fn without_retries(deliveries: Deliveries, queues: DeliveryQueues, clock: Clock) -> Self {
        Self::new(deliveries, queues, Schedule::none(), clock)
    }

    /// Records all outcomes, then queues a retry for each failure that is worth one, then logs every attempt.
    ///
    /// This order ensures that the history explains a retry when it arrives. The messages of unsettled deliveries must be received again,
    /// and the deliveries are sent again with the same `webhook-id`.
    pub async fn settle(&self, attempts: Vec<Attempt>) -> Settled {
        let Plan { mut rows, mut reports, mut retries } = self.plan(attempts);
        let mut unsettled: BTreeSet<_> = self.deliveries.put_all(&rows).await.into_iter().collect();
        retries.retain(|(id, _)| !unsettled.contains(id));
        let (ids, outgoing): (Vec<_>, Vec<_>) =
            retries.into_iter().map(|(id, outgoing)| ((id, outgoing.task.delivery_id), outgoing)).unzip();
        if let Err(error) = self.queues.send(outgoing).await {
            tracing::error!(%error, "could not queue retries");
            self.give_up(&mut rows, &mut reports, &error).await;
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

    /// Decides which attempts are retried, and when.
    fn plan(&self, attempts: Vec<Attempt>) -> Plan {
        let now = (self.clock)();
        let mut plan = Plan::with_capacity(attempts.len());
        for attempt in attempts {
            let mut report = attempt.report();
            let Attempt { task, mut delivery, .. } = attempt;
            if let Some(wait) = self.wait_before_retry(&task, &delivery) {
                // Derived from the time when this attempt was due, not from now, so that a message that is received twice leads to one
                // retry.
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
                let retry = OutgoingDelivery { task: next, lane: Lane::Slow, delay: wait };
                plan.retries.push((delivery.id, retry));
            }
            plan.rows.push(delivery);
            plan.reports.push(report);
        }
        plan
    }

    /// Records that no attempt follows the failures whose retry the queue permanently refused. Their messages are not received again,
    /// because that would send the delivery again with the same result. A recovery finds such a failure like any other final one.
    async fn give_up(&self, rows: &mut [Delivery], reports: &mut [Report], error: &QueueError) {
        let is_lost =
            |next: Option<NextAttempt>| next.is_some_and(|next| error.refused.contains_key(&next.id));
        for report in reports.iter_mut().filter(|report| is_lost(report.next_attempt)) {
            report.next_attempt = None;
        }
        let mut last = Vec::new();
        for row in rows.iter_mut().filter(|row| is_lost(row.next_attempt)) {
            row.next_attempt = None;
            last.push(row.clone());
        }
        if !last.is_empty() {
            // If this write fails, the row names an attempt that never happens. A recovery treats that attempt as lost after an hour.
            self.deliveries.put_all(&last).await;
        }
    }

    /// Records that a resend delivered an event, so that no recovery sends it again because of an earlier failure. If this write fails, the
    /// receiver may get the event again.
    pub async fn note_arrival(&self, delivery: &Delivery, message_id: &str) {
        if let Err(error) = self.deliveries.note_arrival(delivery, message_id).await {
            tracing::warn!(%error, delivery.id = %delivery.id, "could not record that a resend delivered an event");
        }
    }

    /// Returns whether the task was already processed, so that processing it would only send it again. A failed attempt with a next attempt
    /// does not count as processed, because the retry may not be queued yet.
    ///
    /// Costs a read, so this is only for tasks that are regularly queued twice.
    pub async fn has_settled(&self, task: &DeliveryTask) -> Result<bool, StoreError> {
        let now = (self.clock)();
        let row = self.deliveries.get(&task.tenant_id, task.webhook_id, task.delivery_id, now).await?;
        Ok(row.is_some_and(|row| row.next_attempt.is_none()))
    }

    /// Moves tasks to the slow lane. Returns those that could not be moved.
    pub async fn move_to_slow(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Slow, Duration::ZERO).await
    }

    /// Queues tasks on the fast lane again while another batch probes their receiver. Returns those that could not be queued.
    pub async fn defer(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Fast, BURST_SLOW_AFTER).await
    }

    /// Queues tasks on the slow lane with a delay, because their webhooks' secrets cannot be opened. Nothing was sent, so nothing is
    /// recorded, and the number of the attempt does not change. Returns those that could not be queued.
    pub async fn defer_sealed(&self, tasks: Vec<DeliveryTask>) -> BTreeSet<DeliveryId> {
        self.put(tasks, Lane::Slow, SEALED_WAIT).await
    }

    async fn put(&self, tasks: Vec<DeliveryTask>, lane: Lane, delay: Duration) -> BTreeSet<DeliveryId> {
        let outgoing = tasks.into_iter().map(|task| OutgoingDelivery { task, lane, delay });
        let Err(error) = self.queues.send(outgoing.collect()).await else { return BTreeSet::new() };
        tracing::error!(%error, ?lane, "could not move deliveries");
        // Includes refused tasks: they were not sent yet, and the source queue eventually moves them to its DLQ.
        error.unsent.into_iter().chain(error.refused.into_keys()).collect()
    }

    /// Returns the wait before the next attempt, or `None` if there is none.
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

/// The writes of [`Settler::settle`]: a row and a log line for each attempt, and the retries, each with the id of the delivery that it
/// follows.
struct Plan {
    rows: Vec<Delivery>,
    reports: Vec<Report>,
    retries: Vec<(DeliveryId, OutgoingDelivery)>,
}

impl Plan {
    fn with_capacity(attempts: usize) -> Self {
        Self {
            rows: Vec::with_capacity(attempts),
            reports: Vec::with_capacity(attempts),
            retries: Vec::new(),
        }
    }
}
