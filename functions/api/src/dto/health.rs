//! The health of a webhook's receiver in responses. An Anzol extension.

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::health::HealthState;
use anzol_domain::{Health, Lane, schema};

/// The health of a webhook's receiver.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Health")]
pub(crate) struct HealthOut {
    /// How close the webhook is to being disabled.
    state: HealthState,
    /// The queue that the webhook's deliveries wait in.
    lane: Lane,
    /// The number of failed attempts since the last successful one.
    consecutive_failures: u32,
    /// When the first of these attempts failed. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schema::DateTime")]
    failing_since: Option<OffsetDateTime>,
}

impl HealthOut {
    /// Returns the public form of a webhook's health.
    pub(crate) fn new(health: &Health, state: HealthState) -> Self {
        Self {
            state,
            lane: health.lane,
            consecutive_failures: health.failures,
            failing_since: health.failing_since,
        }
    }
}
