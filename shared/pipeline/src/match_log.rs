//! Notes of events that came and of webhooks that missed one, for whoever asks later why a webhook is silent.

use std::collections::BTreeMap;
use std::time::Duration;

use anzol_domain::event_type;
use anzol_domain::match_log::{MatchRecord, Mismatch};
use anzol_domain::{Clock, Event, TenantId, Webhook, WebhookId};
use anzol_store::MatchRecords;
use quick_cache::sync::Cache;
use time::OffsetDateTime;

/// How long a marker stands before the same thing is noted again.
const RECORD_INTERVAL: time::Duration = time::Duration::HOUR;
/// How long a marker that could not be written is left alone.
const RETRY_DELAY: time::Duration = time::Duration::MINUTE;
/// Markers that an environment remembers, a few MB; what is forgotten is noted again.
const CACHE_CAPACITY: usize = 20_000;
/// Most markers written with one batch of events; the next batch notes the rest.
const MAX_RECORDS_PER_CALL: usize = 100;
/// Longest time that events wait for their markers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a marker is of. The version is that of the webhook: once it is changed, other rules may stand against an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum RecordKey {
    Event(TenantId, &'static str),
    Mismatch(WebhookId, u64, Mismatch),
}

/// Writes markers, each at most once an hour and execution environment.
///
/// What that costs: a marker is one write unit ($0.625 a million), and no read; one that holds the longest filter is five, or 17 beyond ASCII.
/// In an hour an environment writes at most one for each tenant and event type that came, and one for each webhook and rule (level,
/// filter) that stood against an event, however many events there are. Say a tenant's 10 events a second, of eight types, are taken by
/// twenty environments, and twenty of its webhooks miss some: (8 + 20) × 20 = 560 markers for 36,000 events, $0.01 per million
/// events; at 100 a second a tenth of that. The most there can be is for an event that comes alone in its hour: one marker, $0.63
/// per million such events, and as much again for each webhook that misses it.
#[derive(Debug)]
pub(crate) struct MatchLog {
    markers: MatchRecords,
    /// Until when a marker need not be written again.
    until: Cache<RecordKey, OffsetDateTime>,
    clock: Clock,
}

/// What is to be noted of a batch of events.
#[derive(Debug, Default)]
pub(crate) struct PendingRecords(BTreeMap<RecordKey, MatchRecord>);

impl PendingRecords {
    /// An event came. One that nobody can subscribe to is not worth a note.
    pub(crate) fn received(&mut self, tenant: &TenantId, event: &Event) {
        if let Some(known) = event_type::find(event.event_type()) {
            let note = || MatchRecord { tenant_id: tenant.clone(), event_type: known.name, missed: None };
            self.0.entry(RecordKey::Event(tenant.clone(), known.name)).or_insert_with(note);
        }
    }

    /// A webhook did not hear an event of its types.
    pub(crate) fn mismatched(&mut self, webhook: &Webhook, miss: Mismatch, event: &Event) {
        if let (Some(known), Some(rule)) = (event_type::find(event.event_type()), webhook.rule(miss)) {
            let tenant_id = webhook.tenant_id.clone();
            let missed = Some((webhook.id, miss, rule));
            let note = || MatchRecord { tenant_id, event_type: known.name, missed };
            self.0.entry(RecordKey::Mismatch(webhook.id, webhook.version, miss)).or_insert_with(note);
        }
    }
}

impl MatchLog {
    pub(crate) fn new(markers: MatchRecords, clock: Clock) -> Self {
        Self { markers, until: Cache::new(CACHE_CAPACITY), clock }
    }

    /// Writes what was not noted within the hour. A failure is logged: it costs an answer to a question that may never be asked.
    pub(crate) async fn write(&self, PendingRecords(records): PendingRecords) {
        let now = (self.clock)();
        let new = records.into_iter().filter(|(of, _)| self.until.get(of).is_none_or(|until| until <= now));
        let (of, notes): (Vec<_>, Vec<_>) = new.take(MAX_RECORDS_PER_CALL).unzip();
        if notes.is_empty() {
            return;
        }
        // Before they are written: other events of this moment need not write the same.
        for of in &of {
            self.until.insert(of.clone(), now + RECORD_INTERVAL);
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.markers.write(&notes, now)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {WRITE_TIMEOUT:?}"),
        };
        tracing::warn!(error, markers = notes.len(), "could not note what came and what was missed");
        for of in of {
            self.until.insert(of, now + RETRY_DELAY);
        }
    }
}
