//! The deliveries table: one write unit per row, seven days of retention, pages in both directions, failures through their index.

use anzol_domain::page::{Order, Position};
use anzol_domain::{DeliveryId, Status};
use anzol_runtime::now;
use anzol_store::{DeliveryFilter, DeliveryQuery, StatusQuery};
use time::Duration;

use crate::kit::{TestContext, delivery, webhook};

fn query(
    filter: DeliveryFilter,
    order: Order,
    position: Position<DeliveryId>,
    limit: usize,
) -> DeliveryQuery {
    DeliveryQuery { filter, order, position, limit }
}

#[tokio::test]
async fn delivery_is_read_as_written() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    for status in [Status::Success, Status::Fail] {
        let written = delivery(&webhook, now(), status);
        context.put_deliveries(std::slice::from_ref(&written)).await;
        let read = context.deliveries.get(&webhook.tenant_id, webhook.id, written.id, now()).await.unwrap();
        assert_eq!(read, Some(written));
    }
}

#[tokio::test]
async fn example_row_fits_one_write_unit_and_expires() {
    let context = TestContext::start().await;
    let webhook = webhook("oZcMPa_1PwH4FUdrh6839YHHdEJN");
    let written = delivery(&webhook, now(), Status::Success);
    context.put_deliveries(std::slice::from_ref(&written)).await;
    let items = context.raw_deliveries(written.id.to_string()).await;
    let [item] = items.as_slice() else { panic!("{items:?}") };
    let expires: i64 = item["expiresAt"]["N"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires, written.triggered_at().unix_timestamp() + 7 * 24 * 60 * 60);
    // Item size by DynamoDB's rules: names and values in bytes; a number takes about one byte per two digits, plus one.
    let size: usize = item
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
            let text = value.as_str().unwrap();
            name.len()
                + match kind.as_str() {
                    "S" => text.len(),
                    "N" => text.len().div_ceil(2) + 1,
                    "B" => text.len() / 4 * 3,
                    other => panic!("unexpected attribute type {other}"),
                }
        })
        .sum();
    assert!(size <= 1024, "the row takes {size} bytes, more than one write unit");
}

#[tokio::test]
async fn rows_older_than_seven_days_are_not_listed() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let fresh = delivery(&webhook, now() - Duration::days(7) + Duration::minutes(1), Status::Fail);
    let stale = delivery(&webhook, now() - Duration::days(7) - Duration::minutes(1), Status::Fail);
    context.put_deliveries(&[fresh.clone(), stale.clone()]).await;
    for status in [None, Some(Status::Fail)] {
        for order in [Order::Ascending, Order::Descending] {
            let query = query(DeliveryFilter { status, event_types: vec![] }, order, Position::Start, 10);
            let page = context.deliveries.list(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap();
            assert_eq!(page.items, std::slice::from_ref(&fresh));
        }
    }
    assert_eq!(context.deliveries.get(&webhook.tenant_id, webhook.id, stale.id, now()).await.unwrap(), None);
}

#[tokio::test]
async fn pages_list_every_row_once_in_both_directions() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let start = now() - Duration::hours(1);
    let (deleted, exported) = ("com.qlik.v1.app.deleted", "com.qlik.v1.app.exported");
    let rows: Vec<_> = (0..23)
        .map(|n| {
            let status = if n % 3 == 0 { Status::Fail } else { Status::Success };
            let mut row = delivery(&webhook, start + Duration::seconds(n), status);
            row.event_type = if n % 4 == 0 { exported } else { deleted }.to_owned();
            row
        })
        .collect();
    context.put_deliveries(&rows).await;
    let filters = [
        DeliveryFilter::default(),
        DeliveryFilter { status: Some(Status::Fail), event_types: vec![] },
        DeliveryFilter { status: Some(Status::Success), event_types: vec![] },
        DeliveryFilter { status: None, event_types: vec![deleted.to_owned()] },
        DeliveryFilter { status: Some(Status::Fail), event_types: vec![deleted.to_owned()] },
    ];
    for filter in filters {
        for order in [Order::Ascending, Order::Descending] {
            for limit in [1, 4, 8, 50] {
                let mut wanted: Vec<_> = rows
                    .iter()
                    .filter(|row| filter.status.is_none_or(|status| status == row.status))
                    .filter(|row| {
                        filter.event_types.is_empty() || filter.event_types.contains(&row.event_type)
                    })
                    .map(|row| row.id)
                    .collect();
                if order == Order::Descending {
                    wanted.reverse();
                }
                let list = async |position| {
                    let query = query(filter.clone(), order, position, limit);
                    context.deliveries.list(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap()
                };
                let mut page = list(Position::Start).await;
                assert_eq!(page.prev, None);
                let mut seen: Vec<_> = page.items.iter().map(|row| row.id).collect();
                while let Some(next) = page.next {
                    page = list(Position::After(next)).await;
                    assert!(page.items.len() <= limit);
                    seen.extend(page.items.iter().map(|row| row.id));
                }
                assert_eq!(seen, wanted, "{filter:?} {order:?} by {limit}");

                let mut back: Vec<_> = page.items.iter().rev().map(|row| row.id).collect();
                while let Some(prev) = page.prev {
                    page = list(Position::Before(prev)).await;
                    back.extend(page.items.iter().rev().map(|row| row.id));
                }
                back.reverse();
                assert_eq!(back, wanted, "{filter:?} {order:?} by {limit}, backward");
            }
        }
    }
}

