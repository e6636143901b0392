//! Records received events and mismatches, which explain why a webhook has no deliveries.

use std::collections::BTreeMap;
use std::time::Duration;

use anzol_domain::event_type;
use anzol_domain::match_log::{MatchRecord, Mismatch};
use anzol_domain::{Clock, Event, TenantId, Webhook, WebhookId};
use anzol_store::MatchRecords;
use quick_cache::sync::Cache;
use time::OffsetDateTime;

/// Minimum time between two writes of the same record.
const RECORD_INTERVAL: time::Duration = time::Duration::HOUR;
/// Minimum time before a failed write of a record is tried again.
const RETRY_DELAY: time::Duration = time::Duration::MINUTE;
/// Maximum number of records whose last write an execution environment remembers, in a few MB. An evicted record is written again.
const CACHE_CAPACITY: usize = 20_000;
/// Maximum number of records that are written with one batch of events. The next batch writes the rest.
const MAX_RECORDS_PER_CALL: usize = 100;
/// Maximum time that events wait for their records.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The key of a record. Contains the webhook's version, because a changed webhook has other rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum RecordKey {
    Event(TenantId, &'static str),
    Mismatch(WebhookId, u64, Mismatch),
}

/// Writes each record at most once an hour per execution environment.
///
/// Cost: a record takes one write unit ($0.625 per million) and no read; with the longest filter, five write units, or 17 if the filter is
/// not ASCII. In an hour, an environment writes at most one record for each tenant and received event type, and one for each webhook and
/// rule (level, filter) that rejected an event, for any number of events. Example: twenty environments receive 10 events per second of
/// eight types, and twenty webhooks of the tenant reject some. They write (8 + 20) × 20 = 560 records for 36,000 events, $0.01 per million
/// events; at 100 events per second a tenth of that. The maximum is one record for each event, if each event is the only one of its hour:
/// $0.63 per million events, and the same for each webhook that rejects them.
#[derive(Debug)]
pub(crate) struct MatchLog {
    records: MatchRecords,
    /// The time until which each record is not written again.
    until: Cache<RecordKey, OffsetDateTime>,
    clock: Clock,
}

/// The records of a batch of events.
#[derive(Debug, Default)]
pub(crate) struct PendingRecords(BTreeMap<RecordKey, MatchRecord>);

impl PendingRecords {
    /// Adds a received event, unless its type is not in the catalog.
    pub(crate) fn received(&mut self, tenant: &TenantId, event: &Event) {
        if let Some(known) = event_type::find(event.event_type()) {
            let record = || MatchRecord { tenant_id: tenant.clone(), event_type: known.name, mismatch: None };
            self.0.entry(RecordKey::Event(tenant.clone(), known.name)).or_insert_with(record);
        }
    }

    /// Adds an event of a subscribed type that a webhook's rule rejected.
    pub(crate) fn mismatched(&mut self, webhook: &Webhook, mismatch: Mismatch, event: &Event) {
        if let (Some(known), Some(rule)) =
            (event_type::find(event.event_type()), webhook.mismatch_rule(mismatch))
        {
            let key = RecordKey::Mismatch(webhook.id, webhook.version, mismatch);
            let (tenant_id, mismatch) = (webhook.tenant_id.clone(), Some((webhook.id, mismatch, rule)));
            self.0.entry(key).or_insert_with(|| MatchRecord { tenant_id, event_type: known.name, mismatch });
        }
    }
}

impl MatchLog {
    pub(crate) fn new(records: MatchRecords, clock: Clock) -> Self {
        Self { records, until: Cache::new(CACHE_CAPACITY), clock }
    }

    /// Writes the records that were not written within the last hour. A failure is only logged, because events matter more than
    /// diagnostics.
    pub(crate) async fn write(&self, PendingRecords(pending): PendingRecords) {
        let now = (self.clock)();
        let due = pending.into_iter().filter(|(key, _)| self.until.get(key).is_none_or(|until| until <= now));
        let (keys, records): (Vec<_>, Vec<_>) = due.take(MAX_RECORDS_PER_CALL).unzip();
        if records.is_empty() {
            return;
        }
        // Marked before the write, so that concurrent events do not write the same records.
        for key in &keys {
            self.until.insert(key.clone(), now + RECORD_INTERVAL);
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.records.write(&records, now)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response within {WRITE_TIMEOUT:?}"),
        };
        tracing::warn!(error, records = records.len(), "failed to write the match log");
        for key in keys {
            self.until.insert(key, now + RETRY_DELAY);
        }
    }
}
