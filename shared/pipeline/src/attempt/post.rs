//! Post-attempt: records attempts, queues retries, updates health, and reports metrics.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anzol_domain::metric::{Meter, Metric};
use anzol_domain::{FailureKind, Lane};

use super::burst::{Burst, Bursts};
use super::{AttemptRunner, Deadline, WebhookKey, WebhooksByKey, key, label};
use crate::health::{Changes, Verdict};
use crate::report::Attempt;
use crate::settle::Settled;

/// The outcomes of a batch by webhook. Without skipped attempts, which say nothing about the receiver.
pub(super) type Verdicts = BTreeMap<WebhookKey, Verdict>;

/// Sums up attempts by webhook.
pub(super) fn verdicts(attempts: &[Attempt]) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for Attempt { task, delivery, .. } in attempts {
        if delivery.failure != Some(FailureKind::Disabled) {
            verdicts.entry(key(task)).or_default().count(delivery);
        }
    }
    verdicts
}

/// Counts an attempt and reports its times.
fn measure(meter: &Meter, attempt: &Attempt) {
    let label = label(attempt.lane);
    let outcome = match attempt.delivery.failure {
        None => Metric::DeliveriesSucceeded,
        Some(FailureKind::Disabled) => Metric::DeliveriesSkipped,
        Some(_) => Metric::DeliveriesFailed,
    };
    meter.count(outcome, label, 1);
    if outcome != Metric::DeliveriesSkipped {
        let latency = Duration::from_millis(attempt.delivery.duration_ms.into());
        meter.time(Metric::AttemptLatency, label, latency);
    }
    if let Some(latency) = attempt.end_to_end() {
        meter.time(Metric::EndToEndLatency, label, latency);
    }
}

