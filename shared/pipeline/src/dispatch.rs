//! Event → one delivery task for each webhook that hears it, queued.

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

/// Bytes of webhooks that are kept in memory between calls: those of thousands of ordinary tenants, or of a dozen that use all they may.
const CACHED: u64 = 32 * 1024 * 1024;
/// Tenants whose webhooks that may be, if each has one. The cache remembers the names of half as many that it had to let go: a tenant
/// that comes again before it is forgotten stays, and those that do not come again make room.
const CACHED_TENANTS: usize = 20_000;
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
    /// The queue will never take some of them; all others are queued.
    #[error("the queue refused events for good, by their places: {0:?}")]
    Refused(BTreeMap<usize, String>),
}

/// How events came to us.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// When we took them from their producer: latencies count from then.
    pub at: OffsetDateTime,
    /// The trace of the request or message they came in. An event that names one of its own belongs to that.
    pub trace: TraceContext,
}

impl Accepted {
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
    match_log: MatchLog,
    clock: Clock,
    /// Snapshots by tenant. Each is checked against the tenant's revision before it is used, so age does no harm.
    snapshots: Snapshots,
}

type Snapshots = Cache<TenantId, Arc<Snapshot>, Footprint>;

/// All webhooks of a tenant, as they were at a revision or a little later.
#[derive(Debug)]
struct Snapshot {
    /// The tenant's revision before the webhooks were read: when it still holds, so does the snapshot.
    revision: u64,
    /// Oldest first. Not a vector, which has room for more than is in it: for one webhook, four times what it takes.
    webhooks: Box<[Webhook]>,
}

/// Weighs a tenant's webhooks by the memory they take.
#[derive(Debug, Clone, Copy)]
struct Footprint;

