//! What the outcomes say of a receiver → lane, warnings, and the end of a webhook that no longer works.

use std::sync::Arc;

use anzol_domain::health::{DisablePolicy, FAST_FOR, FAST_SUCCESSES, HealthState, PROBE, Pace, Tally};
use anzol_domain::operational::OperationalEvent;
use anzol_domain::{Clock, Delivery, DisableReason, Health, Lane, Webhook};
use anzol_queue::Queue;
use anzol_store::{StoreError, Webhooks};

/// Status of a receiver that is gone for good.
pub const GONE: u16 = 410;

/// Tries of disabling a webhook that somebody edits at the same time.
const TRIES: usize = 4;

/// Keeps the record of receivers: nothing is written for one that is well and stays so.
#[derive(Debug, Clone)]
pub struct HealthTracker {
    webhooks: Webhooks,
    /// Where news of webhooks goes, to be dispatched like any other event.
    events: Arc<Queue>,
    policy: DisablePolicy,
    clock: Clock,
}

/// What a batch of attempts on one webhook says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How the attempts went.
    pub tally: Tally,
    /// Whether the receiver said that it is gone.
    pub gone: bool,
}

/// What a record changed, for the metrics.
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

/// What many messages of one webhook at once may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstPermit {
    /// All go: the receiver is known to be quick, as this tells.
    Go(Pace),
    /// One goes first, to find out.
    Probe,
    /// Somebody else is finding out.
    Wait,
}

impl Verdict {
    /// Takes in the outcome of an attempt.
    pub fn count(&mut self, delivery: &Delivery) {
        let took = std::time::Duration::from_millis(delivery.duration_ms.into());
        self.tally.count(delivery.failure.is_some(), took);
        self.gone |= delivery.response.as_ref().is_some_and(|response| response.status_code == GONE);
    }
}

impl HealthTracker {
    /// A keeper that writes to `webhooks` and tells news on the events queue.
    #[must_use]
    pub fn new(webhooks: Webhooks, events: Queue, policy: DisablePolicy, clock: Clock) -> Self {
        Self { webhooks, events: Arc::new(events), policy, clock }
    }

    /// How near to being disabled a webhook with this record is.
    #[must_use]
    pub fn state(&self, health: &Health) -> HealthState {
        health.state(&self.policy, (self.clock)())
    }

    /// Records what a batch of attempts on a webhook, as it was read before them, comes to; answers what that changed.
    ///
    /// A record that cannot be written is logged and lost; the next failure writes the next one.
    pub async fn record(&self, webhook: &Webhook, verdict: Verdict) -> Changes {
        let mut changes = Changes::default();
        if let Err(error) = self.try_record(webhook, verdict, &mut changes).await {
            tracing::error!(%error, tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, "the health of a webhook could not be recorded");
        }
        changes
    }

    /// Moves a webhook to the slow lane, unless it is there; answers whether it did.
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

    /// What a burst of messages to a webhook may do. Among all senders, one at a time is told to probe.
    pub async fn burst_permit(&self, webhook: &Webhook) -> BurstPermit {
        let (tenant, id, now) = (&webhook.tenant_id, webhook.id, (self.clock)());
        let leave = async {
            let pace = self.webhooks.pace(tenant, id).await?;
            if pace.is_known_fast(now) {
                return Ok(BurstPermit::Go(pace));
            }
            let first =
                !pace.is_probed(now) && self.webhooks.acquire_probe(tenant, id, now, now + PROBE).await?;
            Ok::<_, StoreError>(if first { BurstPermit::Probe } else { BurstPermit::Wait })
        };
        leave.await.unwrap_or_else(|error| {
            tracing::error!(%error, webhook.id = %id, "a probe could not be announced");
            BurstPermit::Probe
        })
    }

    /// Notes that a burst was answered quickly, unless that was noted lately, as `pace` tells.
    pub async fn mark_fast(&self, webhook: &Webhook, pace: Pace) {
        let now = (self.clock)();
        if !pace.wants_confirmation(now) {
            return;
        }
        if let Err(error) = self.webhooks.set_fast(&webhook.tenant_id, webhook.id, now + FAST_FOR).await {
            tracing::error!(%error, webhook.id = %webhook.id, "could not note that a receiver is quick");
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
            // The version sets this recovery apart from the next: its run of failures is over, and a later one has its own time.
            if let Some(before) = before.filter(|before| before.health.warned) {
                self.publish_operational_event(OperationalEvent::Recovered, &before).await;
            }
        }
        if tally.failures > 0 && tally.successes == 0 {
            let now = (self.clock)();
            if let Some(after) = self.webhooks.add_failures(tenant, id, tally.failures, now).await? {
                self.judge(&after, changes).await?;
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

    /// Warns of a webhook that keeps failing, and in the end disables it.
    async fn judge(&self, webhook: &Webhook, changes: &mut Changes) -> Result<(), StoreError> {
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
        so_far: &mut Changes,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let read = self.webhooks.get(&webhook.tenant_id, webhook.id).await?;
            // Somebody was faster, or moved it to another receiver, which deserves a chance of its own.
            let still = |read: &Webhook| read.spec.enabled && read.spec.url == webhook.spec.url;
            let Some(read) = read.filter(still) else { return Ok(()) };
            let changed = read.clone().disable(reason, (self.clock)());
            match self.webhooks.replace(&read, &changed).await {
                Err(StoreError::Changed) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    so_far.disabled += 1;
                    tracing::warn!(tenant.id = %webhook.tenant_id, webhook.id = %webhook.id, code = reason.code(), "disabled a webhook");
                    self.publish_operational_event(OperationalEvent::Disabled, &changed).await;
                    return Ok(());
                }
            }
        }
        Err(StoreError::Changed)
    }

    async fn publish_operational_event(&self, event: OperationalEvent, webhook: &Webhook) {
        let published = match event.to_event(webhook, (self.clock)()) {
            Ok(event) => self.events.send(&webhook.tenant_id, event.payload(true)).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = published {
            tracing::error!(error, webhook.id = %webhook.id, ?event, "failed to publish an operational event");
        }
    }
}
