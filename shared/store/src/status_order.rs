//! History sorted by status: all rows of one outcome, then all of the other, each newest first.
//!
//! Failures have an index of their own, so this is two lists, one after the other, and nothing is sorted.

use time::OffsetDateTime;

use anzol_domain::delivery::RETENTION;
use anzol_domain::page::{Order, Position};
use anzol_domain::{Delivery, DeliveryId, Status, TenantId, WebhookId};

use crate::deliveries::{Deliveries, DeliveryFilter, DeliveryPage, DeliveryQuery};
use crate::error::StoreError;

/// Which page of which rows is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusQuery {
    /// Which rows.
    pub filter: DeliveryFilter,
    /// Which outcome comes first.
    pub first: Status,
    /// Where the page begins or ends.
    pub position: Position<(Status, DeliveryId)>,
    /// Most rows on the page.
    pub limit: usize,
}

/// A page of history sorted by status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    /// The rows.
    pub items: Vec<Delivery>,
    /// Where the next page begins: after this row.
    pub next: Option<(Status, DeliveryId)>,
    /// Where the page before ends: before this row.
    pub prev: Option<(Status, DeliveryId)>,
}

impl Deliveries {
    /// A page of a webhook's history, sorted by status. Rows that have expired by `now` are not shown.
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

        // One row more than asked for tells whether there is another page.
        let mut items: Vec<Delivery> = Vec::new();
        let mut cut_short = None;
        for status in statuses {
            let room = query.limit + 1 - items.len();
            let position = match seen {
                Some((of, id)) if of == status && backward => Position::Before(id),
                Some((of, id)) if of == status => Position::After(id),
                // The last rows of a list are those before an id older than all of them.
                _ if backward => Position::Before(DeliveryId::floor(now - RETENTION)),
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
            // Enough, or the search stopped before it was through with this outcome.
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
