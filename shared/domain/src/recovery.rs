//! A recovery: every delivery of a webhook that failed for good since some time, sent again. Ours, beyond the contract.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::delivery::RETENTION;
use crate::error::Invalid;
use crate::id::{DeliveryId, RecoveryId, TenantId, WebhookId};
use crate::rule::Rule;

/// How far `since` may lie before the history's beginning, and then means that: whoever asks for the last seven days needs a moment to
/// do so.
const LEEWAY: Duration = Duration::minutes(1);

/// How a recovery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryStatus {
    /// There may be more to find.
    Running,
    /// All that was found is queued again; what becomes of it is in the history.
    Done,
    /// The webhook was disabled before all was found.
    Stopped,
}

/// How long a recovery may make no step before it counts as lost, its messages with it, and another may begin. A busy slow lane is late by
/// minutes.
pub const STALLED_AFTER: Duration = Duration::HOUR;

/// A recovery and how far it has come: from the oldest failure to the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Its id.
    pub id: RecoveryId,
    /// Whose webhook it is.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Deliveries triggered from then on.
    pub since: OffsetDateTime,
    /// Deliveries triggered before then: when it was asked for.
    pub until: OffsetDateTime,
    /// Whether it goes on.
    pub status: RecoveryStatus,
    /// Rows up to this one have been looked at; none yet when it is absent, or all that a release did that went the other way.
    pub newer_than: Option<DeliveryId>,
    /// Rows below this one are to be looked at: when it was asked for, or as far down as a release has come that went from the newest
    /// failure to the oldest.
    pub older_than: DeliveryId,
    /// When it made its last step.
    pub stepped_at: Option<OffsetDateTime>,
    /// Deliveries that had failed for good, so far: `requeued` and `skipped` together.
    pub found: u32,
    /// Those of them queued again, so far.
    pub requeued: u32,
    /// Those of them left alone, so far: their event is queued again already, arrived after all, or was a test.
    pub skipped: u32,
    /// When it came to its end.
    pub finished_at: Option<OffsetDateTime>,
}

/// A step of a recovery that is to be made: a message of the slow lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryTask {
    /// Whose webhook it is.
    pub tenant_id: TenantId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The recovery; how far it has come is written there.
    pub recovery_id: RecoveryId,
}

impl Recovery {
    /// A recovery that begins at `now`.
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
            older_than: DeliveryId::floor(now),
            stepped_at: None,
            found: 0,
            requeued: 0,
            skipped: 0,
            finished_at: None,
        }
    }

    /// The same, at its end.
    #[must_use]
    pub fn finished(mut self, status: RecoveryStatus, now: OffsetDateTime) -> Self {
        self.status = status;
        self.finished_at = Some(now);
        self
    }

    /// The first id it has still to look at, and the one below which the last is.
    #[must_use]
    pub fn range(&self) -> (DeliveryId, DeliveryId) {
        let oldest = DeliveryId::floor(self.since);
        (self.newer_than.map_or(oldest, |seen| seen.max(oldest)), self.older_than)
    }

    /// The first id of deliveries that are none of its business: they were triggered after it was asked for.
    #[must_use]
    pub fn end(&self) -> DeliveryId {
        DeliveryId::floor(self.until)
    }

    /// Whether it stands in the way of another at `now`: it runs, and has made a step in the last [`STALLED_AFTER`].
    #[must_use]
    pub fn is_under_way(&self, now: OffsetDateTime) -> bool {
        let stepped_at = self.stepped_at.unwrap_or(self.until);
        self.status == RecoveryStatus::Running && now - stepped_at < STALLED_AFTER
    }

    /// The message that carries it on.
    #[must_use]
    pub fn task(&self) -> RecoveryTask {
        let Self { id, tenant_id, webhook_id, .. } = self;
        RecoveryTask { tenant_id: tenant_id.clone(), webhook_id: *webhook_id, recovery_id: *id }
    }

    /// When it is forgotten: with the history it is about, 7 days after it began.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.until + RETENTION
    }
}

/// Reads since when deliveries are to be recovered: at most 7 days ago, and not in the future.
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
    fn h3_a_recovery_is_under_way_until_it_ends_or_stalls() {
        let now = datetime!(2026-11-24 10:00 UTC);
        let (tenant, webhook) = (TenantId::parse("acme").unwrap(), WebhookId::mint(now));
        let begun = Recovery::new(tenant, webhook, now - Duration::DAY, now);
        assert!(begun.is_under_way(now) && begun.is_under_way(now + Duration::minutes(59)));
        assert!(!begun.is_under_way(now + STALLED_AFTER));
        let stepped = Recovery { stepped_at: Some(now + Duration::minutes(59)), ..begun.clone() };
        assert!(stepped.is_under_way(now + Duration::minutes(118)));
        for status in [RecoveryStatus::Done, RecoveryStatus::Stopped] {
            assert!(!begun.clone().finished(status, now).is_under_way(now));
        }
    }

    #[test]
    fn the_window_reaches_back_as_far_as_the_history_and_not_into_the_future() {
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