impl AttemptRunner<'_> {
    /// Records attempts that waited in `lane`, or direct attempts (`None`), queues their retries, and counts both.
    pub(super) async fn settle(&self, attempts: Vec<Attempt>, lane: Option<Lane>) -> Settled {
        for attempt in &attempts {
            measure(&self.meter, attempt);
        }
        let settled = self.settler.settle(attempts).await;
        self.meter.count(Metric::RetriesQueued, label(lane), settled.retries);
        settled
    }

    /// Counts changes of webhooks' health.
    pub(super) fn count_changes(&self, changes: Changes, lane: Option<Lane>) {
        self.meter.count(Metric::LaneMovesToSlow, label(lane), changes.moved_to_slow);
        self.meter.count(Metric::LaneMovesToFast, label(lane), changes.moved_to_fast);
        self.meter.count(Metric::WebhooksDisabled, label(lane), changes.disabled);
    }

    /// Updates the health of a batch's webhooks concurrently, within the time left. A failure is only logged: a delivery that was sent and
    /// recorded must not be sent again because a counter could not be written.
    pub(super) async fn record_health(
        &self,
        verdicts: Verdicts,
        webhooks: &WebhooksByKey,
        (bursts, moved): (Bursts, BTreeSet<WebhookKey>),
        deadline: Deadline,
    ) -> Changes {
        let records = verdicts.into_iter().filter_map(|(key, mut verdict)| {
            let mut webhook = Cow::Borrowed(webhooks.get(&key)?);
            if moved.contains(&key) {
                webhook.to_mut().health.lane = Lane::Slow;
                verdict.tally.slow = true; // a burst has a lower threshold than the tally
            }
            // The result of a probe was already recorded when the probe finished.
            let confirmed = match bursts.get(&key) {
                Some(Burst::Go(pace)) if !verdict.tally.slow => Some(*pace),
                _ => None,
            };
            Some(async move {
                let changes = self.health.record(&webhook, verdict).await;
                if let Some(pace) = confirmed {
                    self.health.mark_fast(&webhook, pace).await;
                }
                changes
            })
        });
        let all = futures::future::join_all(records);
        let Ok(all) = tokio::time::timeout(deadline.left_before_response(), all).await else {
            tracing::error!("not all of a batch's health was recorded in time");
            return Changes::default();
        };
        all.into_iter().fold(Changes::default(), |mut sum, changes| {
            sum += changes;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anzol_domain::delivery::SentRequest;
    use anzol_domain::metric::Label;
    use anzol_domain::{Delivery, DeliveryId, DeliveryTask, Event, Status, TenantId, Trigger, WebhookId};
    use time::OffsetDateTime;

    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    thread_local! {
        static REPORTED: RefCell<Vec<(Metric, Label, u128)>> = const { RefCell::new(Vec::new()) };
    }

    fn report(metric: Metric, label: Label, value: u128) {
        REPORTED.with_borrow_mut(|reported| reported.push((metric, label, value)));
    }

    /// Keeps counts, and times in milliseconds, for assertions.
    const METER: Meter = Meter {
        count: |metric, label, amount| report(metric, label, amount.try_into().unwrap()),
        time: |metric, label, duration| report(metric, label, duration.as_millis()),
    };

    fn attempt(failure: Option<FailureKind>, lane: Option<Lane>) -> Attempt {
        let (tenant_id, webhook_id) = (TenantId::parse("acme").unwrap(), WebhookId::mint(AT));
        let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
        let task = DeliveryTask {
            tenant_id: tenant_id.clone(),
            webhook_id,
            delivery_id: DeliveryId::mint(AT),
            attempt: 1,
            trigger: Trigger::Event,
            accepted_at: lane.map(|_| AT),
            trace: None,
            event: Event::parse(event, AT).unwrap(),
        };
        let delivery = Delivery {
            id: task.delivery_id,
            tenant_id,
            webhook_id,
            event_type: "t".to_owned(),
            status: if failure.is_some() { Status::Fail } else { Status::Success },
            failure,
            status_message: None,
            attempt: 1,
            trigger: task.trigger,
            duration_ms: 120,
            next_attempt: None,
            retry_after: None,
            request: SentRequest { url: String::new(), headers: Vec::new(), body: String::new() },
            response: None,
        };
        Attempt { task, delivery, lane, ended_at: AT + time::Duration::seconds(3) }
    }

    #[test]
    fn attempts_of_every_lane_are_measured_by_the_same_rules() {
        let (slow, direct) = (Label::Lane("slow"), Label::Lane("direct"));
        let (latency, end_to_end) = (Metric::AttemptLatency, Metric::EndToEndLatency);
        for (failure, lane, expected) in [
            (
                None,
                Some(Lane::Slow),
                vec![(Metric::DeliveriesSucceeded, slow, 1), (latency, slow, 120), (end_to_end, slow, 3_000)],
            ),
            (None, None, vec![(Metric::DeliveriesSucceeded, direct, 1), (latency, direct, 120)]),
            (
                Some(FailureKind::Timeout),
                Some(Lane::Slow),
                vec![(Metric::DeliveriesFailed, slow, 1), (latency, slow, 120)],
            ),
            (
                Some(FailureKind::Timeout),
                None,
                vec![(Metric::DeliveriesFailed, direct, 1), (latency, direct, 120)],
            ),
            (Some(FailureKind::Disabled), Some(Lane::Slow), vec![(Metric::DeliveriesSkipped, slow, 1)]),
        ] {
            measure(&METER, &attempt(failure, lane));
            assert_eq!(REPORTED.take(), expected, "{failure:?} {lane:?}");
        }
    }

    #[test]
    fn skipped_attempts_have_no_verdict() {
        let attempts = [attempt(Some(FailureKind::Disabled), Some(Lane::Fast)), attempt(None, None)];
        let verdicts = verdicts(&attempts);
        let [(key, verdict)] = &verdicts.into_iter().collect::<Vec<_>>()[..] else { panic!("one verdict") };
        assert_eq!((key.1, verdict.tally.successes), (attempts[1].task.webhook_id, 1));
    }
}
