//! The history as stored in the table, read without the product's code.

use std::time::Duration as Wait;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::{NoContext, Timestamp, Uuid};

use crate::kit::*;

#[test]
fn history_row_expires_after_seven_days() {
    let secret = "a-secret-that-no-table-may-hold-in-clear";
    let hook = Hook::new(&context().admin, "ttl", &[APP_DELETED], &json!({ "secret": secret }));
    let (id, event) = legacy_event(&context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let delivery_id = row["id"].as_str().unwrap();
    let triggered_at = OffsetDateTime::parse(row["triggeredAt"].as_str().unwrap_or_default(), &Rfc3339)
        .unwrap_or_else(|error| panic!("triggeredAt: {error} in {row:#}"));
    let age = OffsetDateTime::now_utc() - triggered_at;
    assert!(age < Duration::minutes(1) && age > -Duration::seconds(2), "{row:#}");

    let items =
        context().aws.items_with_sort_key_like(&context().stack.tables.deliveries, delivery_id).unwrap();
    let [item] = items.as_slice() else { panic!("not one item: {items:#?}") };
    let expires_at =
        item["expiresAt"]["N"].as_str().unwrap_or_else(|| panic!("no number expiresAt in {item:#}"));
    assert_eq!(expires_at, (triggered_at + Duration::days(7)).unix_timestamp().to_string(), "{item:#}");
    let key = item["pk"]["S"].as_str().unwrap_or_default();
    assert!(key.contains(&context().acme) && key.contains(&hook.id), "{item:#}");
    assert!(!item.to_string().contains(secret), "{item:#}");
}

#[test]
fn example_delivery_fits_one_write_unit() {
    let hook = Hook::new(&context().admin, "one-unit", &[APP_DELETED], &json!({ "secret": SECRET }));
    let (id, event) = legacy_event(&context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let items = context()
        .aws
        .items_with_sort_key_like(&context().stack.tables.deliveries, row["id"].as_str().unwrap())
        .unwrap();
    let size: usize =
        items[0].as_object().unwrap().iter().map(|(name, value)| name.len() + attribute_size(value)).sum();
    assert!(size <= 1024, "{size} bytes: {:#}", items[0]);
}

/// Returns an attribute's size by the rules of the developer guide; an upper bound for numbers.
fn attribute_size(value: &Value) -> usize {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => text.len(),
        ("N", Value::String(digits)) => digits.len().div_ceil(2) + 1,
        ("B", Value::String(base64)) => base64.len().div_ceil(4) * 3,
        ("BOOL" | "NULL", _) => 1,
        ("M", Value::Object(members)) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + attribute_size(value)).sum::<usize>()
        }
        ("L", Value::Array(values)) => {
            3 + values.iter().map(|value| 1 + attribute_size(value)).sum::<usize>()
        }
        other => panic!("unexpected attribute type: {other:?}"),
    }
}

const TEMPLATE: &str = include_str!("../../infra/template.yaml");

/// Returns the template's text of a resource.
fn resource(name: &str) -> &'static str {
    let (_, after) = TEMPLATE.split_once(&format!("\n  {name}:\n")).unwrap();
    let end = after.match_indices("\n  ").find(|(at, _)| !after[at + 3..].starts_with([' ', '\n', '#']));
    &after[..end.map_or(after.len(), |(at, _)| at)]
}

fn dynamodb(operation: &str, request: &Value) -> Value {
    context().aws.call("dynamodb", &format!("DynamoDB_20120810.{operation}"), request).unwrap()
}

