//! A recovery: every delivery of a webhook that failed for good since some time, sent again. Ours, beyond the contract.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::delivery::RETENTION;
use crate::error::Invalid;
use crate::id::{DeliveryId, RecoveryId, TenantId, WebhookId};

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

/// A recovery and how far it has come: from the newest failure to the oldest.
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
    /// Rows below this one are still to be looked at.
    pub older_than: DeliveryId,
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
            older_than: DeliveryId::floor(now),
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

    /// The oldest id it looks at.
    #[must_use]
    pub fn oldest(&self) -> DeliveryId {
        DeliveryId::floor(self.since)
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
    let rule = |rule: &str| Invalid::one("since", rule);
    let text = text.ok_or_else(|| rule("is required: a date and time as in RFC 3339"))?;
    let since = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| rule("must be a date and time as in RFC 3339, like 2026-11-24T10:00:00Z"))?;
    if since > now {
        return Err(rule("must not be in the future"));
    }
    if since < now - RETENTION - LEEWAY {
        return Err(rule("must be at most 7 days ago, which is how long history is kept"));
    }
    Ok(since.max(now - RETENTION))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

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
        assert!(since(None, now).unwrap_err().to_string().starts_with("`since` is required"));
    }
}
