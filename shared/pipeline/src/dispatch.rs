//! Matches events against webhooks and queues one delivery task per match.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anzol_domain::match_log::Mismatch;
use anzol_domain::{
    Clock, DeliveryId, DeliveryTask, Event, MatchOutcome, TenantId, TraceContext, Trigger, Webhook,
};
use anzol_queue::{DeliveryQueues, OutgoingDelivery, QueueError};
use anzol_store::{MatchRecords, StoreError, Webhooks};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use time::OffsetDateTime;

use crate::match_log::{MatchLog, PendingRecords};

/// Maximum memory of cached webhooks, in bytes: enough for thousands of ordinary tenants, or a dozen at their limits.
const CACHED: u64 = 32 * 1024 * 1024;
/// Expected number of cached tenants. The cache also remembers the keys of half as many evicted tenants, and keeps a tenant longer if it
/// returns soon.
const CACHED_TENANTS: usize = 20_000;
/// Maximum size of matched events before they are queued, in bytes: a large event that matches a hundred webhooks must not fill the memory.
const IN_HAND: usize = 4 * 1024 * 1024;
/// Concurrent lookups of tenants.
const LOOKUPS: usize = 8;

/// Why events were not dispatched. Except for [`DispatchError::Refused`], the producer or the queue must send them again.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The webhooks could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not all deliveries could be queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The queue permanently refused the events with these indexes, each with the code of its error. All others are queued.
    #[error("the queue refused events permanently, by their indexes: {0:?}")]
    Refused(BTreeMap<usize, String>),
}

/// The time and the trace of accepted events.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// When the events were accepted from their producer. Latencies are measured from this time.
    pub at: OffsetDateTime,
    /// The trace of the request or message. An event that names a trace uses that trace instead.
    pub trace: TraceContext,
}

impl Accepted {
    /// Returns the acceptance at `now`, in this trace or in a new one.
    #[must_use]
    pub fn new(now: OffsetDateTime, trace: Option<TraceContext>) -> Self {
        Self { at: now, trace: trace.unwrap_or_else(|| TraceContext::start(now)) }
    }
}

/// Queues deliveries of events.
#[derive(Debug)]
pub struct Dispatcher {
    webhooks: Webhooks,
    queues: DeliveryQueues,
    /// Records received events and mismatches.
    match_log: MatchLog,
    clock: Clock,
    /// Snapshots by tenant. Each is checked against the tenant's revision before use, so none is stale.
    snapshots: Snapshots,
}

type Snapshots = Cache<TenantId, Arc<Snapshot>, Footprint>;

/// All webhooks of a tenant, at a revision or shortly after.
#[derive(Debug)]
struct Snapshot {
    /// The tenant's revision before the webhooks were read. The snapshot is current while this revision is.
    revision: u64,
    /// The webhooks, oldest first. Not a vector, which can reserve four times the memory for a single webhook.
    webhooks: Box<[Webhook]>,
}

/// Weighs a tenant's webhooks by the memory they use.
#[derive(Debug, Clone, Copy)]
struct Footprint;

