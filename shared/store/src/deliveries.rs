//! The history in the deliveries table: writes rows, and reads them newest or oldest first.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use time::OffsetDateTime;

use anzol_domain::delivery::RETENTION;
use anzol_domain::page::{Order, Position};
use anzol_domain::{Delivery, DeliveryId, Status, TenantId, WebhookId};
use anzol_lazy::Lazy;

use crate::error::StoreError;
use crate::keys::Item;
use crate::{batch, delivery_item, keys};

/// Maximum number of database pages (1 MB each) read for one page of results. A longer search continues from its cursor.
const MAX_READS: usize = 8;

/// Maximum size of all bodies on a page of results, in bytes. A page of large rows ends early, so that the response, as JSON inside JSON,
/// stays below Lambda's limit of 6 MB.
const MAX_PAGE: usize = 1_500_000;

/// The deliveries table.
#[derive(Debug, Clone)]
pub struct Deliveries {
    pub(crate) client: Lazy<Client>,
    pub(crate) table: String,
}

/// A condition for rows of a webhook's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only rows with this status.
    pub status: Option<Status>,
    /// Only rows with one of these event types; all rows if empty. At most 100.
    pub event_types: Vec<String>,
}

/// A query for a page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// The condition.
    pub filter: DeliveryFilter,
    /// Oldest or newest first.
    pub order: Order,
    /// Where the page starts or ends.
    pub position: Position<DeliveryId>,
    /// Maximum number of rows.
    pub limit: usize,
}

/// A page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The rows, in the requested order.
    pub items: Vec<Delivery>,
    /// The next page starts after this id.
    pub next: Option<DeliveryId>,
    /// The previous page ends before this id.
    pub prev: Option<DeliveryId>,
}

