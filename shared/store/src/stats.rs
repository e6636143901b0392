//! What a webhook's history comes to: successes and failures by day, and the last delivery.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use time::{Date, Duration, OffsetDateTime};

use anzol_domain::delivery::RETENTION;
use anzol_domain::{DeliveryId, Status, TenantId, WebhookId};

use crate::deliveries::{Deliveries, DeliveryFilter};
use crate::error::StoreError;
use crate::keys;

/// Days that are counted: today and the six before, whole, in UTC. History goes back into an eighth, of which it has only a part.
const DAYS: usize = 7;
/// Most pages of the database (1 MB each, about 1,000 rows of 1 KB) read for one answer, and as many of the index of failures when
/// those were not enough: at most 2,048 read units, $0.26 for a thousand answers that are cut short.
const MAX_READS: usize = 8;

/// How many deliveries ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The receiver took them.
    pub success: u64,
    /// It did not.
    pub fail: u64,
}

/// The newest delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastDelivery {
    /// Its id, which also says when it was.
    pub id: DeliveryId,
    /// How it ended.
    pub status: Status,
    /// The event's type.
    pub event_type: String,
}

/// What a webhook's history comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// By day, oldest first.
    pub days: [(Date, Counts); DAYS],
    /// In the last 24 hours.
    pub last_24_hours: Counts,
    /// The newest delivery of the last 7 days.
    pub last: Option<LastDelivery>,
    /// Whether everything was counted. When not, successes are lower bounds; so are failures, if there are thousands of them too.
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

    /// The first moment that counts for a day.
    fn first(&self) -> OffsetDateTime {
        let [(first, _), ..] = self.days;
        first.midnight().assume_utc()
    }

    fn count(&mut self, at: OffsetDateTime, status: Status, now: OffsetDateTime) {
        // A clock ahead of ours makes no day of tomorrow.
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

/// A row, as far as it is read here.
struct Row {
    id: DeliveryId,
    status: Status,
    event_type: Option<String>,
    /// Not expired.
    kept: bool,
}

impl Deliveries {
    /// Counts a webhook's deliveries, newest first, as far as eight pages of the database go; failures further back than
    /// that by their own index, as far as eight pages of it go.
    /// Rows that have expired by `now` are outside the range that is read.
    pub async fn stats(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        now: OffsetDateTime,
    ) -> Result<Stats, StoreError> {
        let mut stats = Stats::new(now);
        let first = DeliveryId::floor(stats.first());
        let history = (tenant, webhook);
        let oldest = DeliveryId::floor(now - RETENTION);

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
                    // The range includes its end, which was counted.
                    if row.kept && row.id < cut {
                        stats.count(row.id.time(), row.status, now);
                    }
                });
            older.await?;
        }
        Ok(stats)
    }

    /// Hands out the rows of a range, all or failed ones, until there are no more or those of `enough` are reached. Answers the last
    /// row looked at when it had to stop before.
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
    fn seven_utc_days_end_today_and_the_part_of_an_eighth_counts_for_none() {
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
