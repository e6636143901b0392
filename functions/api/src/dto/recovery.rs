//! Recoveries in requests and responses. An Anzol extension.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::recovery::{self, RecoveryStatus};
use anzol_domain::{Invalid, Recovery, RecoveryId, Rule, WebhookId, schema};

/// The body of `actions/recover`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryRequest {
    /// Recovers deliveries triggered at or after this time. At most 7 days ago, and not in the future.
    #[schemars(with = "schema::DateTime")]
    since: Option<String>,
    /// The status of the deliveries to recover. Only failed deliveries can be recovered.
    #[schemars(with = "Option<schema::OnlyFail>")]
    status: Option<String>,
}

impl RecoveryRequest {
    /// Returns the time from which deliveries are recovered.
    ///
    /// # Errors
    /// All problems of all members.
    pub(crate) fn check(self, now: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
        let mut problems = Problems::default();
        let since = problems.take(recovery::since(self.since.as_deref(), now));
        if self.status.is_some_and(|status| status != "fail") {
            problems.add("status", Rule::MustBe { value: "fail" });
        }
        problems.finish(since)
    }
}

/// A recovery and its progress.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Recovery")]
pub(crate) struct RecoveryOut {
    /// The ID of the recovery.
    #[schemars(with = "schema::Id")]
    id: RecoveryId,
    /// The webhook the recovery belongs to.
    #[schemars(with = "schema::Id")]
    webhook_id: WebhookId,
    /// The recovery covers deliveries triggered at or after this time.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    since: OffsetDateTime,
    /// The recovery covers deliveries triggered before this time.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    until: OffsetDateTime,
    /// The status of the recovery.
    status: RecoveryStatus,
    /// The number of permanently failed deliveries found so far.
    found: u32,
    /// How many of them have been queued again.
    requeued: u32,
    /// How many of them were skipped: already queued again, delivered since, or tests.
    skipped: u32,
    /// When the recovery was requested.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    started_at: OffsetDateTime,
    /// When the recovery finished. Absent while it is running.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schema::DateTime")]
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
            // A recovery covers the deliveries that existed when it started.
            started_at: until,
            finished_at,
        }
    }
}
