//! Updates a webhook's health from its attempts: its lane, warnings, and disabling after too many failures.

use std::sync::Arc;

use anzol_domain::health::{DisablePolicy, FAST_FOR, FAST_SUCCESSES, HealthState, PROBE, Pace, Tally};
use anzol_domain::operational::OperationalEvent;
use anzol_domain::{Clock, Delivery, DisableReason, Health, Invalid, Lane, Webhook};
use anzol_queue::{Queue, SendError};
use anzol_store::{StoreError, Webhooks};

/// The status of a receiver that is permanently gone.
pub const GONE: u16 = 410;

/// Number of tries to disable a webhook that is edited at the same time.
const TRIES: usize = 4;

/// Tracks the health of webhooks. Writes nothing while a webhook stays healthy.
#[derive(Debug, Clone)]
pub struct HealthTracker {
    webhooks: Webhooks,
    /// The queue for operational events, which are dispatched like any other event.
    events: Arc<Queue>,
    policy: DisablePolicy,
    clock: Clock,
}

/// The sum of a batch's attempts to one webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The outcomes of the attempts.
    pub tally: Tally,
    /// Whether the receiver answered 410 Gone.
    pub gone: bool,
}

/// The changes that a record of health caused, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Webhooks moved to the slow lane.
    pub moved_to_slow: usize,
    /// Webhooks moved back to the fast lane.
    pub moved_to_fast: usize,
    /// Webhooks disabled.
    pub disabled: usize,
}

impl std::ops::AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.moved_to_slow += other.moved_to_slow;
        self.moved_to_fast += other.moved_to_fast;
        self.disabled += other.disabled;
    }
}

/// How the deliveries of a burst can proceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstPermit {
    /// All are sent, because the receiver is known to be fast.
    Go(Pace),
    /// One is sent first, as a probe.
    Probe,
    /// None is sent, because another sender holds the probe.
    Wait,
}

impl Verdict {
    /// Adds the outcome of an attempt.
    pub fn count(&mut self, delivery: &Delivery) {
        let took = std::time::Duration::from_millis(delivery.duration_ms.into());
        self.tally.count(delivery.failure.is_some(), took);
        self.gone |= delivery.response.as_ref().is_some_and(|response| response.status_code == GONE);
    }
}

impl HealthTracker {
    /// Returns a tracker that writes to `webhooks` and publishes operational events to the events queue.
    #[must_use]
    pub fn new(webhooks: Webhooks, events: Queue, policy: DisablePolicy, clock: Clock) -> Self {
        Self { webhooks, events: Arc::new(events), policy, clock }
    }

    /// Returns the current health state of a webhook with this health.
    #[must_use]
    pub fn state(&self, health: &Health) -> HealthState {
        health.state(&self.policy, (self.clock)())
    }

    /// Records a batch of attempts to `webhook`, as read before the attempts. Returns the changes.
    ///
    /// If the record cannot be written, logs the error and drops the record.
    pub async fn record(&self, webhook: &Webhook, verdict: Verdict) -> Changes {
        let mut changes = Changes::default();
        if let Err(error) = self.try_record(webhook, verdict, &mut changes).await {
            tracing::error!(%error, tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, "the health of a webhook could not be recorded");
        }
        changes
    }

    /// Moves a webhook to the slow lane. Returns `false` if it is already there or cannot be moved.
    pub async fn move_to_slow_lane(&self, webhook: &Webhook) -> bool {
        match self.webhooks.set_lane(&webhook.tenant_id, webhook.id, Lane::Slow).await {
            Ok(true) => {
                tracing::info!(tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, "moved to the slow lane");
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::error!(%error, tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, "could not move a webhook to the slow lane");
                false
            }
        }
    }

    /// Returns how a burst to a webhook can proceed. Only one sender at a time holds the probe. If the store fails, permits a probe.
    pub async fn burst_permit(&self, webhook: &Webhook) -> BurstPermit {
        let (tenant, id, now) = (&webhook.tenant_id, webhook.id, (self.clock)());
        let permit = async {
            let pace = self.webhooks.pace(tenant, id).await?;
            if pace.is_known_fast(now) {
                return Ok(BurstPermit::Go(pace));
            }
            let first =
                !pace.is_probed(now) && self.webhooks.acquire_probe(tenant, id, now, now + PROBE).await?;
            Ok::<_, StoreError>(if first { BurstPermit::Probe } else { BurstPermit::Wait })
        };
        permit.await.unwrap_or_else(|error| {
            tracing::error!(%error, webhook.id = %id, "could not acquire a probe");
            BurstPermit::Probe
        })
    }

