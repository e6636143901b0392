//! What a webhook's history comes to, and why there is none. Ours, beyond the contract.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::match_log::{self, NoDeliveryCode, NoDeliveryReason};
use anzol_domain::{DeliveryId, Status};
use anzol_http::Verified;
use anzol_store::{Counts, LastDelivery, Stats};

use crate::failure::Failure;
use crate::openapi::schemas;
use crate::state::Shared;

/// What a webhook's history comes to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Stats")]
pub(crate) struct StatsOut {
    /// Today and the six days before, in UTC, oldest first.
    days: Vec<DayOut>,
    /// The last 24 hours.
    last24_hours: CountsOut,
    /// The newest delivery of the last 7 days.
    last_delivery: Option<LastDeliveryOut>,
    /// Whether everything was counted. When not, the counts are lower bounds.
    complete: bool,
    /// Only of a webhook without any delivery in the last 7 days.
    silence: Option<SilenceOut>,
}

/// The deliveries of a day.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DayStats")]
struct DayOut {
    /// The day, in UTC.
    #[schemars(with = "schemas::Date")]
    date: String,
    #[serde(flatten)]
    counts: CountsOut,
}

/// How many deliveries were made.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Counts")]
struct CountsOut {
    /// Those that arrived.
    success: u64,
    /// Those that did not.
    fail: u64,
}

/// The newest delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LastDelivery")]
struct LastDeliveryOut {
    /// Its id.
    #[schemars(with = "schemas::Id")]
    id: DeliveryId,
    /// Whether the receiver took it.
    status: Status,
    /// When it was triggered.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schemas::DateTime")]
    triggered_at: OffsetDateTime,
    /// Its event's type.
    event_type: String,
}

/// Why nothing arrives. No reason means that an event has just come, and its delivery is still on the way.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Silence")]
struct SilenceOut {
    /// Every reason that applies.
    reasons: Vec<ReasonOut>,
}

/// One reason.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SilenceReason")]
struct ReasonOut {
    /// Which.
    code: NoDeliveryCode,
    /// From when on that can be said.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schemas::DateTime")]
    since: Option<OffsetDateTime>,
    /// When the last event came that the webhook might have got; there may have been others in the hour after.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schemas::DateTime")]
    last_event_at: Option<OffsetDateTime>,
}

/// Counts a webhook's deliveries by day, and says why there are none.
pub(crate) async fn get(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path(id): Path<String>,
) -> Result<axum::Json<StatsOut>, Failure> {
    let webhook = state.visible(&caller, &id).await?;
    let now = (state.clock)();
    let found = state.deliveries.stats(&webhook.tenant_id, webhook.id, now).await?;
    let silence = if found.last.is_none() {
        let history = state.deliveries.match_records().read(&webhook).await?;
        let reasons = match_log::no_delivery_reasons(&webhook, &history, now);
        Some(SilenceOut { reasons: reasons.into_iter().map(ReasonOut::from).collect() })
    } else {
        None
    };
    Ok(axum::Json(StatsOut::new(found, silence)))
}

impl StatsOut {
    fn new(stats: Stats, silence: Option<SilenceOut>) -> Self {
        let Stats { days, last_24_hours, last, complete } = stats;
        // A date is shown as year-month-day.
        let day =
            |(date, counts): (time::Date, Counts)| DayOut { date: date.to_string(), counts: counts.into() };
        Self {
            days: days.into_iter().map(day).collect(),
            last24_hours: last_24_hours.into(),
            last_delivery: last.map(LastDeliveryOut::from),
            complete,
            silence,
        }
    }
}

impl From<Counts> for CountsOut {
    fn from(Counts { success, fail }: Counts) -> Self {
        Self { success, fail }
    }
}

impl From<LastDelivery> for LastDeliveryOut {
    fn from(LastDelivery { id, status, event_type }: LastDelivery) -> Self {
        Self { id, status, triggered_at: id.time(), event_type }
    }
}

impl From<NoDeliveryReason> for ReasonOut {
    fn from(NoDeliveryReason { code, since, last_event_at }: NoDeliveryReason) -> Self {
        Self { code, since, last_event_at }
    }
}
