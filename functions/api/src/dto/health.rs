//! How a webhook's receiver is doing, as clients see it. Ours, beyond the contract.

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::health::HealthState;
use anzol_domain::{Health, Lane};

use crate::openapi::schemas;

/// How a webhook's receiver is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Health")]
pub(crate) struct HealthOut {
    /// How near it is to being disabled.
    state: StateOut,
    /// Which queue its deliveries wait in.
    lane: Lane,
    /// Attempts that failed since the last one that succeeded.
    consecutive_failures: u32,
    /// When the first of them failed.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schemas::DateTime")]
    failing_since: Option<OffsetDateTime>,
}

/// How near a webhook is to being disabled.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "HealthState")]
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
