//! Records received events and mismatches, to explain later why a webhook has no deliveries.

use std::collections::BTreeMap;
use std::time::Duration;

use anzol_domain::event_type;
use anzol_domain::match_log::{MatchRecord, Mismatch};
use anzol_domain::{Clock, Event, TenantId, Webhook, WebhookId};
use anzol_store::MatchRecords;
use quick_cache::sync::Cache;
use time::OffsetDateTime;

/// How long a record counts before the same thing is recorded again.
const RECORD_INTERVAL: time::Duration = time::Duration::HOUR;
/// How long to wait before a record that could not be written is written again.
const RETRY_DELAY: time::Duration = time::Duration::MINUTE;
/// Records that an execution environment remembers, a few MB. Forgotten ones are written again.
const CACHE_CAPACITY: usize = 20_000;
/// Most records written with one batch of events. The next batch writes the rest.
const MAX_RECORDS_PER_CALL: usize = 100;
/// Longest time that events wait for their records.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Identifies a record. Includes the version of the webhook, because a changed webhook may reject events by other rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum RecordKey {
    Event(TenantId, &'static str),
    Mismatch(WebhookId, u64, Mismatch),
}

/// Writes each record at most once per hour and execution environment.
///
/// Cost: a record is one write unit ($0.625 per million) and no read; one with the longest filter is five, or 17 beyond ASCII. In an hour, an
/// environment writes at most one for each tenant and event type received, and one for each webhook and rule (level, filter) that rejected
/// an event, for any number of events. Example: a tenant publishes 10 events per second of eight types, twenty environments accept them, and
/// twenty of its webhooks reject some: (8 + 20) × 20 = 560 records for 36,000 events, $0.01 per million events; at 100 per second a tenth of
/// that. The most expensive case is a single event per hour: one record, $0.63 per million such events, and the same again for each webhook
/// that rejects it.
#[derive(Debug)]
pub(crate) struct MatchLog {
    store: MatchRecords,
    /// Until when a record need not be written again.
    until: Cache<RecordKey, OffsetDateTime>,
    clock: Clock,
}

/// The records of a batch of events.
#[derive(Debug, Default)]
pub(crate) struct PendingRecords(BTreeMap<RecordKey, MatchRecord>);

impl PendingRecords {
    /// Adds a received event, if its type is in the catalog: no webhook can subscribe to another.
    pub(crate) fn received(&mut self, tenant: &TenantId, event: &Event) {
        if let Some(known) = event_type::find(event.event_type()) {
            let record = || MatchRecord { tenant_id: tenant.clone(), event_type: known.name, missed: None };
            self.0.entry(RecordKey::Event(tenant.clone(), known.name)).or_insert_with(record);
        }
    }

    /// Adds an event of a webhook's types that its level or filter rejected.
    pub(crate) fn mismatched(&mut self, webhook: &Webhook, miss: Mismatch, event: &Event) {
        if let (Some(known), Some(rule)) = (event_type::find(event.event_type()), webhook.rule(miss)) {
            let tenant_id = webhook.tenant_id.clone();
            let missed = Some((webhook.id, miss, rule));
            let record = || MatchRecord { tenant_id, event_type: known.name, missed };
            self.0.entry(RecordKey::Mismatch(webhook.id, webhook.version, miss)).or_insert_with(record);
        }
    }
}

impl MatchLog {
    pub(crate) fn new(store: MatchRecords, clock: Clock) -> Self {
        Self { store, until: Cache::new(CACHE_CAPACITY), clock }
    }

    /// Writes the records that were not written within the hour. A failure is only logged: it costs an explanation, not an event.
    pub(crate) async fn write(&self, PendingRecords(records): PendingRecords) {
        let now = (self.clock)();
        let new = records.into_iter().filter(|(key, _)| self.until.get(key).is_none_or(|until| until <= now));
        let (keys, records): (Vec<_>, Vec<_>) = new.take(MAX_RECORDS_PER_CALL).unzip();
        if records.is_empty() {
            return;
        }
        // Before writing, so that concurrent batches do not write the same.
        for key in &keys {
            self.until.insert(key.clone(), now + RECORD_INTERVAL);
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.store.write(&records, now)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {WRITE_TIMEOUT:?}"),
        };
        tracing::warn!(error, records = records.len(), "could not write match records");
        for key in keys {
            self.until.insert(key, now + RETRY_DELAY);
        }
    }
}
