//! Recoveries as clients ask for them and see them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::recovery::{self, RecoveryStatus};
use anzol_domain::{Invalid, Recovery, RecoveryId, WebhookId};

/// The body of `actions/recover`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoverIn {
    since: Option<String>,
    status: Option<String>,
}

impl RecoverIn {
    /// Since when deliveries are to be recovered; all problems are reported together.
    pub(crate) fn check(self, now: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
        let mut problems = Problems::default();
        let since = problems.take(recovery::since(self.since.as_deref(), now));
        if self.status.is_some_and(|status| status != "fail") {
            problems.add("status", "must be fail, or left out: what arrived is not sent again");
        }
        problems.finish(since)
    }
}

/// A recovery, and how far it has come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryOut {
    id: RecoveryId,
    webhook_id: WebhookId,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    status: RecoveryStatus,
    /// Deliveries that had failed for good.
    found: u32,
    /// Of those, queued again.
    requeued: u32,
    /// Of those, left alone.
    skipped: u32,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

impl From<Recovery> for RecoveryOut {
    fn from(recovery: Recovery) -> Self {
        let Recovery { id, webhook_id, since, until, status, found, requeued, skipped, finished_at, .. } =
            recovery;
        Self {
            id,
            webhook_id,
            since,
            until,
            status,
            found,
            requeued,
            skipped,
            // It looks at what there was when it began.
            started_at: until,
            finished_at,
        }
    }
}