impl Weighter<TenantId, Arc<Snapshot>> for Footprint {
    fn weight(&self, tenant: &TenantId, snapshot: &Arc<Snapshot>) -> u64 {
        const SLOT: usize = 128; // in the cache's tables
        let webhooks = snapshot.webhooks.iter().map(footprint).sum::<usize>();
        let bytes = size_of::<(TenantId, Snapshot)>() + SLOT + tenant.as_str().len() + webhooks;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Dispatcher {
    /// Returns a dispatcher that reads from `webhooks`, queues on `queues`, and records received events and mismatches in `records`.
    #[must_use]
    pub fn new(webhooks: Webhooks, queues: DeliveryQueues, records: MatchRecords, clock: Clock) -> Self {
        let match_log = MatchLog::new(records, clock);
        let snapshots = Snapshots::with_weighter(CACHED_TENANTS, CACHED, Footprint);
        Self { webhooks, queues, match_log, clock, snapshots }
    }

    /// Queues one task for each event and webhook that match. Returns the number of tasks.
    ///
    /// Events without a tenant match no webhook; callers reject them first. For tenants with webhooks, received events and mismatches by
    /// level or filter are recorded at the same time. A failure to record them is only logged.
    ///
    /// # Errors
    /// After [`DispatchError::Refused`], the caller must not dispatch any of the events again: the refused events will never be accepted,
    /// and the others are queued. After any other error, dispatching again can succeed, and queues some deliveries twice.
    pub async fn dispatch(&self, events: &[Event], accepted: &Accepted) -> Result<usize, DispatchError> {
        let snapshots = self.snapshots(events).await?;
        let mut pending = Pending::default();
        for (index, event) in events.iter().enumerate() {
            let Some((tenant, snapshot)) = event.tenant().and_then(|t| snapshots.get(t).map(|s| (t, s)))
            else {
                continue;
            };
            if !snapshot.webhooks.is_empty() {
                pending.records.received(tenant, event);
            }
            let size = event.size();
            for webhook in &snapshot.webhooks {
                match webhook.match_event(event) {
                    MatchOutcome::Matched => {
                        pending.add(self.first_attempt(tenant, webhook, event, accepted), index, size);
                    }
                    MatchOutcome::LevelMismatch => {
                        pending.records.mismatched(webhook, Mismatch::Level, event);
                    }
                    MatchOutcome::FilterMismatch => {
                        pending.records.mismatched(webhook, Mismatch::Filter, event);
                    }
                    MatchOutcome::Disabled | MatchOutcome::TypeMismatch | MatchOutcome::SelfReference => {}
                }
                if pending.bytes >= IN_HAND {
                    let queued = self.queues.send(pending.take_outgoing()).await;
                    pending.sent(queued)?;
                }
            }
        }
        let (outgoing, records) = (pending.take_outgoing(), std::mem::take(&mut pending.records));
        let (queued, ()) = futures::join!(self.queues.send(outgoing), self.match_log.write(records));
        pending.sent(queued)?;
        let Pending { count, refused, .. } = pending;
        if refused.is_empty() { Ok(count) } else { Err(DispatchError::Refused(refused)) }
    }

    /// Returns the current webhooks of all tenants that the events name.
    async fn snapshots(&self, events: &[Event]) -> Result<BTreeMap<TenantId, Arc<Snapshot>>, StoreError> {
        let tenants: BTreeSet<TenantId> = events.iter().filter_map(Event::tenant).cloned().collect();
        futures::stream::iter(tenants)
            .map(|tenant| async move {
                let snapshot = self.snapshot(&tenant).await?;
                Ok::<_, StoreError>((tenant, snapshot))
            })
            .buffer_unordered(LOOKUPS)
            .try_collect()
            .await
    }

    fn first_attempt(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        event: &Event,
        accepted: &Accepted,
    ) -> OutgoingDelivery {
        let task = DeliveryTask {
            tenant_id: tenant.clone(),
            webhook_id: webhook.id,
            delivery_id: DeliveryId::mint((self.clock)()),
            attempt: 1,
            trigger: Trigger::Event,
            accepted_at: Some(accepted.at),
            trace: Some(event.trace().unwrap_or_else(|| accepted.trace.clone())),
            event: event.clone(),
        };
        OutgoingDelivery { task, lane: webhook.health.lane, delay: Duration::ZERO }
    }

    /// Returns the tenant's current webhooks. Costs one small read if they have not changed since the last call.
    async fn snapshot(&self, tenant: &TenantId) -> Result<Arc<Snapshot>, StoreError> {
        let revision = self.webhooks.revision(tenant).await?;
        if let Some(snapshot) = self.snapshots.get(tenant).filter(|snapshot| snapshot.revision == revision) {
            return Ok(snapshot);
        }
        // Read after the revision, so that the snapshot can be newer than its revision, but never older.
        let webhooks = if revision == 0 { Vec::new() } else { self.webhooks.list(tenant).await? };
        let snapshot = Arc::new(Snapshot { revision, webhooks: webhooks.into_boxed_slice() });
        self.snapshots.insert(tenant.clone(), Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// Deliveries that are not queued yet, and the results of those that are.
#[derive(Default)]
struct Pending {
    outgoing: Vec<OutgoingDelivery>,
    /// Size of the events in `outgoing`, in bytes.
    bytes: usize,
    /// The index of each delivery's event.
    indexes: Vec<(DeliveryId, usize)>,
    /// Number of deliveries, queued or not.
    count: usize,
    /// The events that the queue permanently refused, by index, with the code of the error.
    refused: BTreeMap<usize, String>,
    /// Received events and mismatches.
    records: PendingRecords,
}

impl Pending {
    fn add(&mut self, delivery: OutgoingDelivery, index: usize, size: usize) {
        self.indexes.push((delivery.task.delivery_id, index));
        self.outgoing.push(delivery);
        self.count += 1;
        self.bytes += size;
    }

    fn take_outgoing(&mut self) -> Vec<OutgoingDelivery> {
        self.bytes = 0;
        std::mem::take(&mut self.outgoing)
    }

    /// Processes the result of queuing.
    ///
    /// # Errors
    /// Sending again can succeed for at least one delivery.
    fn sent(&mut self, queued: Result<(), QueueError>) -> Result<(), QueueError> {
        let Err(mut error) = queued else { return Ok(()) };
        if !error.unsent.is_empty() {
            return Err(error);
        }
        tracing::error!(%error, "the queue refused deliveries permanently");
        let refused = self.indexes.iter().filter_map(|(id, index)| Some((*index, error.refused.remove(id)?)));
        self.refused.extend(refused);
        Ok(())
    }
}

/// Estimates the memory of a webhook, in bytes: its texts and a fixed part.
fn footprint(webhook: &Webhook) -> usize {
    const ENTRY: usize = 48; // what the allocator and a collection add to a text
    const NODE: usize = 560; // a node of the tree of headers; each node but the root holds at least five headers
    let spec = &webhook.spec;
    // A parsed filter takes several times the memory of its text.
    let filter = spec.filter.as_ref().map_or(0, |filter| filter.to_string().len() * 4);
    let users = [&spec.owner_id, &webhook.created_by, &webhook.updated_by].map(|user| user.as_str().len());
    let texts = [webhook.tenant_id.as_str().len(), spec.name.len(), spec.url.as_str().len(), filter]
        .into_iter()
        .chain(users)
        .chain(spec.description.iter().map(String::len))
        .chain(spec.event_types.iter().map(String::len))
        .chain(spec.headers.iter().map(|(name, value)| name.len() + value.len() + ENTRY))
        .chain(webhook.sealed.iter().map(|sealed| sealed.ciphertext.len()))
        .chain(webhook.encrypted_header_names().map(str::len));
    let nodes = spec.headers.iter().count().div_ceil(5) * NODE;
    size_of::<Webhook>() + texts.map(|bytes| bytes + ENTRY).sum::<usize>() + nodes
}

#[cfg(test)]
mod tests {
    use anzol_domain::webhook::{Defaults, WebhookInput};
    use anzol_domain::{UserId, WebhookId};

    use super::*;

    /// Returns a webhook whose members are all near their limits.
    fn large() -> Webhook {
        let at = OffsetDateTime::UNIX_EPOCH;
        let filter = r#"id eq "0984fec4-aa8c-4253-b1d1-4fd4f9c78000" or "#.repeat(80);
        let owner = UserId::parse("ann").unwrap();
        let spec = WebhookInput {
            name: Some("n".repeat(512)),
            description: Some("d".repeat(1024)),
            url: Some(format!("https://hooks.example.com/{}", "p".repeat(2000))),
            event_types: Some(vec!["com.qlik.v1.app.created".to_owned(); 100]),
            filter: Some(format!(r#"{filter}id eq "1""#)),
            headers: Some([("x".to_owned(), "v".repeat(2000))].into()),
            ..WebhookInput::default()
        };
        let tenant = TenantId::parse("acme").unwrap();
        let spec = spec.check(&Defaults::creation(&owner)).unwrap().0;
        Webhook::new(WebhookId::mint(at), tenant, spec, owner, at)
    }

    /// Returns a typical webhook.
    fn usual() -> Webhook {
        let mut webhook = large();
        let owner = UserId::parse("vNRGrDZIypJzauw59BbpvkRhqbmI").unwrap();
        webhook.spec = WebhookInput {
            name: Some("Reloads of sales".to_owned()),
            url: Some("https://hooks.example.com/qlik/reloads".to_owned()),
            event_types: Some(vec!["com.qlik.v1.app.reload.finished".to_owned()]),
            headers: Some([("X-Environment".to_owned(), "production".to_owned())].into()),
            ..WebhookInput::default()
        }
        .check(&Defaults::creation(&owner))
        .unwrap()
        .0;
        webhook
    }

    #[test]
    fn snapshot_weight_is_near_its_memory() {
        for webhook in [usual(), large()] {
            for count in [1, 10, 100] {
                let mut kept = None;
                let taken = allocation_counter::measure(|| {
                    let mut webhooks = Vec::new();
                    for _ in 0..count {
                        webhooks.push(webhook.clone()); // grows as the store's list does
                    }
                    let tenant = TenantId::parse("a-tenant").unwrap();
                    kept = Some((tenant, Arc::new(Snapshot { revision: 1, webhooks: webhooks.into() })));
                });
                let (tenant, snapshot) = kept.unwrap();
                let weight = Footprint.weight(&tenant, &snapshot);
                let taken = u64::try_from(taken.bytes_current).unwrap();
                assert!((taken..taken * 2).contains(&weight), "{count}: {taken} bytes weigh {weight}");
            }
        }
    }

    #[test]
    fn cache_of_large_tenants_keeps_the_last_within_its_limit() {
        let snapshots = Snapshots::with_weighter(CACHED_TENANTS, CACHED, Footprint);
        let snapshot = Arc::new(Snapshot { revision: 1, webhooks: vec![large(); 100].into() });
        assert!(snapshot.webhooks.iter().all(|webhook| (10_000..40_000).contains(&footprint(webhook))));
        for index in 0..30 {
            let tenant = TenantId::parse(&format!("tenant-{index}")).unwrap();
            snapshots.insert(tenant.clone(), Arc::clone(&snapshot));
            assert!(snapshots.get(&tenant).is_some(), "{index}");
            assert!(snapshots.weight() <= CACHED);
        }
        assert!(snapshots.len() >= 4, "{}", snapshots.len());
    }
}
