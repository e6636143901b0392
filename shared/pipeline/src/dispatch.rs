//! Event → one delivery task for each webhook that hears it, queued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anzol_domain::silence::Miss;
use anzol_domain::{
    Clock, DeliveryId, DeliveryTask, Event, Hearing, TenantId, TraceContext, Trigger, Webhook,
};
use anzol_queue::{DeliveryQueues, Outgoing, QueueError};
use anzol_store::{Markers, Snapshot, StoreError, Webhooks};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use quick_cache::sync::Cache;
use time::OffsetDateTime;

use crate::notice::{Noticeboard, Notices};

/// Tenants whose webhooks are kept in memory between calls.
const CACHED_TENANTS: usize = 200;
/// Bytes of events in hand at most before they are queued: a large event that a hundred webhooks hear must not fill the memory.
const IN_HAND: usize = 4 * 1024 * 1024;
/// Tenants looked up at the same time when a batch of events names several.
const LOOKUPS: usize = 8;

/// Why events were not dispatched. The producer, or the queue, has to try again.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The webhooks could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not all deliveries could be queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// How events came to us.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When we took them from their producer: latencies count from then.
    pub at: OffsetDateTime,
    /// The trace of the request or message they came in. An event that names one of its own belongs to that.
    pub trace: TraceContext,
}

impl Arrival {
    /// Events that come now, in this trace or else in a new one.
    #[must_use]
    pub fn new(now: OffsetDateTime, trace: Option<TraceContext>) -> Self {
        Self { at: now, trace: trace.unwrap_or_else(|| TraceContext::begin(now)) }
    }
}

/// Finds who hears an event.
#[derive(Debug)]
pub struct Dispatcher {
    webhooks: Webhooks,
    queues: DeliveryQueues,
    /// Notes what came and what was missed.
    noticeboard: Noticeboard,
    clock: Clock,
    /// Snapshots by tenant. Each is checked against the tenant's revision before it is used, so age does no harm.
    snapshots: Cache<TenantId, Arc<Snapshot>>,
}

impl Dispatcher {
    /// A dispatcher that reads from `webhooks`, writes to `queues`, and notes in `markers` what came and what was missed.
    #[must_use]
    pub fn new(webhooks: Webhooks, queues: DeliveryQueues, markers: Markers, clock: Clock) -> Self {
        let noticeboard = Noticeboard::new(markers, clock);
        Self { webhooks, queues, noticeboard, clock, snapshots: Cache::new(CACHED_TENANTS) }
    }

    /// Queues one task for each webhook that hears one of the events; answers how many.
    ///
    /// Events without a tenant belong to nobody and are heard by nobody: callers refuse them first. Of tenants that have webhooks it is
    /// noted, at the same time, what came and which webhooks missed some of it by their level or filter; that never fails an event.
    pub async fn dispatch(&self, events: &[Event], arrival: &Arrival) -> Result<usize, DispatchError> {
        let tenants: BTreeSet<TenantId> = events.iter().filter_map(Event::tenant).cloned().collect();
        let snapshots: BTreeMap<_, _> = futures::stream::iter(tenants)
            .map(|tenant| async move {
                let snapshot = self.snapshot(&tenant).await?;
                Ok::<_, StoreError>((tenant, snapshot))
            })
            .buffer_unordered(LOOKUPS)
            .try_collect()
            .await?;
        let (mut outgoing, mut notices) = (Vec::new(), Notices::default());
        let (mut count, mut bytes) = (0, 0);
        for event in events {
            let Some((tenant, snapshot)) = event.tenant().and_then(|t| snapshots.get(t).map(|s| (t, s)))
            else {
                continue;
            };
            if !snapshot.webhooks.is_empty() {
                notices.came(tenant, event);
            }
            for webhook in &snapshot.webhooks {
                match webhook.hearing(event) {
                    Hearing::Heard => {
                        outgoing.push(self.first_attempt(tenant, webhook, event, arrival));
                        count += 1;
                        bytes += event.size();
                    }
                    Hearing::Level => notices.missed(webhook, Miss::Level, event),
                    Hearing::Filter => notices.missed(webhook, Miss::Filter, event),
                    Hearing::NotEnabled | Hearing::OtherType | Hearing::OwnNews => {}
                }
                if bytes >= IN_HAND {
                    bytes = 0;
                    self.queues.send(std::mem::take(&mut outgoing)).await?;
                }
            }
        }
        let (queued, ()) = futures::join!(self.queues.send(outgoing), self.noticeboard.note(notices));
        queued?;
        Ok(count)
    }

    fn first_attempt(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        event: &Event,
        arrival: &Arrival,
    ) -> Outgoing {
        let task = DeliveryTask {
            tenant_id: tenant.clone(),
            webhook_id: webhook.id,
            delivery_id: DeliveryId::mint((self.clock)()),
            attempt: 1,
            trigger: Trigger::Event,
            accepted_at: Some(arrival.at),
            trace: Some(event.trace().unwrap_or_else(|| arrival.trace.clone())),
            event: event.clone(),
        };
        Outgoing { task, lane: webhook.health.lane, delay: Duration::ZERO }
    }

    /// The tenant's webhooks as of now: one small read when nothing changed since the last call.
    async fn snapshot(&self, tenant: &TenantId) -> Result<Arc<Snapshot>, StoreError> {
        let revision = self.webhooks.revision(tenant).await?;
        if let Some(snapshot) = self.snapshots.get(tenant).filter(|snapshot| snapshot.revision == revision) {
            return Ok(snapshot);
        }
        // Read after the revision: what we keep may be newer than it says, never older.
        let webhooks = if revision == 0 { Vec::new() } else { self.webhooks.list(tenant).await? };
        let snapshot = Arc::new(Snapshot { revision, webhooks });
        self.snapshots.insert(tenant.clone(), Arc::clone(&snapshot));
        Ok(snapshot)
    }
}
