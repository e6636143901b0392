//! Recoveries, which send all permanently failed deliveries of a webhook since a given time again. An Anzol extension.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::delivery::RETENTION;
use crate::error::Invalid;
use crate::id::{DeliveryId, RecoveryId, TenantId, WebhookId};
use crate::rule::Rule;

/// How far `since` can be before the start of the history, because a request for the last seven days takes a moment to arrive. Such a
/// `since` means the start of the history.
const LEEWAY: Duration = Duration::minutes(1);

/// The status of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryStatus {
    /// There may be more deliveries to find.
    Running,
    /// All deliveries are queued again; the history shows their results.
    Done,
    /// The webhook was disabled before all deliveries were found.
    Stopped,
}

/// Time without a step after which a recovery and its messages count as lost, and another recovery can start. A busy slow lane delays steps
/// by minutes only.
pub const STALLED_AFTER: Duration = Duration::HOUR;

/// A recovery and its progress, from the oldest failure to the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The id.
    pub id: RecoveryId,
    /// The tenant of the webhook.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Deliveries triggered from then on.
    pub since: OffsetDateTime,
    /// Deliveries triggered before then: the time of the request.
    pub until: OffsetDateTime,
    /// The status.
    pub status: RecoveryStatus,
    /// Rows up to this one are processed. Absent before the first step, and in recoveries of an older release, which went from newest to
    /// oldest.
    pub newer_than: Option<DeliveryId>,
    /// Only rows below this one are processed: the time of the request, or the progress of an older release, which went from newest to
    /// oldest.
    pub older_than: DeliveryId,
    /// The time of the last step.
    pub stepped_at: Option<OffsetDateTime>,
    /// Permanently failed deliveries found so far: `requeued` and `skipped` together.
    pub found: u32,
    /// Deliveries queued again so far.
    pub requeued: u32,
    /// Deliveries skipped so far: their event is already queued again, was delivered in the meantime, or was a test.
    pub skipped: u32,
    /// When the recovery finished.
    pub finished_at: Option<OffsetDateTime>,
}

/// The next step of a recovery: a message of the slow lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryTask {
    /// The tenant of the webhook.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The recovery, whose row has the progress.
    pub recovery_id: RecoveryId,
}

impl Recovery {
    /// Returns a recovery that starts at `now`.
    #[must_use]
    pub fn new(
        tenant_id: TenantId,
        webhook_id: WebhookId,
        since: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: RecoveryId::mint(now),
            tenant_id,
            webhook_id,
            since,
            until: now,
            status: RecoveryStatus::Running,
            newer_than: None,
            older_than: DeliveryId::lowest_at(now),
            stepped_at: None,
            found: 0,
            requeued: 0,
            skipped: 0,
            finished_at: None,
        }
    }

    /// Returns the finished recovery.
    #[must_use]
    pub fn finished(mut self, status: RecoveryStatus, now: OffsetDateTime) -> Self {
        self.status = status;
        self.finished_at = Some(now);
        self
    }

    /// Returns the range of ids that are still to be processed. Includes the last processed row, but not the upper end.
    #[must_use]
    pub fn range(&self) -> (DeliveryId, DeliveryId) {
        let oldest = DeliveryId::lowest_at(self.since);
        (self.newer_than.map_or(oldest, |seen| seen.max(oldest)), self.older_than)
    }

    /// Returns the first id after the recovery. Deliveries triggered after the request are not part of the recovery.
    #[must_use]
    pub fn end(&self) -> DeliveryId {
        DeliveryId::lowest_at(self.until)
    }

    /// Returns whether the recovery prevents another one at `now`, because it is running and had a step within [`STALLED_AFTER`].
    #[must_use]
    pub fn is_under_way(&self, now: OffsetDateTime) -> bool {
        let stepped_at = self.stepped_at.unwrap_or(self.until);
        self.status == RecoveryStatus::Running && now - stepped_at < STALLED_AFTER
    }

    /// Returns the message for the next step.
    #[must_use]
    pub fn task(&self) -> RecoveryTask {
        let Self { id, tenant_id, webhook_id, .. } = self;
        RecoveryTask { tenant_id: tenant_id.clone(), webhook_id: *webhook_id, recovery_id: *id }
    }

    /// Returns when the recovery expires: 7 days after its start, like the history.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.until + RETENTION
    }
}

/// Parses `since`: at most 7 days ago, and not in the future.
pub fn since(text: Option<&str>, now: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
    let problem = |rule| Invalid::one("since", rule);
    let text = text.ok_or_else(|| problem(Rule::Required))?;
    let since = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| problem(Rule::NotDateTime))?;
    if since > now {
        return Err(problem(Rule::InFuture));
    }
    if since < now - RETENTION - LEEWAY {
        return Err(problem(Rule::TooOld { days: RETENTION.whole_days() }));
    }
    Ok(since.max(now - RETENTION))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn h3_recovery_is_under_way_until_finished_or_stalled() {
        let now = datetime!(2026-11-24 10:00 UTC);
        let (tenant, webhook) = (TenantId::parse("acme").unwrap(), WebhookId::mint(now));
        let started = Recovery::new(tenant, webhook, now - Duration::DAY, now);
        assert!(started.is_under_way(now) && started.is_under_way(now + Duration::minutes(59)));
        assert!(!started.is_under_way(now + STALLED_AFTER));
        let stepped = Recovery { stepped_at: Some(now + Duration::minutes(59)), ..started.clone() };
        assert!(stepped.is_under_way(now + Duration::minutes(118)));
        for status in [RecoveryStatus::Done, RecoveryStatus::Stopped] {
            assert!(!started.clone().finished(status, now).is_under_way(now));
        }
    }

    #[test]
    fn since_is_within_history_and_not_in_the_future() {
        let now = datetime!(2026-11-24 10:00 UTC);
        for (text, allowed) in [
            ("2026-11-24T10:00:00Z", true),
            ("2026-11-24T12:00:00+02:00", true),
            ("2026-11-24T10:00:00.001Z", false),
            ("2026-11-17T10:00:00Z", true),
            ("2026-11-17T09:59:00Z", true),
            ("2026-11-17T09:58:59Z", false),
            ("2026-11-24", false),
            ("yesterday", false),
            ("", false),
        ] {
            let read = since(Some(text), now);
            assert_eq!(read.is_ok(), allowed, "{text}: {read:?}");
            assert!(read.map_or_else(|error| error.0[0].field == "since", |_| true));
        }
        assert_eq!(
            since(Some("2026-11-17T09:59:30Z"), now).unwrap(),
            now - RETENTION,
            "older rows are not shown"
        );
        assert_eq!(since(None, now), Err(Invalid::one("since", Rule::Required)));
    }
}
