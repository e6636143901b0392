//! Pre-attempt: opens secrets and decides whether a queued delivery can be attempted now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anzol_domain::{DeliveryTask, Lane, Trigger};
use anzol_vault::Opened;

use super::burst::{self, Burst, Bursts, ProbeGuard};
use super::{AttemptRunner, Message, Outcome, WebhookKey, WebhooksByKey, key};

/// The state that the deliveries of a batch share.
pub(super) struct BatchState<'a> {
    /// The lane of the queue.
    pub(super) lane: Lane,
    webhooks: &'a WebhooksByKey,
    /// The enabled webhooks whose secrets could be opened.
    opened: BTreeMap<WebhookKey, Opened<'a>>,
    bursts: Bursts,
    /// Webhooks that moved to the slow lane during the batch.
    moved: Mutex<BTreeSet<WebhookKey>>,
}

impl BatchState<'_> {
    /// Marks a webhook as moved to the slow lane. Returns `false` if another delivery of the batch already moved it.
    pub(super) fn mark_moved(&self, key: WebhookKey) -> bool {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
    }

    /// Drops the open secrets. Returns the bursts, and the webhooks that moved to the slow lane.
    pub(super) fn finish(self) -> (Bursts, BTreeSet<WebhookKey>) {
        (self.bursts, self.moved.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A delivery that can be attempted now.
pub(super) struct Ready<'s> {
    pub(super) key: WebhookKey,
    pub(super) opened: &'s Opened<'s>,
    /// Maximum response time before the webhook moves to the slow lane.
    pub(super) slow_after: Duration,
    /// The guard of the probe, if this delivery probes the receiver.
    pub(super) guard: Option<ProbeGuard<'s>>,
}

impl AttemptRunner<'_> {
    /// Prepares the state that the deliveries of a batch share: opens secrets and finds bursts.
    pub(super) async fn prepare<'w>(
        &self,
        lane: Lane,
        messages: &[Message],
        webhooks: &'w WebhooksByKey,
    ) -> BatchState<'w> {
        let bursts = async {
            match lane {
                Lane::Fast => burst::find(messages, webhooks, self.health).await,
                Lane::Slow => Bursts::new(),
            }
        };
        let (bursts, opened) = futures::join!(bursts, self.open(messages, webhooks));
        BatchState { lane, webhooks, opened, bursts, moved: Mutex::default() }
    }

    /// Opens the secrets of each enabled webhook once. Webhooks whose secrets cannot be opened are missing from the result.
    async fn open<'w>(
        &self,
        messages: &[Message],
        webhooks: &'w WebhooksByKey,
    ) -> BTreeMap<WebhookKey, Opened<'w>> {
        let keys: BTreeSet<_> = messages.iter().map(|message| key(&message.task)).collect();
        let enabled = keys.into_iter().filter_map(|key| {
            let webhook = webhooks.get(&key)?;
            webhook.spec.enabled.then_some((key, webhook))
        });
        let opening = enabled.map(|(key, webhook)| async move {
            let opened = self.vault.open(webhook).await;
            let log = |error| tracing::error!(%error, webhook.id = %webhook.id, "the secrets of a webhook cannot be opened: its deliveries wait");
            Some((key, opened.map_err(log).ok()?))
        });
        futures::future::join_all(opening).await.into_iter().flatten().collect()
    }

    /// Decides whether a delivery can be attempted now.
    ///
    /// # Errors
    /// The outcome of a delivery that is not attempted.
    pub(super) async fn pre_attempt<'s>(
        &self,
        task: &DeliveryTask,
        state: &'s BatchState<'_>,
    ) -> Result<Ready<'s>, Outcome> {
        let key = key(task);
        let webhook = state.webhooks.get(&key).ok_or(Outcome::Deleted)?;
        if task.trigger == Trigger::Recover {
            self.check_unsettled(task).await?;
        }
        if !webhook.spec.enabled {
            let skipped = self.deliverer.skip_disabled(webhook, task);
            return Err(Outcome::Attempted(Box::new(skipped), (self.clock)()));
        }
        if webhook.health.lane == Lane::Slow && state.lane == Lane::Fast {
            return Err(Outcome::WrongLane);
        }
        let opened = state.opened.get(&key).ok_or(Outcome::SecretsUnavailable)?;
        let (slow_after, guard) = match state.bursts.get(&key) {
            Some(burst) => (self.slow_after.burst, join_burst(burst).await?),
            None => (self.slow_after.single, None),
        };
        Ok(Ready { key, opened, slow_after, guard })
    }

    /// Checks that a recovered delivery was not sent before, because a recovery step that runs twice queues its deliveries twice.
    async fn check_unsettled(&self, task: &DeliveryTask) -> Result<(), Outcome> {
        match self.settler.has_settled(task).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Outcome::Settled),
            Err(error) => {
                tracing::error!(%error, delivery.id = %task.delivery_id, "cannot read whether a delivery was sent before");
                Err(Outcome::Retry)
            }
        }
    }
}

/// Waits until a delivery of a burst can be sent. Returns the guard of the probe if this delivery probes the receiver.
async fn join_burst(burst: &Burst) -> Result<Option<ProbeGuard<'_>>, Outcome> {
    match burst {
        Burst::Go(_) => Ok(None),
        Burst::Wait => Err(Outcome::Deferred),
        Burst::Probe(probe) => match probe.try_acquire() {
            None if !probe.is_fast().await => Err(Outcome::WrongLane),
            guard => Ok(guard),
        },
    }
}