#[test]
fn ttl_and_backups_of_tables_match_the_template() {
    let tables = &context().stack.tables;
    let mut with_ttl = 0;
    for (name, table) in [("WebhooksTable", &tables.webhooks), ("DeliveriesTable", &tables.deliveries)] {
        let (template, request) = (resource(name), json!({ "TableName": table }));
        let described = dynamodb("DescribeTimeToLive", &request)["TimeToLiveDescription"].take();
        let wanted = template.split_once("TimeToLiveSpecification: { AttributeName: ");
        let wanted = wanted.map(|(_, rest)| rest.split_once(", Enabled: true }").unwrap().0);
        assert_eq!(described["AttributeName"].as_str(), wanted, "{name}: {described}");
        assert_eq!(described["TimeToLiveStatus"] == "ENABLED", wanted.is_some(), "{name}: {described}");
        with_ttl += usize::from(wanted.is_some());
        let described = dynamodb("DescribeContinuousBackups", &request);
        let status = &described["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
        assert!(template.contains("PointInTimeRecoveryEnabled: true"), "{name}");
        assert_eq!(status["PointInTimeRecoveryStatus"], "ENABLED", "{name}: {described}");
    }
    assert_eq!(with_ttl, 1);
}

/// Creates a webhook with one delivery, and expired copies of its row, delivered and failed: some written seven days ago, some written now
/// with an earlier expiry. Returns the ids of the valid row and of the expired ones.
fn hook_with_expired_rows(name: &str) -> (Hook, String, Vec<String>) {
    let space = unique(name);
    let hook = Hook::new(&context().admin, name, &[APP_CREATED], &json!({ "filter": only_in(&space) }));
    let (id, event) = event_in(&space, APP_CREATED);
    publish(&context().publisher, &event);
    let kept = hook.await_rows(&id, 1, SOON)[0]["id"].as_str().unwrap().to_owned();
    let table = &context().stack.tables.deliveries;
    let [item] = context().aws.items_with_sort_key_like(table, &kept).unwrap().try_into().unwrap();
    let now = OffsetDateTime::now_utc();
    let expired = (now - Duration::seconds(10)).unix_timestamp();
    let mut gone = Vec::new();
    for (written, failed) in [
        (now - Duration::days(7) - Duration::seconds(10), false),
        (now - Duration::days(7) - Duration::seconds(10), true),
        (now, false),
        (now, true),
    ] {
        let seconds = u64::try_from(written.unix_timestamp()).unwrap();
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).to_string();
        let mut row = item.clone();
        row["sk"] = json!({ "S": id });
        row["expiresAt"] = json!({ "N": expired.to_string() });
        if failed {
            row["failedOf"] = row["pk"].clone();
        }
        dynamodb("PutItem", &json!({ "TableName": table, "Item": row }));
        gone.push(id);
    }
    (hook, kept, gone)
}

/// Checks that the API shows the valid row and none of the expired ones.
fn assert_shows_only(hook: &Hook, kept: &str, gone: &[String]) {
    for query in ["", "&status=success", "&eventType=com.qlik.v1.app.created"] {
        let ids: Vec<_> =
            hook.history(query).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, [kept], "{query}");
    }
    assert_eq!(hook.history("&status=fail"), Vec::<Value>::new());
    for id in gone {
        let path = format!("{}/deliveries/{id}", hook.at());
        context().admin.get(&path).unwrap().expect_status(404).unwrap();
        let resend = context().admin.post_nothing(&format!("{path}/actions/resend")).unwrap();
        resend.expect_status(404).unwrap();
    }
    let stats = context().admin.get(&format!("{}/stats", hook.at())).unwrap().json().unwrap();
    assert_eq!(stats["lastDelivery"]["id"], kept, "{stats:#}");
    let sums = ["success", "fail"].map(|name| {
        let days = stats["days"].as_array().unwrap();
        days.iter().map(|day| day[name].as_u64().unwrap()).sum::<u64>()
    });
    assert_eq!(sums, [1, 0], "{stats:#}");
}

#[test]
fn ttl_expired_rows_are_never_shown() {
    let (hook, kept, gone) = hook_with_expired_rows("ttl-shown");
    assert_shows_only(&hook, &kept, &gone);
}

/// The local cloud removes expired items once a minute, which cannot be configured. DynamoDB takes up to a few days.
#[test]
fn ttl_expired_rows_are_removed_by_the_store() {
    let (hook, kept, gone) = hook_with_expired_rows("ttl-removed");
    let table = &context().stack.tables.deliveries;
    let there = |id: &str| !context().aws.items_with_sort_key_like(table, id).unwrap().is_empty();
    // A minute, and longer on a busy machine.
    eventually(Wait::from_secs(100), "removal of the expired rows", || {
        assert_shows_only(&hook, &kept, &gone);
        std::thread::sleep(Wait::from_secs(2));
        let left: Vec<_> = gone.iter().filter(|id| there(id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) }
    });
    assert!(there(&kept), "the store removed a row that has not expired");
}
