//! Delivery statistics in responses, and the reasons why a webhook has no deliveries. An Anzol extension.

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::match_log::{NoDeliveryCode, NoDeliveryReason};
use anzol_domain::{DeliveryId, Status, schema};
use anzol_store::{Counts, LastDelivery, Stats};

/// Delivery statistics of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Stats")]
pub(crate) struct StatsOut {
    /// The last seven days including today, in UTC, oldest first.
    days: Vec<DayOut>,
    /// The deliveries of the last 24 hours.
    last24_hours: CountsOut,
    /// The latest delivery of the last 7 days.
    last_delivery: Option<LastDeliveryOut>,
    /// Whether all deliveries were counted. If false, the counts are lower bounds.
    complete: bool,
    /// Why there are no deliveries. Null if there was one in the last 7 days.
    #[serde(rename = "silence")]
    no_delivery: Option<NoDeliveryOut>,
}

/// The deliveries of one day.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DayStats")]
struct DayOut {
    /// The date, in UTC.
    #[schemars(with = "schema::Date")]
    date: String,
    #[serde(flatten)]
    counts: CountsOut,
}

/// Numbers of deliveries.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Counts")]
struct CountsOut {
    /// The number of successful deliveries.
    success: u64,
    /// The number of failed deliveries.
    fail: u64,
}

/// The latest delivery of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LastDelivery")]
struct LastDeliveryOut {
    /// The ID of the delivery.
    #[schemars(with = "schema::Id")]
    id: DeliveryId,
    /// Whether the receiver accepted the event.
    status: Status,
    /// When the delivery was triggered.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::DateTime")]
    triggered_at: OffsetDateTime,
    /// The type of the event.
    event_type: String,
}

/// Why a webhook has no deliveries. An empty list means that a matching event was just published and its delivery is still pending.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Silence")]
pub(crate) struct NoDeliveryOut {
    /// All reasons that apply.
    reasons: Vec<NoDeliveryReasonOut>,
}

/// One reason why a webhook has no deliveries.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SilenceReason")]
struct NoDeliveryReasonOut {
    /// The reason, as a stable code.
    code: NoDeliveryCode,
    /// The start of the period that the reason covers.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schema::DateTime")]
    since: Option<OffsetDateTime>,
    /// When the last event of the subscribed types was published. Can be up to an hour too early.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "schema::DateTime")]
    last_event_at: Option<OffsetDateTime>,
}

impl StatsOut {
    /// Returns the public form of the statistics.
    pub(crate) fn new(stats: Stats, no_delivery: Option<NoDeliveryOut>) -> Self {
        let Stats { days, last_24_hours, last, complete } = stats;
        let day =
            |(date, counts): (time::Date, Counts)| DayOut { date: date.to_string(), counts: counts.into() };
        Self {
            days: days.into_iter().map(day).collect(),
            last24_hours: last_24_hours.into(),
            last_delivery: last.map(LastDeliveryOut::from),
            complete,
            no_delivery,
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

impl From<Vec<NoDeliveryReason>> for NoDeliveryOut {
    fn from(reasons: Vec<NoDeliveryReason>) -> Self {
        Self { reasons: reasons.into_iter().map(NoDeliveryReasonOut::from).collect() }
    }
}

impl From<NoDeliveryReason> for NoDeliveryReasonOut {
    fn from(NoDeliveryReason { code, since, last_event_at }: NoDeliveryReason) -> Self {
        Self { code, since, last_event_at }
    }
}
