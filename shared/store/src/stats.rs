//! Statistics of a webhook's history: successes and failures by day, and the last delivery.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use time::{Date, Duration, OffsetDateTime};

use anzol_domain::delivery::RETENTION;
use anzol_domain::{DeliveryId, Status, TenantId, WebhookId};

use crate::deliveries::{Deliveries, DeliveryFilter};
use crate::error::StoreError;
use crate::keys;

/// Number of days counted: today and the six days before, in UTC. The history also contains part of an eighth day, which is not counted.
const DAYS: usize = 7;
/// Maximum number of database pages (1 MB each, about 1,000 rows of 1 KB) read for one result, and again of the failure index if these
/// are not enough: at most 2,048 read units, $0.26 for a thousand incomplete results.
const MAX_READS: usize = 8;

/// Numbers of deliveries by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Successful deliveries.
    pub success: u64,
    /// Failed deliveries.
    pub fail: u64,
}

/// The newest delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastDelivery {
    /// The id, which contains the time.
    pub id: DeliveryId,
    /// The status.
    pub status: Status,
    /// The event type.
    pub event_type: String,
}

/// Statistics of a webhook's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Counts by day, oldest first.
    pub days: [(Date, Counts); DAYS],
    /// Counts of the last 24 hours.
    pub last_24_hours: Counts,
    /// The newest delivery of the last 7 days.
    pub last: Option<LastDelivery>,
    /// Whether every row was counted. If not, the counts of successes are lower bounds, and so are those of failures if there are thousands
    /// of them.
    pub complete: bool,
}

impl Stats {
    fn new(now: OffsetDateTime) -> Self {
        let mut age = Duration::days(7);
        let days = [(); DAYS].map(|()| {
            age -= Duration::DAY;
            ((now - age).date(), Counts::default())
        });
        Self { days, last_24_hours: Counts::default(), last: None, complete: true }
    }

    /// Returns the start of the first day.
    fn first(&self) -> OffsetDateTime {
        let [(first, _), ..] = self.days;
        first.midnight().assume_utc()
    }

    fn count(&mut self, at: OffsetDateTime, status: Status, now: OffsetDateTime) {
        // A row from a clock that is ahead counts for today.
        let date = at.min(now).date();
        let day = self.days.iter_mut().find(|(day, _)| *day == date).map(|(_, counts)| counts);
        let recent = (at > now - Duration::DAY).then_some(&mut self.last_24_hours);
        for counts in day.into_iter().chain(recent) {
            match status {
                Status::Success => counts.success += 1,
                Status::Fail => counts.fail += 1,
            }
        }
    }
}

/// The attributes of a row that statistics use.
struct Row {
    id: DeliveryId,
    status: Status,
    event_type: Option<String>,
    /// Whether the row has not expired.
    kept: bool,
}

impl Deliveries {
    /// Counts a webhook's deliveries, newest first, within eight pages of the database, and older failures within eight pages of their
    /// index. Does not count rows that have expired by `now`.
    pub async fn stats(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        now: OffsetDateTime,
    ) -> Result<Stats, StoreError> {
        let mut stats = Stats::new(now);
        let first = DeliveryId::lowest_at(stats.first());
        let history = (tenant, webhook);
        let oldest = DeliveryId::lowest_at(now - RETENTION);

        let cut = self.newest_first(history, None, (oldest, None), first, now, |row| {
            if !row.kept {
                return;
            }
            stats.count(row.id.time(), row.status, now);
            if let (None, Some(event_type)) = (&stats.last, row.event_type) {
                stats.last = Some(LastDelivery { id: row.id, status: row.status, event_type });
            }
        });
        if let Some(cut) = cut.await? {
            stats.complete = false;
            let older =
                self.newest_first(history, Some(Status::Fail), (first, Some(cut)), first, now, |row| {
                    // The range includes its end, which was already counted.
                    if row.kept && row.id < cut {
                        stats.count(row.id.time(), row.status, now);
                    }
                });
            older.await?;
        }
        Ok(stats)
    }

    /// Passes the rows of a range, all or only failed ones, to `each`, until the end of the range or an id below `enough`. Returns the last
    /// id read if it stopped earlier.
    async fn newest_first(
        &self,
        (tenant, webhook): (&TenantId, WebhookId),
        status: Option<Status>,
        range: (DeliveryId, Option<DeliveryId>),
        enough: DeliveryId,
        now: OffsetDateTime,
        mut each: impl FnMut(Row),
    ) -> Result<Option<DeliveryId>, StoreError> {
        let filter = DeliveryFilter { status, event_types: Vec::new() };
        let query = self.query(tenant, webhook, &filter, range, false);
        let query = query.projection_expression("sk, failedOf, eventType, expiresAt");
        let mut start = None;
        let mut last = None;
        for _ in 0..MAX_READS {
            let request = query.clone().set_exclusive_start_key(start);
            let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
            for item in answer.items.unwrap_or_default() {
                let row = read(item, now)?;
                last = Some(row.id);
                each(row);
            }
            start = answer.last_evaluated_key;
            if start.is_none() || last.is_some_and(|last| last < enough) {
                return Ok(None);
            }
        }
        Ok(last)
    }
}

fn read(mut item: HashMap<String, AttributeValue>, now: OffsetDateTime) -> Result<Row, StoreError> {
    let kept = keys::is_kept(&item, now);
    let mut text = |name| match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let id = text(keys::SK).and_then(|id| id.parse().ok());
    Ok(Row {
        id: id.ok_or_else(|| StoreError::Corrupt("a delivery without an id".to_owned()))?,
        status: if text(keys::FAILED_OF).is_some() { Status::Fail } else { Status::Success },
        event_type: text("eventType"),
        kept,
    })
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn stats_cover_seven_utc_days_that_end_today() {
        let now = datetime!(2026-03-02 00:30 UTC);
        let mut stats = Stats::new(now);
        assert_eq!(stats.days.first().map(|(day, _)| *day), Some(date!(2026 - 02 - 24)));
        assert_eq!(stats.days.last().map(|(day, _)| *day), Some(date!(2026 - 03 - 02)));
        for at in [
            datetime!(2026-02-23 23:59:59.999 UTC),
            datetime!(2026-02-24 0:00 UTC),
            datetime!(2026-03-01 0:30 UTC),
            datetime!(2026-03-01 0:30:00.001 UTC),
            datetime!(2026-03-02 0:00 UTC),
            datetime!(2026-03-02 0:31 UTC),
        ] {
            stats.count(at, Status::Success, now);
        }
        stats.count(now, Status::Fail, now);
        let counted = stats.days.map(|(_, counts)| (counts.success, counts.fail));
        assert_eq!(counted, [(1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (2, 0), (2, 1)]);
        assert_eq!(stats.last_24_hours, Counts { success: 3, fail: 1 });
    }
}
