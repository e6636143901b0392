//! The deliveries table: write what happened, read it back newest or oldest first.

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

/// Most pages of the database (1 MB each) read for one page of ours; a search that finds little goes on from its cursor.
const MAX_READS: usize = 8;

/// Bytes of bodies on one page of ours, at most: a page of large rows ends early, so that the answer stays below the 6 MB that Lambda
/// takes, JSON in JSON as it travels there.
const MAX_PAGE: usize = 1_500_000;

/// The deliveries table.
#[derive(Debug, Clone)]
pub struct Deliveries {
    pub(crate) client: Lazy<Client>,
    pub(crate) table: String,
}

/// Which rows of a webhook's history are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only rows of this outcome.
    pub status: Option<Status>,
    /// Only rows of one of these event types; of all when it is empty. At most 100.
    pub event_types: Vec<String>,
}

/// Which page of which rows is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Which rows.
    pub filter: DeliveryFilter,
    /// Oldest or newest first.
    pub order: Order,
    /// Where the page begins or ends.
    pub position: Position<DeliveryId>,
    /// Most rows on the page.
    pub limit: usize,
}

/// A page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The rows, in the order asked for.
    pub items: Vec<Delivery>,
    /// Where the next page begins: after this id.
    pub next: Option<DeliveryId>,
    /// Where the page before ends: before this id.
    pub prev: Option<DeliveryId>,
}

impl Deliveries {
    /// The table of that name, reached with this configuration.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), table: table.into() }
    }

    /// Writes rows, up to 25 in a call. Writing a row again replaces it, so doing it twice does no harm.
    ///
    /// Returns the ids that could not be written; an empty answer means that all are safe.
    pub async fn put_all(&self, deliveries: &[Delivery]) -> Vec<DeliveryId> {
        // By key, because one call may not name a row twice; a message received twice in one batch does just that.
        let rows: BTreeMap<_, _> =
            deliveries.iter().map(|d| ((&d.tenant_id, d.webhook_id, d.id), d)).collect();
        let rows: Vec<_> = rows.into_values().collect();
        let mut lost = Vec::new();
        for chunk in rows.chunks(batch::MAX_WRITES) {
            if let Err(error) = self.put_chunk(chunk).await {
                tracing::error!(%error, rows = chunk.len(), "could not write history rows");
                // Which rows of the call made it is not known for sure, so none counts as written.
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

    /// One row, unless it has expired by `now`.
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

    /// Whether a row is there, expired or not.
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

    /// A page of a webhook's history. Rows that have expired by `now` are outside the range that is read.
    pub async fn list(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        query: &DeliveryQuery,
        now: OffsetDateTime,
    ) -> Result<DeliveryPage, StoreError> {
        let &DeliveryQuery { ref filter, order, position, limit } = query;
        let oldest = DeliveryId::floor(now - RETENTION);
        let backward = matches!(position, Position::Before(_));
        // Ids below or above the one the client saw, whichever way it looks.
        let ascending = (order == Order::Ascending) != backward;
        let (from, to) = match position {
            Position::Start => (oldest, None),
            Position::After(seen) | Position::Before(seen) if ascending => (seen.max(oldest), None),
            Position::After(seen) | Position::Before(seen) => (oldest, Some(seen)),
        };

        // A cursor from before the oldest row that may be shown: there is nothing on its far side.
        if to.is_some_and(|to| to < from) {
            return Ok(DeliveryPage { items: Vec::new(), next: None, prev: None });
        }
        let mut found = Vec::with_capacity(limit + 1);
        let mut scanned: Option<DeliveryId> = None;
        let mut start = None;
        for _ in 0..MAX_READS {
            let answer =
                self.query(tenant, webhook, filter, (from, to), ascending).set_exclusive_start_key(start);
            // One row more tells whether there is a next page; one more may be the row the client has seen. Where rows are
            // dropped after reading, most may not match: read pages as large as the database gives.
            let all_match = filter.event_types.is_empty() && filter.status != Some(Status::Success);
            let rows = all_match.then(|| i32::try_from(limit + 2).unwrap_or(i32::MAX));
            let mut answer =
                answer.set_limit(rows).send().await.map_err(|error| StoreError::from_sdk(&error))?;
            let mut items = answer.items.take().unwrap_or_default();
            if filter.status == Some(Status::Fail) {
                // The index names many in a page: no more of them are read than are shown.
                let wanted = limit + 2 - found.len();
                if items.len() > wanted {
                    items.truncate(wanted);
                    answer.last_evaluated_key = items.last().map(failure_key);
                }
                items = self.whole(items).await?;
            }
            for item in items.into_iter().filter(|item| keys::is_kept(item, now)) {
                found.push(delivery_item::read(tenant, webhook, item)?);
            }
            // The range includes its ends: the row the client has seen is not part of the next page.
            found.retain(|delivery: &Delivery| Some(delivery.id) != seen_id(position));
            scanned = answer
                .last_evaluated_key
                .as_ref()
                .and_then(|key| key.get(keys::SK)?.as_s().ok()?.parse().ok());
            start = answer.last_evaluated_key;
            if found.len() > limit || start.is_none() || fitting(&found) < found.len() {
                break;
            }
        }

        let room = limit.min(fitting(&found));
        let more = found.len() > room;
        found.truncate(room);
        // Where to go on: after the last row shown, or, when the search was cut short, after the last row looked at.
        let on = if more { found.last().map(|delivery| delivery.id) } else { scanned };
        if backward {
            found.reverse();
            let next = found.last().map(|delivery| delivery.id).or(seen_id(position));
            return Ok(DeliveryPage { items: found, next, prev: on });
        }
        let first = found.first().map(|delivery| delivery.id);
        let prev = seen_id(position).and_then(|seen| first.or(Some(seen)));
        Ok(DeliveryPage { items: found, next: on, prev })
    }

    /// The rows that entries of the index of failures stand for, in their order.
    pub(crate) async fn whole(&self, entries: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let key = |entry: &Item| keys::pick(entry, &[keys::PK, keys::SK]);
        let rows = batch::get(&self.client, &self.table, entries.iter().map(key).collect()).await?;
        let of = |item: &Item| item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned();
        let mut rows: HashMap<_, _> = rows.into_iter().filter_map(|row| Some((of(&row)?, row))).collect();
        Ok(entries.iter().filter_map(|entry| rows.remove(&of(entry)?)).collect())
    }

    /// A webhook's history in a range of ids, both ends included. Of failed rows, asked for by themselves, come the entries of their
    /// index; [`Deliveries::whole`] has the rest.
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
        // Ids are hexadecimal, so `~` sorts after all of them.
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

/// How many of the rows fit on a page; one always does.
fn fitting(rows: &[Delivery]) -> usize {
    // As long as JSON makes them.
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

/// Where a query of the index of failures goes on after an entry.
fn failure_key(entry: &Item) -> Item {
    keys::pick(entry, &[keys::PK, keys::SK, keys::FAILED_OF])
}

fn seen_id(position: Position<DeliveryId>) -> Option<DeliveryId> {
    match position {
        Position::Start => None,
        Position::After(id) | Position::Before(id) => Some(id),
    }
}
