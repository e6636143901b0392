//! Post-attempt: history, retries and log lines, then health; and the metrics of all of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anzol_domain::metric::Metric;
use anzol_domain::{FailureKind, Lane};

use super::burst::{Burst, Bursts};
use super::{Attempts, Deadline, WebhookKey, WebhooksByKey, key, label};
use crate::health::{Changes, Verdict};
use crate::report::Attempt;
use crate::settle::Settled;

/// The outcomes of a batch by webhook. Skipped attempts say nothing about the receiver, so they are not among them.
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

impl Attempts<'_> {
    /// Records attempts that waited in `lane` (or in none), queues their retries, and counts both.
    pub(super) async fn settle(&self, attempts: Vec<Attempt>, lane: Option<Lane>) -> Settled {
        for attempt in &attempts {
            self.measure(attempt);
        }
        let settled = self.settler.settle(attempts).await;
        self.meter.count(Metric::RetriesQueued, label(lane), settled.retries);
        settled
    }

    /// Counts an attempt and reports its times.
    fn measure(&self, attempt: &Attempt) {
        let label = label(attempt.lane);
        let outcome = match attempt.delivery.failure {
            None => Metric::DeliveriesSucceeded,
            Some(FailureKind::Disabled) => Metric::DeliveriesSkipped,
            Some(_) => Metric::DeliveriesFailed,
        };
        self.meter.count(outcome, label, 1);
        if outcome != Metric::DeliveriesSkipped {
            let latency = Duration::from_millis(attempt.delivery.duration_ms.into());
            self.meter.time(Metric::AttemptLatency, label, latency);
        }
        if let Some(latency) = attempt.end_to_end() {
            self.meter.time(Metric::EndToEndLatency, label, latency);
        }
    }

    /// Counts changes of webhooks' health.
    pub(super) fn count_changes(&self, changes: Changes, lane: Option<Lane>) {
        self.meter.count(Metric::LaneMovesToSlow, label(lane), changes.moved_to_slow);
        self.meter.count(Metric::LaneMovesToFast, label(lane), changes.moved_to_fast);
        self.meter.count(Metric::WebhooksDisabled, label(lane), changes.disabled);
    }

    /// Updates the health of a batch's webhooks, all at once and only in the time left: a delivery that was sent and recorded must not be
    /// sent again because a counter could not be written.
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
            // A probe has been noted already, as soon as it was over.
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