impl Weighter<TenantId, Arc<Snapshot>> for Footprint {
    fn weight(&self, tenant: &TenantId, snapshot: &Arc<Snapshot>) -> u64 {
        const PLACE: usize = 128; // in the cache's tables
        let webhooks = snapshot.webhooks.iter().map(Webhook::footprint).sum::<usize>();
        let bytes = size_of::<(TenantId, Snapshot)>() + PLACE + tenant.as_str().len() + webhooks;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Dispatcher {
    /// A dispatcher that reads from `webhooks`, writes to `queues`, and notes in `markers` what came and what was missed.
    #[must_use]
    pub fn new(webhooks: Webhooks, queues: DeliveryQueues, markers: MatchRecords, clock: Clock) -> Self {
        let match_log = MatchLog::new(markers, clock);
        let snapshots = Snapshots::with_weighter(CACHED_TENANTS, CACHED, Footprint);
        Self { webhooks, queues, match_log, clock, snapshots }
    }

    /// Queues one task for each webhook that hears one of the events; answers how many.
    ///
    /// Events without a tenant belong to nobody and are heard by nobody: callers refuse them first. Of tenants that have webhooks it is
    /// noted, at the same time, what came and which webhooks missed some of it by their level or filter; that never fails an event.
    ///
    /// # Errors
    /// Trying again helps, and queues some deliveries twice, unless it is [`DispatchError::Refused`]: the events at these places will never
    /// be taken, the others are, and are not to be given here again.
    pub async fn dispatch(&self, events: &[Event], arrival: &Accepted) -> Result<usize, DispatchError> {
        let tenants: BTreeSet<TenantId> = events.iter().filter_map(Event::tenant).cloned().collect();
        let snapshots: BTreeMap<_, _> = futures::stream::iter(tenants)
            .map(|tenant| async move {
                let snapshot = self.snapshot(&tenant).await?;
                Ok::<_, StoreError>((tenant, snapshot))
            })
            .buffer_unordered(LOOKUPS)
            .try_collect()
            .await?;
        let (mut outgoing, mut records) = (Vec::new(), PendingRecords::default());
        let (mut count, mut bytes) = (0, 0);
        // Of which event each delivery is, and which events the queue has refused for good so far.
        let (mut places, mut refused) = (Vec::new(), BTreeMap::new());
        for (place, event) in events.iter().enumerate() {
            let Some((tenant, snapshot)) = event.tenant().and_then(|t| snapshots.get(t).map(|s| (t, s)))
            else {
                continue;
            };
            if !snapshot.webhooks.is_empty() {
                records.received(tenant, event);
            }
            let size = event.size();
            for webhook in &snapshot.webhooks {
                match webhook.match_event(event) {
                    MatchOutcome::Matched => {
                        let first = self.first_attempt(tenant, webhook, event, arrival);
                        places.push((first.task.delivery_id, place));
                        outgoing.push(first);
                        count += 1;
                        bytes += size;
                    }
                    MatchOutcome::LevelMismatch => records.mismatched(webhook, Mismatch::Level, event),
                    MatchOutcome::FilterMismatch => records.mismatched(webhook, Mismatch::Filter, event),
                    MatchOutcome::Disabled | MatchOutcome::TypeMismatch | MatchOutcome::SelfReference => {}
                }
                if bytes >= IN_HAND {
                    bytes = 0;
                    let queued = self.queues.send(std::mem::take(&mut outgoing)).await;
                    refused.append(&mut permanent(queued, &places)?);
                }
            }
        }
        let (queued, ()) = futures::join!(self.queues.send(outgoing), self.match_log.write(records));
        refused.append(&mut permanent(queued, &places)?);
        if refused.is_empty() { Ok(count) } else { Err(DispatchError::Refused(refused)) }
    }

    fn first_attempt(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        event: &Event,
        arrival: &Accepted,
    ) -> OutgoingDelivery {
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
        OutgoingDelivery { task, lane: webhook.health.lane, delay: Duration::ZERO }
    }

    /// The tenant's webhooks as of now: one small read when nothing changed since the last call.
    async fn snapshot(&self, tenant: &TenantId) -> Result<Arc<Snapshot>, StoreError> {
        let revision = self.webhooks.revision(tenant).await?;
        if let Some(snapshot) = self.snapshots.get(tenant).filter(|snapshot| snapshot.revision == revision) {
            return Ok(snapshot);
        }
        // Read after the revision: what we keep may be newer than it says, never older.
        let webhooks = if revision == 0 { Vec::new() } else { self.webhooks.list(tenant).await? };
        let snapshot = Arc::new(Snapshot { revision, webhooks: webhooks.into_boxed_slice() });
        self.snapshots.insert(tenant.clone(), Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// The places of the events that the queue refused for good, with the code of its error; an error when trying again helps some other.
fn permanent(
    queued: Result<(), QueueError>,
    places: &[(DeliveryId, usize)],
) -> Result<BTreeMap<usize, String>, QueueError> {
    let Err(mut error) = queued else { return Ok(BTreeMap::new()) };
    if !error.unsent.is_empty() {
        return Err(error);
    }
    tracing::error!(%error, "deliveries were refused by the queue for good");
    Ok(places.iter().filter_map(|(id, place)| Some((*place, error.refused.remove(id)?))).collect())
}

#[cfg(test)]
mod tests {
    use anzol_domain::webhook::{Defaults, WebhookInput};
    use anzol_domain::{Health, Origin, UserId, WebhookId};

    use super::*;

    /// A webhook of which everything is about as long as it may be.
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
        Webhook {
            id: WebhookId::mint(at),
            tenant_id: TenantId::parse("acme").unwrap(),
            spec: spec.check(&Defaults::creation(&owner)).unwrap().0,
            origin: Origin::Api,
            created_at: at,
            updated_at: at,
            created_by: UserId::parse("ann").unwrap(),
            updated_by: UserId::parse("ann").unwrap(),
            sealed: None,
            health: Health::default(),
            disabled: None,
            version: 1,
        }
    }

    /// A webhook as most are.
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
    fn snapshots_weigh_about_what_they_take() {
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
    fn many_large_tenants_do_not_outgrow_the_memory_and_the_last_one_is_kept() {
        let snapshots = Snapshots::with_weighter(CACHED_TENANTS, CACHED, Footprint);
        let snapshot = Arc::new(Snapshot { revision: 1, webhooks: vec![large(); 100].into() });
        assert!(snapshot.webhooks.iter().all(|webhook| (10_000..40_000).contains(&webhook.footprint())));
        for index in 0..30 {
            let tenant = TenantId::parse(&format!("tenant-{index}")).unwrap();
            snapshots.insert(tenant.clone(), Arc::clone(&snapshot));
            assert!(snapshots.get(&tenant).is_some(), "{index}");
            assert!(snapshots.weight() <= CACHED);
        }
        assert!(snapshots.len() >= 4, "{}", snapshots.len());
    }
}
