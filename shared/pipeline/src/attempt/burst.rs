//! Bursts in the fast lane: before many deliveries are sent to a receiver that is not known to be fast, one of them probes the receiver.
//!
//! Without the probe, a tenant that queues thousands of messages for a slow receiver would have a POST waiting in every sender of the lane,
//! and the messages of all other tenants would wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anzol_domain::Lane;
use anzol_domain::health::{BURST, Pace};
use tokio::sync::watch;

use super::{Message, WebhookKey, WebhooksByKey, key};
use crate::health::{BurstPermit, HealthTracker};

/// The bursts of a batch.
pub(super) type Bursts = BTreeMap<WebhookKey, Burst>;

/// How the deliveries of a burst proceed.
#[derive(Debug)]
pub(super) enum Burst {
    /// All are sent, because the receiver is known to be fast.
    Go(Pace),
    /// The first is sent, and the others wait for its result.
    Probe(Probe),
    /// All are deferred, because another batch is probing the receiver.
    Wait,
}

/// Finds the bursts of a batch of the fast lane, and decides how each proceeds.
pub(super) async fn find(messages: &[Message], webhooks: &WebhooksByKey, health: &HealthTracker) -> Bursts {
    let mut counts = BTreeMap::<_, usize>::new();
    for message in messages {
        *counts.entry(key(&message.task)).or_default() += 1;
    }
    let large = counts.into_iter().filter(|(_, count)| *count >= BURST);
    let sent = large.filter_map(|(key, _)| {
        let webhook = webhooks.get(&key)?;
        (webhook.spec.enabled && webhook.health.lane == Lane::Fast).then_some((key, webhook))
    });
    let bursts = sent.map(|(key, webhook)| async move {
        let burst = match health.burst_permit(webhook).await {
            BurstPermit::Go(pace) => Burst::Go(pace),
            BurstPermit::Probe => Burst::Probe(Probe::default()),
            BurstPermit::Wait => Burst::Wait,
        };
        (key, burst)
    });
    futures::future::join_all(bursts).await.into_iter().collect()
}

/// A probe: one delivery finds out whether the receiver is fast, and the others of the burst wait for the result.
#[derive(Debug, Default)]
pub(super) struct Probe {
    acquired: AtomicBool,
    /// Whether the receiver is fast; `None` until the result is known.
    fast: watch::Sender<Option<bool>>,
}

impl Probe {
    /// Returns the guard that reports the result, to the first caller only.
    pub(super) fn try_acquire(&self) -> Option<ProbeGuard<'_>> {
        (!self.acquired.swap(true, Ordering::Relaxed)).then(|| ProbeGuard(self))
    }

    /// Waits for the result. Returns whether the receiver is fast.
    pub(super) async fn is_fast(&self) -> bool {
        let mut fast = self.fast.subscribe();
        fast.wait_for(Option::is_some).await.is_ok_and(|fast| *fast == Some(true))
    }
}

/// Reports the result of a probe. Dropping the guard without a report counts as slow, so the deliveries that wait are always released.
#[derive(Debug)]
pub(super) struct ProbeGuard<'a>(&'a Probe);

impl ProbeGuard<'_> {
    /// Reports whether the receiver is fast. Only the first report counts.
    pub(super) fn report(&self, fast: bool) {
        self.0.fast.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(fast);
            }
            first
        });
    }
}

impl Drop for ProbeGuard<'_> {
    fn drop(&mut self) {
        self.report(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn probe_is_acquired_once_and_first_report_counts() {
        let probe = Probe::default();
        let guard = probe.try_acquire().unwrap();
        assert!(probe.try_acquire().is_none());
        let waiting = async { (probe.is_fast().await, probe.is_fast().await) };
        let reporting = async {
            tokio::task::yield_now().await;
            guard.report(true);
            guard.report(false);
        };
        assert_eq!(futures::join!(waiting, reporting).0, (true, true));
        drop(guard);
        assert!(probe.is_fast().await);
    }

    #[tokio::test]
    async fn dropped_probe_guard_counts_as_slow() {
        let probe = Probe::default();
        let guard = probe.try_acquire();
        let dropping = async {
            tokio::task::yield_now().await;
            drop(guard);
        };
        assert!(!futures::join!(probe.is_fast(), dropping).0);
    }
}