impl Deliveries {
    /// Returns the history in the table with this name.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), table: table.into() }
    }

    /// Writes rows, up to 25 in a call. Idempotent, because a row replaces the row with the same id.
    ///
    /// Returns the ids that were not written, or may not have been.
    pub async fn put_all(&self, deliveries: &[Delivery]) -> Vec<DeliveryId> {
        // By key, because one call cannot write a row twice, and a batch can contain a message twice.
        let rows: BTreeMap<_, _> =
            deliveries.iter().map(|d| ((&d.tenant_id, d.webhook_id, d.id), d)).collect();
        let rows: Vec<_> = rows.into_values().collect();
        let mut lost = Vec::new();
        for chunk in rows.chunks(batch::MAX_WRITES) {
            if let Err(error) = self.put_chunk(chunk).await {
                tracing::error!(%error, rows = chunk.len(), "failed to write history rows");
                // The database does not report which rows were written, so none counts as written.
                lost.extend(chunk.iter().map(|delivery| delivery.id));
            }
        }
        lost
    }

    async fn put_chunk(&self, chunk: &[&Delivery]) -> Result<(), StoreError> {
        let write = |delivery: &&Delivery| {
            let put = PutRequest::builder().set_item(Some(delivery_item::write(delivery)?)).build();
            let put = put.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        let writes = chunk.iter().map(write).collect::<Result<_, StoreError>>()?;
        batch::put(&self.client, &self.table, writes).await
    }

    /// Returns a row, unless it has expired by `now`.
    pub async fn get(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        id: DeliveryId,
        now: OffsetDateTime,
    ) -> Result<Option<Delivery>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::delivery_key(tenant, webhook, id)))
            .consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let item = answer.item.filter(|item| keys::is_kept(item, now));
        let delivery = item.map(|item| delivery_item::read(tenant, webhook, item)).transpose()?;
        Ok(delivery.filter(|delivery| delivery.expires_at() > now))
    }

    /// Returns whether a row exists, expired or not.
    pub async fn has(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<bool, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::delivery_key(tenant, webhook, id)))
            .projection_expression(keys::SK);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        Ok(answer.item.is_some())
    }

    /// Returns a page of a webhook's history, without rows that have expired by `now`.
    pub async fn list(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        query: &DeliveryQuery,
        now: OffsetDateTime,
    ) -> Result<DeliveryPage, StoreError> {
        let range = Range::of(query, now);
        // The row of the cursor has expired.
        if range.to.is_some_and(|to| to < range.from) {
            return Ok(DeliveryPage { items: Vec::new(), next: None, prev: None });
        }
        let (found, scanned) = self.find(tenant, webhook, query, range, now).await?;
        Ok(page(found, scanned, query))
    }

    /// Returns the first rows of a range that match a query, one more than a page has if there are that many. If the search stopped before
    /// the end of the range, also returns the last id that it read.
    async fn find(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        query: &DeliveryQuery,
        range: Range,
        now: OffsetDateTime,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), StoreError> {
        let &DeliveryQuery { ref filter, position, limit, .. } = query;
        let Range { from, to, ascending } = range;
        // If the database filters rows, few may match, so its pages are not limited.
        let all_match = filter.event_types.is_empty() && filter.status != Some(Status::Success);
        // One more row shows whether there is a next page; another may be the row that the client has seen.
        let wanted = limit + 2;
        let mut found = Vec::with_capacity(limit + 1);
        let mut scanned: Option<DeliveryId> = None;
        let mut start = None;
        for _ in 0..MAX_READS {
            let request = self
                .query(tenant, webhook, filter, (from, to), ascending)
                .set_exclusive_start_key(start)
                .set_limit(all_match.then(|| i32::try_from(wanted).unwrap_or(i32::MAX)));
            let mut answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
            let mut items = answer.items.take().unwrap_or_default();
            if filter.status == Some(Status::Fail) {
                // A page of the index has many entries, but only the rows that are shown are read.
                let missing = wanted - found.len();
                if items.len() > missing {
                    items.truncate(missing);
                    answer.last_evaluated_key = items.last().map(failure_key);
                }
                items = self.whole(items).await?;
            }
            for item in items.into_iter().filter(|item| keys::is_kept(item, now)) {
                found.push(delivery_item::read(tenant, webhook, item)?);
            }
            // The range includes its ends, but the next page does not include the row that the client has seen.
            found.retain(|delivery: &Delivery| Some(delivery.id) != seen_id(position));
            start = answer.last_evaluated_key;
            scanned = start.as_ref().and_then(|key| key.get(keys::SK)?.as_s().ok()?.parse().ok());
            if found.len() > limit || start.is_none() || fitting(&found) < found.len() {
                break;
            }
        }
        Ok((found, scanned))
    }

    /// Returns the rows of entries of the failure index, in their order.
    pub(crate) async fn whole(&self, entries: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let key = |entry: &Item| keys::pick(entry, &[keys::PK, keys::SK]);
        let rows = batch::get(&self.client, &self.table, entries.iter().map(key).collect()).await?;
        let of = |item: &Item| item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned();
        let mut rows: HashMap<_, _> = rows.into_iter().filter_map(|row| Some((of(&row)?, row))).collect();
        Ok(entries.iter().filter_map(|entry| rows.remove(&of(entry)?)).collect())
    }

    /// Returns a query for a webhook's history in a range of ids, both ends included. A query for failed rows returns entries of their index;
    /// [`Deliveries::whole`] reads their rows.
    pub(crate) fn query(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        (from, to): (DeliveryId, Option<DeliveryId>),
        ascending: bool,
    ) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        let failed = filter.status == Some(Status::Fail);
        let pk = if failed { keys::FAILED_OF } else { keys::PK };
        // Ids are hexadecimal, so `~` sorts after every id.
        let to = to.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let mut conditions = Vec::new();
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .set_index_name(failed.then(|| keys::FAILURES.to_owned()))
            .key_condition_expression(format!("{pk} = :pk AND sk BETWEEN :from AND :to"))
            .expression_attribute_values(":pk", AttributeValue::S(keys::history_pk(tenant, webhook)))
            .expression_attribute_values(":from", AttributeValue::S(from.to_string()))
            .expression_attribute_values(":to", AttributeValue::S(to))
            .scan_index_forward(ascending);
        if filter.status == Some(Status::Success) {
            conditions.push("attribute_not_exists(failedOf)".to_owned());
        }
        let types: Vec<_> = (0..filter.event_types.len()).map(|index| format!(":type{index}")).collect();
        for (name, event_type) in types.iter().zip(&filter.event_types) {
            query = query.expression_attribute_values(name, AttributeValue::S(event_type.clone()));
        }
        if !types.is_empty() {
            conditions.push(format!("eventType IN ({})", types.join(", ")));
        }
        if conditions.is_empty() { query } else { query.filter_expression(conditions.join(" AND ")) }
    }
}

