//! Bursts in the fast lane: before many messages go to a receiver that is not known to be quick, one finds out.
//!
//! Without this, a tenant that queues thousands of messages for a slow receiver has a POST waiting in every sender of the lane, and
//! everybody else's messages wait with it, before anyone has noticed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anzol_domain::health::{BURST, Pace};
use anzol_domain::{Lane, TenantId, WebhookId};
use anzol_pipeline::{HealthTracker, health::BurstPermit};
use tokio::sync::watch;

use crate::{DeliveryJob, Found, key};

/// What the messages of a burst do.
#[derive(Debug)]
pub(crate) enum Burst {
    /// Go: the receiver is known to be quick.
    Go(Pace),
    /// The first goes, the others wait for what comes of it.
    Probe(Probe),
    /// Come back in a moment: another batch is finding out.
    Wait,
}

/// The bursts in a batch, by webhook.
pub(crate) async fn find(
    received: &[DeliveryJob],
    webhooks: &Found,
    health: &HealthTracker,
) -> BTreeMap<(TenantId, WebhookId), Burst> {
    let mut counts = BTreeMap::<_, usize>::new();
    for message in received.iter().filter(|message| !message.from_slow_lane) {
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

/// One message that finds out, and others that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    acquired: AtomicBool,
    /// Whether the receiver is quick, once that is known.
    quick: watch::Sender<Option<bool>>,
}

impl Probe {
    /// The duty to find out, for whoever asks first.
    pub(crate) fn try_acquire(&self) -> Option<ProbeGuard<'_>> {
        (!self.acquired.swap(true, Ordering::Relaxed)).then(|| ProbeGuard(self))
    }

    /// Waits for what the first finds out.
    pub(crate) async fn is_fast(&self) -> bool {
        let mut quick = self.quick.subscribe();
        quick.wait_for(Option::is_some).await.is_ok_and(|quick| *quick == Some(true))
    }
}

/// Whoever drops it without a word has not found a quick receiver: the others do not wait for ever.
#[derive(Debug)]
pub(crate) struct ProbeGuard<'a>(&'a Probe);

impl ProbeGuard<'_> {
    /// Says what was found out; the first word counts.
    pub(crate) fn report(&self, quick: bool) {
        self.0.quick.send_if_modified(|said| {
            let first = said.is_none();
            if first {
                *said = Some(quick);
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
