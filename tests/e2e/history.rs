//! The history as it lies in the table, read without the product's code.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::world::*;

#[test]
fn a_history_row_expires_seven_days_after_it_was_triggered() {
    let secret = "a-secret-that-no-table-may-hold-in-clear";
    let hook = Hook::new(&world().admin, "ttl", &[APP_DELETED], &json!({ "secret": secret }));
    let (id, event) = legacy_event(&world().acme);
    publish(&world().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let delivery_id = row["id"].as_str().unwrap();
    let triggered_at = OffsetDateTime::parse(row["triggeredAt"].as_str().unwrap_or_default(), &Rfc3339)
        .unwrap_or_else(|error| panic!("triggeredAt: {error} in {row:#}"));
    let age = OffsetDateTime::now_utc() - triggered_at;
    assert!(age < Duration::minutes(1) && age > -Duration::seconds(2), "{row:#}");

    let items = world().aws.items_with_sort_key_like(&world().stack.tables.deliveries, delivery_id).unwrap();
    let [item] = items.as_slice() else { panic!("not one item: {items:#?}") };
    let expires_at =
        item["expiresAt"]["N"].as_str().unwrap_or_else(|| panic!("no number expiresAt in {item:#}"));
    assert_eq!(expires_at, (triggered_at + Duration::days(7)).unix_timestamp().to_string(), "{item:#}");
    let key = item["pk"]["S"].as_str().unwrap_or_default();
    assert!(key.contains(&world().acme) && key.contains(&hook.id), "{item:#}");
    assert!(!item.to_string().contains(secret), "{item:#}");
}

#[test]
fn the_examples_delivery_fits_one_write_unit() {
    let hook = Hook::new(&world().admin, "one-unit", &[APP_DELETED], &json!({ "secret": SECRET }));
    let (id, event) = legacy_event(&world().acme);
    publish(&world().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let items = world()
        .aws
        .items_with_sort_key_like(&world().stack.tables.deliveries, row["id"].as_str().unwrap())
        .unwrap();
    let size: usize =
        items[0].as_object().unwrap().iter().map(|(name, value)| name.len() + attribute_size(value)).sum();
    assert!(size <= 1024, "{size} bytes: {:#}", items[0]);
}

/// As the developer guide counts item sizes; an upper bound for numbers.
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
        other => panic!("an attribute of another kind: {other:?}"),
    }
}