/// The ids that a query for a page reads, both ends included.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: DeliveryId,
    to: Option<DeliveryId>,
    /// The direction of the query, which is reversed for a previous page.
    ascending: bool,
}

impl Range {
    /// Returns the range of a query, without ids whose rows have expired by `now`.
    fn of(query: &DeliveryQuery, now: OffsetDateTime) -> Self {
        let oldest = DeliveryId::lowest_at(now - RETENTION);
        let ascending = (query.order == Order::Ascending) != is_backward(query.position);
        let (from, to) = match query.position {
            Position::Start => (oldest, None),
            Position::After(seen) | Position::Before(seen) if ascending => (seen.max(oldest), None),
            Position::After(seen) | Position::Before(seen) => (oldest, Some(seen)),
        };
        Self { from, to, ascending }
    }
}

/// Returns the page of rows that were found for a query, and the ids where its neighbors start. `scanned` is the last id read if the search
/// stopped early.
fn page(mut found: Vec<Delivery>, scanned: Option<DeliveryId>, query: &DeliveryQuery) -> DeliveryPage {
    let seen = seen_id(query.position);
    let room = query.limit.min(fitting(&found));
    let more = found.len() > room;
    found.truncate(room);
    // The next page continues after the last row shown or, if the maximum number of reads was reached, after the last row read.
    let on = if more { found.last().map(|delivery| delivery.id) } else { scanned };
    if is_backward(query.position) {
        found.reverse();
        let next = found.last().map(|delivery| delivery.id).or(seen);
        return DeliveryPage { items: found, next, prev: on };
    }
    let first = found.first().map(|delivery| delivery.id);
    let prev = seen.and_then(|seen| first.or(Some(seen)));
    DeliveryPage { items: found, next: on, prev }
}

/// Returns whether a position is the end of a page, which is read in reverse.
fn is_backward(position: Position<DeliveryId>) -> bool {
    matches!(position, Position::Before(_))
}

/// Returns how many rows fit on a page, at least one.
fn fitting(rows: &[Delivery]) -> usize {
    // The length in JSON.
    let escaped = |text: &str| -> usize {
        text.bytes()
            .map(|byte| match byte {
                b'"' | b'\\' => 2,
                0..0x20 => 6,
                _ => 1,
            })
            .sum()
    };
    let mut room = MAX_PAGE;
    let fits = |row: &&Delivery| {
        let answer = row.response.as_ref().map_or(0, |response| escaped(&response.body));
        let size = row.request.body.len() + answer;
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    rows.iter().take_while(fits).count().max(1)
}

/// Returns the key after which a query of the failure index continues.
fn failure_key(entry: &Item) -> Item {
    keys::pick(entry, &[keys::PK, keys::SK, keys::FAILED_OF])
}

fn seen_id(position: Position<DeliveryId>) -> Option<DeliveryId> {
    match position {
        Position::Start => None,
        Position::After(id) | Position::Before(id) => Some(id),
    }
}
