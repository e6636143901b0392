//! What happened → history rows, then the next attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use anzol_domain::retry::{self, SCHEDULE};
use anzol_domain::{Clock, Delivery, DeliveryId, DeliveryTask, Status, Trigger};
use anzol_queue::{DeliveryQueues, Lane, Outgoing};
use anzol_store::Deliveries;

/// HTTP status of a receiver that is gone for good: not tried again.
const GONE: u16 = 410;

/// Records outcomes and queues retries.
#[derive(Debug, Clone)]
pub struct Settler {
    deliveries: Deliveries,
    queues: DeliveryQueues,
    clock: Clock,
}

impl Settler {
    /// A settler that writes to `deliveries` and retries through the slow lane of `queues`.
    #[must_use]
    pub fn new(deliveries: Deliveries, queues: DeliveryQueues, clock: Clock) -> Self {
        Self { deliveries, queues, clock }
    }

    /// Records all outcomes, then queues a further attempt for each that failed and is worth it.
    ///
    /// In that order: whoever sees a retry arrive finds in the history why. Answers the deliveries that are not settled; their
    /// messages must come back, which sends them again under the same `webhook-id`.
    pub async fn settle(&self, outcomes: Vec<(DeliveryTask, Delivery)>) -> BTreeSet<DeliveryId> {
        let mut rows = Vec::with_capacity(outcomes.len());
        let mut retries = Vec::new();
        for (task, mut delivery) in outcomes {
            if let Some(wait) = wait_before_retry(&task, &delivery) {
                let due = (self.clock)() + wait;
                delivery.next_attempt_at = Some(due);
                let next = DeliveryTask {
                    delivery_id: DeliveryId::mint(due),
                    attempt: task.attempt + 1,
                    trigger: Trigger::Retry,
                    ..task
                };
                retries.push((delivery.id, Outgoing { task: next, lane: Lane::Slow, delay: wait }));
            }
            rows.push(delivery);
        }
        let mut unsettled: BTreeSet<_> = self.deliveries.put_all(&rows).await.into_iter().collect();
        retries.retain(|(id, _)| !unsettled.contains(id));
        let (ids, outgoing): (Vec<_>, Vec<_>) = retries.into_iter().unzip();
        if let Err(error) = self.queues.send(outgoing).await {
            tracing::error!(%error, retries = ids.len(), "could not queue retries");
            unsettled.extend(ids);
        }
        unsettled
    }
}

/// How long to wait before the next attempt; `None` when there is none.
fn wait_before_retry(task: &DeliveryTask, delivery: &Delivery) -> Option<Duration> {
    let gone = delivery.response.as_ref().is_some_and(|response| response.status_code == GONE);
    let worth_it = delivery.status == Status::Fail
        && !gone
        && delivery.failure.is_some_and(anzol_domain::FailureKind::is_retried)
        && task.trigger != Trigger::Resend;
    worth_it.then(|| retry::wait_after(&SCHEDULE, task.attempt, task.delivery_id.fraction())).flatten()
}
