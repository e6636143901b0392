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

impl StatusQuery {
    /// Returns the row that the client has seen.
    fn seen(&self) -> Option<(Status, DeliveryId)> {
        match self.position {
            Position::Start => None,
            Position::After(seen) | Position::Before(seen) => Some(seen),
        }
    }

    /// Returns whether the page ends before the position, and is therefore read in reverse.
    fn is_backward(&self) -> bool {
        matches!(self.position, Position::Before(_))
    }

    /// Returns the statuses of the rows that the page can have, in the order in which they are read.
    fn statuses(&self) -> Vec<Status> {
        let second = if self.first == Status::Fail { Status::Success } else { Status::Fail };
        let wanted = |status: &Status| self.filter.status.is_none_or(|wanted| wanted == *status);
        let mut statuses: Vec<_> = [self.first, second].into_iter().filter(wanted).collect();
        if self.is_backward() {
            statuses.reverse();
        }
        if let Some((status, _)) = self.seen() {
            statuses.retain(|other| *other == status || (self.first == status) != self.is_backward());
        }
        statuses
    }

    /// Returns the query for `limit` rows with one status.
    fn part(&self, status: Status, limit: usize, now: OffsetDateTime) -> DeliveryQuery {
        let position = match self.seen() {
            Some((of, id)) if of == status && self.is_backward() => Position::Before(id),
            Some((of, id)) if of == status => Position::After(id),
            // The last rows of a list precede an id that is older than every row.
            _ if self.is_backward() => Position::Before(DeliveryId::lowest_at(now - RETENTION)),
            _ => Position::Start,
        };
        let filter = DeliveryFilter { status: Some(status), ..self.filter.clone() };
        DeliveryQuery { filter, order: Order::Descending, position, limit }
    }

    /// Returns the page of the rows that were found. `cut_short` is the last row read if the search stopped early.
    fn page(&self, mut items: Vec<Delivery>, cut_short: Option<(Status, DeliveryId)>) -> StatusPage {
        let key = |delivery: &Delivery| (delivery.status, delivery.id);
        let more = items.len() > self.limit;
        if self.is_backward() {
            items.drain(..items.len().saturating_sub(self.limit));
            let prev = if more { items.first().map(key) } else { cut_short };
            let next = items.last().map(key).or(self.seen());
            return StatusPage { items, next, prev };
        }
        items.truncate(self.limit);
        let next = if more { items.last().map(key) } else { cut_short };
        let prev = self.seen().map(|seen| items.first().map_or(seen, key));
        StatusPage { items, next, prev }
    }
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
        let mut items: Vec<Delivery> = Vec::new();
        let mut cut_short = None;
        for status in query.statuses() {
            // One more row than requested shows whether there is another page.
            let part = query.part(status, query.limit + 1 - items.len(), now);
            let DeliveryPage { items: mut found, next, prev } =
                self.list(tenant, webhook, &part, now).await?;
            if query.is_backward() {
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
        Ok(query.page(items, cut_short))
    }
}
