//! History sorted by status: all rows with one status, then all with the other, each newest first.
//!
//! Failures have an index, so the result is two lists in sequence, and nothing needs sorting.

use time::OffsetDateTime;

use anzol_domain::delivery::RETENTION;
use anzol_domain::page::{Order, Position};
use anzol_domain::{Delivery, DeliveryId, Status, TenantId, WebhookId};

use crate::deliveries::{Deliveries, DeliveryFilter, DeliveryPage, DeliveryQuery};
use crate::error::StoreError;

/// A query for a page of history sorted by status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusQuery {
    /// The condition.
    pub filter: DeliveryFilter,
    /// The status that comes first.
    pub first: Status,
    /// Where the page starts or ends.
    pub position: Position<(Status, DeliveryId)>,
    /// Maximum number of rows.
    pub limit: usize,
}

/// A page of history sorted by status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    /// The rows.
    pub items: Vec<Delivery>,
    /// The next page starts after this row.
    pub next: Option<(Status, DeliveryId)>,
    /// The previous page ends before this row.
    pub prev: Option<(Status, DeliveryId)>,
}

impl Deliveries {
    /// Returns a page of a webhook's history, sorted by status, without rows that have expired by `now`.
    pub async fn list_by_status(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        query: &StatusQuery,
        now: OffsetDateTime,
    ) -> Result<StatusPage, StoreError> {
        let second = if query.first == Status::Fail { Status::Success } else { Status::Fail };
        let wanted = |status: &Status| query.filter.status.is_none_or(|wanted| wanted == *status);
        let mut statuses: Vec<_> = [query.first, second].into_iter().filter(wanted).collect();
        let (seen, backward) = match query.position {
            Position::Start => (None, false),
            Position::After(seen) => (Some(seen), false),
            Position::Before(seen) => (Some(seen), true),
        };
        if backward {
            statuses.reverse();
        }
        if let Some((status, _)) = seen {
            statuses.retain(|other| *other == status || (query.first == status) != backward);
        }

        // One more row than requested shows whether there is another page.
        let mut items: Vec<Delivery> = Vec::new();
        let mut cut_short = None;
        for status in statuses {
            let room = query.limit + 1 - items.len();
            let position = match seen {
                Some((of, id)) if of == status && backward => Position::Before(id),
                Some((of, id)) if of == status => Position::After(id),
                // The last rows of a list precede an id that is older than every row.
                _ if backward => Position::Before(DeliveryId::lowest_at(now - RETENTION)),
                _ => Position::Start,
            };
            let filter = DeliveryFilter { status: Some(status), ..query.filter.clone() };
            let part = DeliveryQuery { filter, order: Order::Descending, position, limit: room };
            let DeliveryPage { items: mut found, next, prev } =
                self.list(tenant, webhook, &part, now).await?;
            if backward {
                found.append(&mut items);
                items = found;
                cut_short = prev.map(|id| (status, id));
            } else {
                items.append(&mut found);
                cut_short = next.map(|id| (status, id));
            }
            // The page is full, or the search stopped within this status.
            if items.len() > query.limit || cut_short.is_some() {
                break;
            }
        }

        let key = |delivery: &Delivery| (delivery.status, delivery.id);
        if backward {
            let more = items.len() > query.limit;
            items.drain(..items.len().saturating_sub(query.limit));
            let prev = if more { items.first().map(key) } else { cut_short };
            let next = items.last().map(key).or(seen);
            return Ok(StatusPage { items, next, prev });
        }
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = if more { items.last().map(key) } else { cut_short };
        let prev = seen.map(|seen| items.first().map_or(seen, key));
        Ok(StatusPage { items, next, prev })
    }
}
