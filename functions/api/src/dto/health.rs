//! How a webhook's receiver is doing, as clients see it. Ours, beyond the contract.

use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::health::HealthState;
use anzol_domain::{Health, Lane};

/// The member `health` of a webhook.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthOut {
    state: StateOut,
    lane: Lane,
    consecutive_failures: u32,
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    failing_since: Option<OffsetDateTime>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum StateOut {
    /// The last attempt succeeded, or there was none.
    Healthy,
    /// The last attempt failed.
    Failing,
    /// Half or more of what it takes to be disabled has come to pass; all of it shows in `enabled` and `disabledReasonCode`.
    Warning,
}

impl HealthOut {
    pub(crate) fn new(health: &Health, state: HealthState) -> Self {
        let state = match state {
            HealthState::Healthy => StateOut::Healthy,
            HealthState::Failing => StateOut::Failing,
            HealthState::Warning | HealthState::Exhausted => StateOut::Warning,
        };
        Self {
            state,
            lane: health.lane,
            consecutive_failures: health.failures,
            failing_since: health.failing_since,
        }
    }
}
