//! Bursts in the fast lane: before many messages go to a receiver that is not known to be quick, one finds out.
//!
//! Without this, a tenant that queues thousands of messages for a slow receiver has a POST waiting in every sender of the lane, and
//! everybody else's messages wait with it, before anyone has noticed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anzol_domain::health::{BURST, Pace};
use anzol_domain::{Lane, TenantId, WebhookId};
use anzol_pipeline::{HealthKeeper, health::Burst as Leave};
use tokio::sync::watch;

use crate::{Found, Received, key};

/// What the messages of a burst do.
#[derive(Debug)]
pub(crate) enum Burst {
    /// Go: the receiver is known to be quick.
    Go(Pace),
    /// The first goes, the others wait for what comes of it.
    Probe(Probe),
    /// Come back in a moment: another batch is finding out.
    ComeBack,
}

/// The bursts in a batch, by webhook.
pub(crate) async fn find(
    received: &[Received],
    webhooks: &Found,
    health: &HealthKeeper,
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
        let burst = match health.leave_for_burst(webhook).await {
            Leave::Go(pace) => Burst::Go(pace),
            Leave::Probe => Burst::Probe(Probe::default()),
            Leave::ComeBack => Burst::ComeBack,
        };
        (key, burst)
    });
    futures::future::join_all(bursts).await.into_iter().collect()
}

/// One message that finds out, and others that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    begun: AtomicBool,
    /// Whether the receiver is quick, once that is known.
    quick: watch::Sender<Option<bool>>,
}

impl Probe {
    /// The duty to find out, for whoever asks first.
    pub(crate) fn begin(&self) -> Option<Duty<'_>> {
        (!self.begun.swap(true, Ordering::Relaxed)).then(|| Duty(self))
    }

    /// Waits for what the first finds out.
    pub(crate) async fn is_quick(&self) -> bool {
        let mut quick = self.quick.subscribe();
        quick.wait_for(Option::is_some).await.is_ok_and(|quick| *quick == Some(true))
    }
}

/// Whoever drops it without a word has not found a quick receiver: the others do not wait for ever.
#[derive(Debug)]
pub(crate) struct Duty<'a>(&'a Probe);

impl Duty<'_> {
    /// Says what was found out; the first word counts.
    pub(crate) fn tell(&self, quick: bool) {
        self.0.quick.send_if_modified(|said| {
            let first = said.is_none();
            if first {
                *said = Some(quick);
            }
            first
        });
    }
}

impl Drop for Duty<'_> {
    fn drop(&mut self) {
        self.tell(false);
    }
}