#[tokio::test]
async fn page_of_large_rows_stays_within_answer_size() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let rows: Vec<_> = (0..60)
        .map(|n| {
            let status = if n % 2 == 0 { Status::Fail } else { Status::Success };
            let mut row = delivery(&webhook, now() - Duration::seconds(n), status);
            // Compresses well in the table and grows sixfold in JSON.
            row.response.as_mut().unwrap().body = "\u{1}".repeat(16 * 1024);
            row
        })
        .collect();
    context.put_deliveries(&rows).await;
    let wanted: Vec<_> = rows.iter().map(|row| row.id).collect();
    let (mut seen, mut position, mut pages) = (Vec::new(), Position::Start, 0);
    loop {
        let query = query(DeliveryFilter::default(), Order::Descending, position, 100);
        let page = context.deliveries.list(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap();
        assert!((1..=16).contains(&page.items.len()), "{}", page.items.len());
        seen.extend(page.items.iter().map(|row| row.id));
        pages += 1;
        match page.next {
            Some(next) => position = Position::After(next),
            None => break,
        }
    }
    assert_eq!((seen, pages), (wanted, 4));

    let (mut seen, mut position) = (0, Position::Start);
    loop {
        let query =
            StatusQuery { filter: DeliveryFilter::default(), first: Status::Fail, position, limit: 100 };
        let page =
            context.deliveries.list_by_status(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap();
        seen += page.items.len();
        match page.next {
            Some(next) => position = Position::After(next),
            None => break,
        }
    }
    assert_eq!(seen, 60);
}

#[tokio::test]
async fn pages_by_status_list_every_row_once() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let start = now() - Duration::hours(1);
    let row = |n: i64| {
        let status = if n % 3 == 0 { Status::Fail } else { Status::Success };
        delivery(&webhook, start + Duration::seconds(n), status)
    };
    let rows: Vec<_> = (0..23).map(row).collect();
    let expired = delivery(&webhook, now() - Duration::days(8), Status::Fail);
    context.put_deliveries(&rows).await;
    context.put_deliveries(&[expired]).await;
    for first in [Status::Fail, Status::Success] {
        for status in [None, Some(Status::Fail), Some(Status::Success)] {
            // Eight failures and fifteen successes: pages that end within a status, at its end, and span both.
            for limit in [1, 4, 7, 8, 9, 15, 50] {
                let mut wanted: Vec<_> =
                    rows.iter().filter(|row| status.is_none_or(|status| status == row.status)).collect();
                wanted.sort_by_key(|row| (row.status != first, std::cmp::Reverse(row.id)));
                let wanted: Vec<_> = wanted.into_iter().map(|row| row.id).collect();
                let list = async |position| {
                    let filter = DeliveryFilter { status, event_types: vec![] };
                    let query = StatusQuery { filter, first, position, limit };
                    let (tenant, now) = (&webhook.tenant_id, now());
                    context.deliveries.list_by_status(tenant, webhook.id, &query, now).await.unwrap()
                };
                let mut page = list(Position::Start).await;
                assert_eq!(page.prev, None);
                let mut seen: Vec<_> = page.items.iter().map(|row| row.id).collect();
                while let Some(next) = page.next {
                    page = list(Position::After(next)).await;
                    assert!(!page.items.is_empty() && page.items.len() <= limit);
                    seen.extend(page.items.iter().map(|row| row.id));
                }
                assert_eq!(seen, wanted, "{first:?} first, only {status:?}, by {limit}");

                let mut back: Vec<_> = page.items.iter().rev().map(|row| row.id).collect();
                while let Some(prev) = page.prev {
                    page = list(Position::Before(prev)).await;
                    back.extend(page.items.iter().rev().map(|row| row.id));
                }
                back.reverse();
                assert_eq!(back, wanted, "{first:?} first, only {status:?}, by {limit}, backward");
            }
        }
    }
}

#[tokio::test]
async fn cursor_before_retention_gives_an_empty_page() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let row = delivery(&webhook, now(), Status::Success);
    context.put_deliveries(std::slice::from_ref(&row)).await;
    let old = DeliveryId::mint(now() - Duration::days(8));
    for (order, position, expected) in [
        (Order::Descending, Position::After(old), 0),
        (Order::Ascending, Position::Before(old), 0),
        (Order::Ascending, Position::After(old), 1),
        (Order::Descending, Position::Before(old), 1),
    ] {
        let query = query(DeliveryFilter::default(), order, position, 10);
        let page = context.deliveries.list(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap();
        assert_eq!(page.items.len(), expected, "{query:?}");
    }
}

#[tokio::test]
async fn row_written_twice_is_stored_once() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let row = delivery(&webhook, now(), Status::Success);
    context.put_deliveries(&[row.clone(), row.clone()]).await;
    context.put_deliveries(std::slice::from_ref(&row)).await;
    let all = query(DeliveryFilter::default(), Order::Ascending, Position::Start, 10);
    assert_eq!(
        context.deliveries.list(&webhook.tenant_id, webhook.id, &all, now()).await.unwrap().items,
        [row]
    );
}

#[tokio::test]
async fn rows_beyond_one_batch_are_all_written() {
    let context = TestContext::start().await;
    let webhook = webhook("acme");
    let rows: Vec<_> =
        (0..60).map(|n| delivery(&webhook, now() - Duration::seconds(n), Status::Success)).collect();
    context.put_deliveries(&rows).await;
    let all = query(DeliveryFilter::default(), Order::Ascending, Position::Start, 100);
    let page = context.deliveries.list(&webhook.tenant_id, webhook.id, &all, now()).await.unwrap();
    assert_eq!((page.items.len(), page.next), (60, None));
}