    /// Records that a receiver responded fast to a burst, unless `pace` shows that this was recorded recently.
    pub async fn mark_fast(&self, webhook: &Webhook, pace: Pace) {
        let now = (self.clock)();
        if !pace.wants_confirmation(now) {
            return;
        }
        if let Err(error) = self.webhooks.set_fast(&webhook.tenant_id, webhook.id, now + FAST_FOR).await {
            tracing::error!(%error, webhook.id = %webhook.id, "could not record that a receiver is fast");
        }
    }

    async fn try_record(
        &self,
        webhook: &Webhook,
        Verdict { tally, gone }: Verdict,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let (tenant, id) = (&webhook.tenant_id, webhook.id);
        if gone {
            return self.disable(webhook, DisableReason::Gone, changes).await;
        }
        if tally.slow && webhook.health.lane == Lane::Fast {
            changes.moved_to_slow += usize::from(self.move_to_slow_lane(webhook).await);
        }
        if tally.successes > 0 && webhook.health.failures > 0 {
            let before = self.webhooks.clear_failures(tenant, id).await?;
            // `before` is the webhook with its run of failures, which identifies the event.
            if let Some(before) = before.filter(|before| before.health.warned) {
                self.publish_operational_event(OperationalEvent::Recovered, &before).await;
            }
        }
        if tally.failures > 0 && tally.successes == 0 {
            let now = (self.clock)();
            if let Some(after) = self.webhooks.add_failures(tenant, id, tally.failures, now).await? {
                self.warn_or_disable(&after, changes).await?;
            }
        }
        if webhook.health.lane == Lane::Slow && !tally.slow {
            let after = self.webhooks.add_fast_successes(tenant, id, tally.successes).await?;
            if after.is_some_and(|after| after.health.fast_successes >= FAST_SUCCESSES)
                && self.webhooks.set_lane(tenant, id, Lane::Fast).await?
            {
                changes.moved_to_fast += 1;
                tracing::info!(tenant.id = %tenant, webhook.id = %id, "moved to the fast lane");
            }
        } else if webhook.health.fast_successes > 0 && tally.slow && tally.successes > 0 {
            self.webhooks.clear_fast_successes(tenant, id).await?;
        }
        Ok(())
    }

    /// Publishes `anzol.webhook.failing` when a webhook's health state becomes [`HealthState::Warning`], and disables the webhook at the
    /// threshold. The earlier state [`HealthState::Failing`] only means that the last attempt failed, and publishes nothing.
    async fn warn_or_disable(&self, webhook: &Webhook, changes: &mut Changes) -> Result<(), StoreError> {
        let health = &webhook.health;
        match self.state(health) {
            HealthState::Healthy | HealthState::Failing => Ok(()),
            HealthState::Warning => {
                if !health.warned && self.webhooks.set_warned(&webhook.tenant_id, webhook.id).await? {
                    self.publish_operational_event(OperationalEvent::Failing, webhook).await;
                }
                Ok(())
            }
            HealthState::Exhausted => {
                let (failures, hours) = (health.failures, self.policy.after.whole_hours());
                self.disable(webhook, DisableReason::FailureThreshold { failures, hours }, changes).await
            }
        }
    }

    async fn disable(
        &self,
        webhook: &Webhook,
        reason: DisableReason,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let read = self.webhooks.get(&webhook.tenant_id, webhook.id).await?;
            // Another writer already disabled the webhook, or changed its URL, which has not failed yet.
            let still = |read: &Webhook| read.spec.enabled && read.spec.url == webhook.spec.url;
            let Some(read) = read.filter(still) else { return Ok(()) };
            let now_disabled = read.clone().disable(reason, (self.clock)());
            match self.webhooks.replace(&read, &now_disabled).await {
                Err(StoreError::Changed) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    changes.disabled += 1;
                    tracing::warn!(tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, code = reason.code(), "disabled a webhook");
                    self.publish_operational_event(OperationalEvent::Disabled, &now_disabled).await;
                    return Ok(());
                }
            }
        }
        Err(StoreError::Changed)
    }

    async fn publish_operational_event(&self, event: OperationalEvent, webhook: &Webhook) {
        let published = async {
            let event = event.to_event(webhook, (self.clock)())?;
            Ok::<_, PublishError>(self.events.send(&webhook.tenant_id, event.payload(true)).await?)
        };
        if let Err(error) = published.await {
            tracing::error!(%error, webhook.id = %webhook.id, ?event, "failed to publish an operational event");
        }
    }
}

/// Why an operational event was not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Send(#[from] SendError),
}
