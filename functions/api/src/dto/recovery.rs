//! Recoveries as clients ask for them and see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::recovery::{self, RecoveryStatus};
use anzol_domain::{Invalid, Recovery, RecoveryId, Rule, WebhookId};

use crate::openapi::schemas;

/// The body of `actions/recover`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RecoveryRequest")]
pub(crate) struct RecoverIn {
    /// Deliveries triggered from then on; at most 7 days ago, and not in the future.
    #[schemars(with = "schemas::DateTime")]
    since: Option<String>,
    /// Which of them; only those that failed can be recovered.
    #[schemars(with = "Option<schemas::OnlyFail>")]
    status: Option<String>,
}

impl RecoverIn {
    /// Since when deliveries are to be recovered; all problems are reported together.
    pub(crate) fn check(self, now: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
        let mut problems = Problems::default();
        let since = problems.take(recovery::since(self.since.as_deref(), now));
        if self.status.is_some_and(|status| status != "fail") {
            problems.add("status", Rule::MustBe { value: "fail" });
        }
        problems.finish(since)
    }
}

/// A recovery, and how far it has come.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Recovery")]
pub(crate) struct RecoveryOut {
    /// Its id.
    #[schemars(with = "schemas::Id")]
    id: RecoveryId,
    /// The webhook.
    #[schemars(with = "schemas::Id")]
    webhook_id: WebhookId,
    /// Deliveries triggered from then on.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    since: OffsetDateTime,
    /// Deliveries triggered before then.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    until: OffsetDateTime,
    /// How it stands.
    status: RecoveryStatus,
    /// Deliveries that had failed for good.
    found: u32,
    /// Of those, queued again.
    requeued: u32,
    /// Of those, left alone.
    skipped: u32,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    started_at: OffsetDateTime,
    /// When it came to its end.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schemas::DateTime")]
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
